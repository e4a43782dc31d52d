//! A Redis that is killed, full, read-only, paused, emptied.

use crate::database::Sqlite;
use crate::edge::{Batch, Isolate, lines};
use crate::logs::{self, LEASE};
use crate::redis_server::{DURABLE, Redis as Server};
use crate::scrape::Scrape;
use crate::world::World;
use axum::http::StatusCode;
use control_plane::clock;
use control_plane::events::consume::CONSUMER;
use control_plane::events::log::redis::{Address, RedisLog, RedisSettings};
use control_plane::events::log::{EventLog, LogError};
use control_plane::events::{Consumer, ConsumerSettings, Duty};
use std::sync::Arc;
use std::time::Duration;

const STREAM: &str = "latchkey:{faults}:events";

struct Scene {
    server: Server,
    log: Arc<dyn EventLog>,
    world: World<Sqlite>,
}

impl Scene {
    async fn start() -> Self {
        let server = Server::start(&DURABLE);
        let log = logs::open(&server.url(), "faults");
        let world = World::over(Arc::clone(&log)).await;
        Self { server, log, world }
    }

    /// A batch is refused, soon, so that the edge sends it again; and why.
    async fn refuses(&self) -> LogError {
        let began = clock::start();
        let answer = self.world.batch(&Batch::new(lines(&[Isolate::new().event()]))).await;
        assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
        assert_eq!(answer.headers["retry-after"], "5");
        answer.error(503, "unavailable");
        self.log.append(b"{}\n", clock::now()).await.unwrap_err()
    }

    /// So many events are counted, and all works again.
    async fn counts(&self, events: usize) {
        self.world.count().await;
        let list = self.world.get("/manage/events?limit=100").await.ok(StatusCode::OK);
        assert_eq!(list["data"].as_array().unwrap().len(), events);
        assert_eq!(self.world.get("/readyz").await.ok(StatusCode::OK)["event_log"], "ok");
    }

    async fn takes(&self) {
        self.world.batch(&Batch::new(lines(&[Isolate::new().event()]))).await.ok(StatusCode::OK);
    }

    async fn is_not_ready(&self) {
        let ready = self.world.get("/readyz").await.ok(StatusCode::SERVICE_UNAVAILABLE);
        assert!(ready["event_log"].as_str().unwrap().contains("REDIS_URL"), "{ready}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_killed_redis() {
    let scene = Scene::start().await;
    for round in 1..=3 {
        scene.takes().await;
        scene.server.kill();
        assert!(matches!(scene.refuses().await, LogError::Unreachable(_)));
        scene.is_not_ready().await;
        scene.server.restart();
        scene.counts(round).await;
    }
    // Given out, and not acknowledged.
    scene.takes().await;
    assert_eq!(scene.log.read("database", 10, 0).await.unwrap().len(), 1);
    scene.server.kill();
    scene.server.restart();
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    scene.counts(4).await;
}

#[tokio::test]
async fn a_full_redis_takes_nothing_and_loses_nothing() {
    let scene = Scene::start().await;
    scene.takes().await;
    scene.counts(1).await;
    scene.takes().await;
    scene.server.cli(&["CONFIG", "SET", "maxmemory", "100kb"]);
    let error = scene.refuses().await;
    assert!(matches!(error, LogError::Full(_)), "{error}");
    scene.is_not_ready().await;
    // What waits is told all the same.
    let scrape = Scrape::of(&scene.world).await;
    assert_eq!(scrape.value("latchkey_consumer_lag_batches", &[("consumer", "database")]), Some(1.0));
    assert_eq!(scrape.value("latchkey_event_log_risks", &[]), None);
    // Counting goes on, which makes room.
    scene.world.count().await;
    assert_eq!(scene.server.cli(&["XLEN", STREAM]), "0");
    scene.server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    scene.takes().await;
    scene.counts(3).await;
}

#[tokio::test]
async fn a_replica_takes_nothing() {
    let scene = Scene::start().await;
    scene.takes().await;
    let port = scene.server.port().to_string();
    let other = Server::start(&[&format!("replicaof 127.0.0.1 {port}")]);
    let replica = logs::open(&other.url(), "faults");
    let error = replica.append(b"{}\n", clock::now()).await.unwrap_err();
    assert!(matches!(error, LogError::ReadOnly(_)), "{error}");
    assert!(matches!(replica.check().await, Err(LogError::ReadOnly(_))));
    // And the other becomes one while it is used.
    scene.server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let error = scene.refuses().await;
    assert!(matches!(error, LogError::ReadOnly(_)), "{error}");
    scene.is_not_ready().await;
    scene.server.cli(&["REPLICAOF", "NO", "ONE"]);
    scene.takes().await;
    scene.counts(2).await;
}

#[tokio::test]
async fn a_redis_that_hangs_holds_no_request() {
    let scene = Scene::start().await;
    scene.takes().await;
    scene.server.pause();
    let error = scene.refuses().await;
    assert!(matches!(error, LogError::Unreachable(_)), "{error}");
    scene.is_not_ready().await;
    scene.server.resume();
    scene.takes().await;
    // What was refused may have been taken all the same: another event each.
    scene.world.count().await;
    let list = scene.world.get("/manage/events?limit=100").await.ok(StatusCode::OK);
    assert!(list["data"].as_array().unwrap().len() >= 2);
}

/// Redis lost its data, or one took over that did not have them.
#[tokio::test]
async fn an_emptied_redis_goes_on() {
    let scene = Scene::start().await;
    scene.takes().await;
    scene.counts(1).await;
    scene.server.cli(&["FLUSHALL"]);
    scene.takes().await;
    assert_eq!(scene.log.backlog("database").await.unwrap().batches, 1);
    scene.server.cli(&["FLUSHALL"]);
    scene.takes().await;
    scene.counts(2).await;
    let read = scene.log.read("database", 10, 0).await.unwrap();
    scene.server.cli(&["FLUSHALL"]);
    scene.log.acknowledge("database", &[]).await.unwrap();
    assert!(read.is_empty());
    // While a batch is in somebody's hands.
    scene.takes().await;
    let read = scene.log.read("database", 10, 0).await.unwrap();
    scene.server.cli(&["FLUSHALL"]);
    scene.log.acknowledge("database", &[read[0].position.clone()]).await.unwrap();
    scene.takes().await;
    scene.counts(3).await;
}

/// By somebody else, while it was in the hands of one that died.
#[tokio::test]
async fn a_deleted_batch_holds_nobody_up() {
    let scene = Scene::start().await;
    for batch in [b"1\n", b"2\n", b"3\n"] {
        scene.log.append(batch, clock::now()).await.unwrap();
    }
    assert_eq!(scene.log.read("database", 10, 0).await.unwrap().len(), 3);
    let ids = scene.server.cli(&["--raw", "XRANGE", STREAM, "-", "+", "COUNT", "1"]);
    scene.server.cli(&["XDEL", STREAM, ids.lines().next().unwrap()]);
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    let again = logs::open(&scene.server.url(), "faults").read("database", 10, 0).await.unwrap();
    assert_eq!(again.iter().map(|entry| &entry.lines[..]).collect::<Vec<_>>(), [b"2\n", b"3\n"]);
    for entry in again {
        scene.log.acknowledge("database", &[entry.position]).await.unwrap();
    }
    assert_eq!(scene.server.cli(&["XLEN", STREAM]), "0");
    // Not ours at all.
    scene.server.cli(&["XADD", STREAM, "*", "a", "b"]);
    scene.world.count().await;
    assert_eq!(scene.server.cli(&["XLEN", STREAM]), "0");
}

/// Taking in goes on, and nothing is acknowledged that was not counted.
#[tokio::test]
async fn while_the_database_is_away_events_wait_in_redis() {
    let Scene { server, log, world } = Scene::start().await;
    let mut consumer = world.consumer();
    for closed in [false, true] {
        if closed {
            world.store.close().await;
        }
        world.batch(&Batch::new(lines(&[Isolate::new().event()]))).await.ok(StatusCode::OK);
    }
    consumer.pass().await.unwrap_err();
    assert_eq!(log.backlog("database").await.unwrap().batches, 2);
    let again = World::<Sqlite>::on(world.stop().await).await;
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    let settings = ConsumerSettings { retention_days: 90, clock: clock::now, duty: Duty::Count };
    let mut consumer =
        Consumer::new(again.store.clone(), log, Arc::default(), settings, again.metrics.consumer(CONSUMER));
    assert_eq!(consumer.pass().await.unwrap().unwrap().events, 2);
    assert_eq!(server.cli(&["XLEN", STREAM]), "0");
}

/// However many wait, one read has few large ones in memory.
#[tokio::test]
async fn a_read_is_bounded_in_bytes() {
    let scene = Scene::start().await;
    let large = vec![b'x'; 9_000_000];
    for _ in 0..5 {
        scene.log.append(&large, clock::now()).await.unwrap();
    }
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(scene.log.read("database", 8, 0).await.unwrap().len());
    }
    assert_eq!(sizes, [2, 2, 1]);
    tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    assert_eq!(scene.log.read("database", 8, 0).await.unwrap().len(), 2, "of what is claimed too");
}

#[tokio::test]
async fn the_names_of_ended_processes_go() {
    let scene = Scene::start().await;
    let names =
        || scene.server.cli(&["--raw", "XINFO", "CONSUMERS", STREAM, "database"]).matches("name\n").count();
    let started = async |forget_after| {
        let settings = RedisSettings { forget_after, ..logs::short_leases() };
        let log = RedisLog::new(&Address::parse(&scene.server.url()).unwrap(), "faults", settings).unwrap();
        scene.log.append(b"1\n", clock::now()).await.unwrap();
        (log.read("database", 1, 0).await.unwrap().remove(0), log)
    };
    for _ in 0..4 {
        let (entry, log) = started(Duration::from_hours(24)).await;
        log.acknowledge("database", &[entry.position]).await.unwrap();
    }
    let (held, _) = started(Duration::from_hours(24)).await;
    assert_eq!((names(), held.attempts), (5, 1));
    tokio::time::sleep(Duration::from_millis(300)).await;
    started(Duration::from_millis(200)).await;
    assert_eq!(names(), 2, "this one, and the one that holds a batch");
}

#[tokio::test]
async fn what_a_setting_can_lose_is_told_and_strict_refuses_it() {
    let scene = Scene::start().await;
    let strict = RedisSettings { is_strict: true, ..logs::short_leases() };
    let strict = RedisLog::new(&Address::parse(&scene.server.url()).unwrap(), "faults", strict).unwrap();
    assert!(strict.check().await.unwrap().is_lossless());
    for (setting, value, said) in [
        ("appendfsync", "everysec", "two seconds"),
        ("appendfsync", "no", "half a minute"),
        ("no-appendfsync-on-rewrite", "yes", "no-appendfsync-on-rewrite no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("appendonly", "no", "appendonly yes"),
    ] {
        let before = scene.server.cli(&["--raw", "CONFIG", "GET", setting]);
        scene.server.cli(&["CONFIG", "SET", setting, value]);
        let ready = scene.world.get("/readyz").await.ok(StatusCode::OK);
        assert!(ready["event_log_durability"].as_str().unwrap().contains(said), "{setting} {value}: {ready}");
        let scrape = Scrape::of(&scene.world).await;
        assert_eq!(scrape.value("latchkey_event_log_risks", &[]), Some(1.0), "{setting} {value}");
        let LogError::Lossy(lossy) = strict.check().await.unwrap_err() else { panic!("{setting} {value}") };
        assert!(lossy.to_string().contains(said), "{lossy}");
        scene.server.cli(&["CONFIG", "SET", setting, before.lines().last().unwrap()]);
    }
    let port = scene.server.port().to_string();
    let _replica = Server::start(&[&format!("replicaof 127.0.0.1 {port}")]);
    let is_told = async || strict.check().await.is_err_and(|error| error.to_string().contains("failover"));
    for _ in 0..100 {
        if is_told().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the replica is not told");
}
