//! The log in the database (`EVENT_LOG=database`).
//!
//! Both databases commit durably: see `store/sqlite.rs` and `store/postgres.rs`.

use super::durability::Durability;
use super::{Answer, Backlog, Entry, EventLog, LogError, Position};
use crate::store::{Store, event_log as table};
use shared::id::UnixMs;

/// How long a batch stays with who took it; longer than a pass takes. If it
/// takes longer after all, another one counts the same events to no effect.
const LEASE_MS: UnixMs = 30_000;

#[derive(Clone, Debug)]
pub struct DatabaseLog(Store);

impl DatabaseLog {
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

impl EventLog for DatabaseLog {
    fn append<'a>(&'a self, lines: &'a [u8], now: UnixMs) -> Answer<'a, ()> {
        Box::pin(append(&self.0, lines, now))
    }

    fn read<'a>(&'a self, consumer: &'a str, limit: u32, now: UnixMs) -> Answer<'a, Vec<Entry>> {
        Box::pin(read(&self.0, consumer, limit, now))
    }

    fn acknowledge<'a>(&'a self, consumer: &'a str, done: &'a [Position]) -> Answer<'a, ()> {
        Box::pin(acknowledge(&self.0, consumer, done))
    }

    fn backlog<'a>(&'a self, consumer: &'a str) -> Answer<'a, Backlog> {
        Box::pin(backlog(&self.0, consumer))
    }

    fn check(&self) -> Answer<'_, Durability> {
        Box::pin(async { Ok(self.0.ping().await.map(|()| Durability::default())?) })
    }
}

async fn append(store: &Store, lines: &[u8], now: UnixMs) -> Result<(), LogError> {
    let mut tx = store.write().await?;
    table::append(&mut tx, lines, now).await?;
    Ok(tx.commit().await?)
}

async fn read(store: &Store, consumer: &str, limit: u32, now: UnixMs) -> Result<Vec<Entry>, LogError> {
    // Looked at first, so that an empty log costs no write.
    let mut tx = store.read().await?;
    if table::waiting(&mut tx, consumer).await?.batches == 0 {
        return Ok(Vec::new());
    }
    drop(tx);
    let mut tx = store.write().await?;
    let rows = table::take(&mut tx, consumer, limit.into(), now, now.saturating_add(LEASE_MS)).await?;
    tx.commit().await?;
    Ok(rows.into_iter().map(Entry::from).collect())
}

async fn acknowledge(store: &Store, consumer: &str, done: &[Position]) -> Result<(), LogError> {
    let positions: Vec<i64> = done.iter().filter_map(|Position(text)| text.parse().ok()).collect();
    let mut tx = store.write().await?;
    table::acknowledge(&mut tx, consumer, &positions).await?;
    Ok(tx.commit().await?)
}

async fn backlog(store: &Store, consumer: &str) -> Result<Backlog, LogError> {
    let mut tx = store.read().await?;
    let table::Waiting { batches, oldest } = table::waiting(&mut tx, consumer).await?;
    Ok(Backlog { batches: batches.cast_unsigned(), oldest: oldest.map(i64::cast_unsigned) })
}

impl From<table::BatchRow> for Entry {
    fn from(row: table::BatchRow) -> Self {
        let table::BatchRow { position, received_at, lines, attempts } = row;
        Self {
            position: Position(position.to_string()),
            received_at: received_at.cast_unsigned(),
            lines,
            attempts: attempts.cast_unsigned(),
        }
    }
}
