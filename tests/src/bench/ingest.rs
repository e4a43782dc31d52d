//! From the edge's call to what is on disk, beside the bare log.

use super::batches::{Isolate, post_all};
use super::report::{Row, median};
use crate::kv::KvServer;
use crate::redis::{DURABLE, Redis};
use crate::stack::ControlPlane;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const BATCHES: usize = 400;
const AT_ONCE: usize = 16;
const ROUNDS: usize = 7;

/// Of the whole service, which counts meanwhile.
pub async fn to_the_disk() -> Vec<Row> {
    vec![into_sqlite().await, into_redis().await]
}

async fn into_sqlite() -> Row {
    let (folder, kv) = (TempDir::new().unwrap(), KvServer::start().await);
    let control_plane = ControlPlane::start(folder.path(), &kv, &[]);
    let (mut measured, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // In turn, so that a noisy moment meets both.
        floor.push(bare_transactions(&batches()));
        measured.push(post_all(&control_plane.url(""), batches(), AT_ONCE).await);
        until_counted(&control_plane).await;
    }
    let what = format!("ingest {BATCHES} batches of 100 events, log in SQLite, {AT_ONCE} at a time");
    Row::share(&what, median(measured), "sqlite3, one synced transaction each", median(floor), 0.5)
}

async fn into_redis() -> Row {
    let (folder, kv) = (TempDir::new().unwrap(), KvServer::start().await);
    let (server, bare) = (Redis::start(&DURABLE), Redis::start(&DURABLE));
    let url = server.url();
    let variables = [("EVENT_LOG", "redis"), ("REDIS_URL", url.as_str()), ("EVENT_LOG_STRICT", "true")];
    let control_plane = ControlPlane::start(folder.path(), &kv, &variables);
    let (mut measured, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floor.push(bare_entries(&bare, &batches()[0]));
        measured.push(post_all(&control_plane.url(""), batches(), AT_ONCE).await);
        until_counted(&control_plane).await;
    }
    let what = format!("ingest {BATCHES} batches of 100 events, log in Redis, {AT_ONCE} at a time");
    Row::share(&what, median(measured), "redis-benchmark XADD, pipeline of 16", median(floor), 0.4)
}

fn batches() -> Vec<Vec<u8>> {
    let mut isolate = Isolate::new();
    (0..BATCHES).map(|_| isolate.batch()).collect()
}

async fn until_counted(control_plane: &ControlPlane) {
    while control_plane.get("/manage/events/status").await["waiting_batches"] != 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One row of the same size each, written ahead and synced.
fn bare_transactions(batches: &[Vec<u8>]) -> Duration {
    let folder = TempDir::new().unwrap();
    let mut command = Command::new("sqlite3");
    command.arg(folder.path().join("bare.db")).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut client = command.spawn().expect("sqlite3 is needed");
    let mut input = client.stdin.take().unwrap();
    let open = "pragma journal_mode = wal; pragma synchronous = full; \
                create table log (position integer primary key, received_at integer, lines blob);";
    writeln!(input, "{open}").unwrap();
    let statements: Vec<String> = batches
        .iter()
        .map(|batch| format!("insert into log (received_at, lines) values (1, '{}');", text(batch)))
        .collect();
    let started = Instant::now();
    for statement in &statements {
        writeln!(input, "{statement}").unwrap();
    }
    drop(input);
    assert!(client.wait().unwrap().success());
    started.elapsed()
}

/// Without quotes of SQL, of which it has none.
fn text(batch: &[u8]) -> &str {
    let text = std::str::from_utf8(batch).unwrap();
    assert!(!text.contains('\''));
    text
}

fn bare_entries(server: &Redis, batch: &[u8]) -> Duration {
    let (port, count, pipeline) = (server.port().to_string(), BATCHES.to_string(), AT_ONCE.to_string());
    let options = ["-p", &port, "-n", &count, "-c", "1", "-P", &pipeline, "-q"];
    let entry = ["XADD", "bare", "*", "received_at", "1795444000000", "lines", text(batch)];
    let started = Instant::now();
    server.run("redis-benchmark", &[&options[..], &entry].concat());
    let took = started.elapsed();
    server.cli(&["DEL", "bare"]);
    took
}
