//! The consumer that counts into `PostgreSQL`, beside `COPY` of the rows it made.

use super::batches::{A_BATCH, Isolate};
use super::report::{Row, median};
use crate::keys;
use crate::postgres::Postgres;
use crate::redis::{DURABLE, Redis};
use control_plane::clock;
use control_plane::events::consume::CONSUMER;
use control_plane::events::log::redis::{Address, RedisLog, RedisSettings};
use control_plane::events::{Consumer, ConsumerSettings, Duty, EventLog};
use control_plane::metrics::Metrics;
use control_plane::store::{Store, migrate};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCHES: usize = 1_000;
const ROUNDS: usize = 3;
const TABLES: [&str; 6] =
    ["events", "event_ledger", "usage_hourly", "usage_daily", "event_isolates", "token_usage"];

pub async fn into_postgres() -> Row {
    let (server, redis) = (Postgres::start(), Redis::start(&DURABLE));
    let (mut measured, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let url = server.create_database();
        migrate::up(&url).await.unwrap();
        measured.push(consume(&url, &redis).await);
        floor.push(copy(&server, &url).await);
    }
    let events = BATCHES * A_BATCH;
    let what = format!("count {events} events into PostgreSQL, from Redis");
    Row::share(&what, median(measured), "psql, COPY of the same rows", median(floor), 0.3)
}

async fn consume(url: &str, redis: &Redis) -> Duration {
    let store = Store::connect(url).await.unwrap();
    let address = Address::parse(&redis.url()).unwrap();
    let log: Arc<dyn EventLog> =
        Arc::new(RedisLog::new(&address, keys::DEPLOYMENT, RedisSettings::new(true, clock::now)).unwrap());
    let mut isolate = Isolate::new();
    for _ in 0..BATCHES {
        log.append(&isolate.batch(), clock::now()).await.unwrap();
    }
    let settings = ConsumerSettings { retention_days: 90, clock: clock::now, duty: Duty::Count };
    let metrics = Metrics::new(clock::now()).consumer(CONSUMER);
    let mut consumer = Consumer::new(store.clone(), log, Arc::default(), settings, metrics);
    let started = Instant::now();
    let mut events = 0;
    while let Some(counted) = consumer.pass().await.unwrap() {
        events += counted.events;
    }
    let took = started.elapsed();
    assert_eq!(events, (BATCHES * A_BATCH) as u64);
    store.close().await;
    took
}

/// Into a database that has the same tables, empty.
async fn copy(server: &Postgres, from: &str) -> Duration {
    let to = server.create_database();
    migrate::up(&to).await.unwrap();
    let each = |form: &dyn Fn(&str) -> String| TABLES.map(form).join(";\n");
    server.psql(from, &each(&|table| format!("copy {table} to '{}'", file(server, table))));
    let started = Instant::now();
    server.psql(&to, &each(&|table| format!("copy {table} from '{}'", file(server, table))));
    started.elapsed()
}

/// The server's own, so that no client is measured.
fn file(server: &Postgres, table: &str) -> String {
    server.folder().join(format!("{table}.copy")).display().to_string()
}
