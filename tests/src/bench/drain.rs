//! A million events that wait, counted while new ones come.

use super::batches::{A_BATCH, Isolate, post};
use super::report::Row;
use crate::keys;
use crate::kv::KvServer;
use crate::redis::{DURABLE, Redis};
use crate::stack::{ControlPlane, Setup};
use control_plane::clock;
use control_plane::events::EventLog;
use control_plane::events::log::database::DatabaseLog;
use control_plane::events::log::redis::{Address, RedisLog, RedisSettings};
use control_plane::store::{Store, migrate};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const WAITING: usize = 1_000_000;
/// So often a new batch comes.
const EACH: Duration = Duration::from_millis(250);
const REST: Duration = Duration::from_secs(5);
const MORE: u64 = 100_000_000;

/// What happened.
#[derive(Debug)]
pub struct Drained {
    pub log: &'static str,
    pub waiting: usize,
    pub came: usize,
    pub took: Duration,
    /// Resident, in bytes.
    pub at_rest: u64,
    pub at_most: u64,
}

pub async fn a_million() -> Vec<Row> {
    let mut rows = Vec::new();
    for is_redis in [false, true] {
        rows.push(row(&drain(WAITING, is_redis).await));
    }
    rows
}

fn row(drained: &Drained) -> Row {
    let Drained { log, waiting, came, took, at_rest, at_most } = drained;
    let [rest, most] = [at_rest, at_most].map(|bytes| bytes / 1_000_000);
    Row {
        what: format!("resident memory while {waiting} events are drained and {came} come, log in {log}"),
        measured: format!("{most} MB at most; {took:.0?}"),
        beside: format!("at rest: {rest} MB"),
        ratio: None,
        to_reach: "at most 100 MB more".into(),
        is_reached: at_most.saturating_sub(*at_rest) <= MORE,
    }
}

/// Panics if not each event is counted once.
pub async fn drain(waiting: usize, is_redis: bool) -> Drained {
    let (folder, kv) = (TempDir::new().unwrap(), KvServer::start().await);
    let server = is_redis.then(|| Redis::start(&DURABLE));
    let url = server.as_ref().map(Redis::url);
    let redis = url.iter().flat_map(|url| [("EVENT_LOG", "redis"), ("REDIS_URL", url.as_str())]);
    let setup = Setup::new(folder.path(), &kv, &redis.collect::<Vec<_>>());

    let mut resting = setup.start();
    tokio::time::sleep(REST).await;
    let at_rest = resting.process().resident();
    drop(resting);

    fill(folder.path(), url.as_deref(), waiting / A_BATCH).await;
    let started = Instant::now();
    let mut control_plane = setup.start();
    let (mut isolate, mut came) = (Isolate::new(), 0);
    loop {
        post(&control_plane.url(""), isolate.batch()).await;
        came += A_BATCH;
        if counted(&control_plane).await >= waiting as u64 {
            break;
        }
        tokio::time::sleep(EACH).await;
    }
    while status(&control_plane).await["waiting_batches"] != 0 {
        tokio::time::sleep(EACH).await;
    }
    let took = started.elapsed();
    assert_eq!(counted(&control_plane).await, (waiting + came) as u64);
    assert_eq!(status(&control_plane).await["duplicates"], 0);
    let at_most = control_plane.process().peak();
    let log = if is_redis { "Redis" } else { "SQLite" };
    Drained { log, waiting, came, took, at_rest, at_most }
}

async fn status(control_plane: &ControlPlane) -> Value {
    control_plane.get("/manage/events/status").await
}

async fn counted(control_plane: &ControlPlane) -> u64 {
    let usage = control_plane.get("/manage/usage").await;
    usage["data"][0]["requests"].as_u64().unwrap_or_default()
}

async fn fill(folder: &Path, redis: Option<&str>, batches: usize) {
    let database = format!("sqlite://{}", folder.join("latchkey.db").display());
    migrate::up(&database).await.unwrap();
    let store = Store::connect(&database).await.unwrap();
    let log: Arc<dyn EventLog> = match redis {
        Some(url) => {
            let settings = RedisSettings::new(true, clock::now);
            Arc::new(RedisLog::new(&Address::parse(url).unwrap(), keys::DEPLOYMENT, settings).unwrap())
        }
        None => Arc::new(DatabaseLog::new(store.clone())),
    };
    let mut isolate = Isolate::new();
    for _ in 0..batches {
        log.append(&isolate.batch(), clock::now()).await.unwrap();
    }
    store.close().await;
}
