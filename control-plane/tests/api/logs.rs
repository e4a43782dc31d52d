//! Event logs that tests have to themselves.

use crate::database::Database;
use crate::redis_server::Redis as Server;
use control_plane::clock;
use control_plane::events::log::EventLog;
use control_plane::events::log::database::DatabaseLog;
use control_plane::events::log::redis::{Address, RedisLog, RedisSettings};
use control_plane::store::sql::query;
use control_plane::store::{Store, migrate};
use shared::id::UnixMs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(crate) trait Log: Sized {
    async fn create() -> Self;

    /// As another process opens it.
    fn open(&self) -> Arc<dyn EventLog>;

    fn now(&self) -> UnixMs;

    /// Has the time of all that was given out until now be over.
    async fn end_leases(&mut self);

    /// From now on batches are kept for it too.
    async fn attach(&self, consumer: &str);

    /// How many batches it holds.
    async fn kept(&self) -> u64;
}

pub(crate) struct Table<D> {
    store: Store,
    now: UnixMs,
    _database: D,
}

impl<D: Database> Log for Table<D> {
    async fn create() -> Self {
        let database = D::create();
        migrate::up(&database.url()).await.unwrap();
        let store = Store::connect(&database.url()).await.unwrap();
        Self { store, now: clock::now(), _database: database }
    }

    fn open(&self) -> Arc<dyn EventLog> {
        Arc::new(DatabaseLog::new(self.store.clone()))
    }

    fn now(&self) -> UnixMs {
        self.now
    }

    async fn end_leases(&mut self) {
        self.now += 60_000;
    }

    async fn attach(&self, consumer: &str) {
        let mut tx = self.store.write().await.unwrap();
        let insert = "insert into event_consumers (name) values ($1) on conflict do nothing";
        query(insert).bind(consumer).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn kept(&self) -> u64 {
        let mut tx = self.store.read().await.unwrap();
        query("select count(*) from event_log").scalar::<i64>(&mut tx).await.unwrap().cast_unsigned()
    }
}

/// Of a deployment of its own, on the server that all share.
pub(crate) struct Redis(String);

/// Long enough for a few commands on a busy machine.
pub(crate) const LEASE: Duration = Duration::from_millis(1_500);

pub(crate) fn short_leases() -> RedisSettings {
    RedisSettings { lease: LEASE, ..RedisSettings::new(false, clock::now) }
}

pub(crate) fn deployment() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn open(url: &str, deployment: &str) -> Arc<dyn EventLog> {
    Arc::new(RedisLog::new(&Address::parse(url).unwrap(), deployment, short_leases()).unwrap())
}

impl Log for Redis {
    async fn create() -> Self {
        Self(deployment())
    }

    fn open(&self) -> Arc<dyn EventLog> {
        open(&Server::shared().url(), &self.0)
    }

    fn now(&self) -> UnixMs {
        clock::now()
    }

    async fn end_leases(&mut self) {
        tokio::time::sleep(LEASE + Duration::from_millis(100)).await;
    }

    async fn attach(&self, consumer: &str) {
        assert!(self.open().read(consumer, 1, 0).await.unwrap().is_empty());
    }

    async fn kept(&self) -> u64 {
        let stream = format!("latchkey:{{{}}}:events", self.0);
        Server::shared().cli(&["XLEN", &stream]).parse().unwrap()
    }
}
