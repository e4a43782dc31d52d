//! The log in the database (`EVENT_LOG=database`).
//!
//! Both databases commit durably: see `store/sqlite.rs` and `store/postgres.rs`.

use super::durability::Durability;
use super::{Answer, Backlog, Entry, EventLog, LogError, Position, READ_BYTES};
use crate::store::{self, Store, event_log as table};
use shared::id::UnixMs;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// How long a batch stays with who took it; longer than a pass takes. If it
/// takes longer after all, another one counts the same events to no effect.
const LEASE_MS: UnixMs = 30_000;

/// Batches in one transaction.
const GROUP: usize = 64;

#[derive(Debug)]
pub struct DatabaseLog {
    store: Store,
    appends: mpsc::Sender<Append>,
}

/// A batch to be kept, and whom to tell.
#[derive(Debug)]
struct Append {
    lines: Vec<u8>,
    now: UnixMs,
    kept: oneshot::Sender<Result<(), Arc<store::Error>>>,
}

impl DatabaseLog {
    /// What comes while a transaction is under way is kept by the next one
    /// together: to sync the disk for each alone would be most of the work.
    pub fn new(store: Store) -> Self {
        let (appends, waiting) = mpsc::channel(GROUP);
        tokio::spawn(keep(store.clone(), waiting));
        Self { store, appends }
    }

    async fn append(&self, lines: &[u8], now: UnixMs) -> Result<(), LogError> {
        let (kept, answer) = oneshot::channel();
        let append = Append { lines: lines.to_vec(), now, kept };
        // The other end goes only with the runtime.
        self.appends.send(append).await.map_err(|_| store::Error::PoolClosed)?;
        Ok(answer.await.map_err(|_| store::Error::PoolClosed)??)
    }
}

impl EventLog for DatabaseLog {
    fn append<'a>(&'a self, lines: &'a [u8], now: UnixMs) -> Answer<'a, ()> {
        Box::pin(self.append(lines, now))
    }

    fn read<'a>(&'a self, consumer: &'a str, limit: u32, now: UnixMs) -> Answer<'a, Vec<Entry>> {
        Box::pin(read(&self.store, consumer, limit, now))
    }

    fn acknowledge<'a>(&'a self, consumer: &'a str, done: &'a [Position]) -> Answer<'a, ()> {
        Box::pin(acknowledge(&self.store, consumer, done))
    }

    fn backlog<'a>(&'a self, consumer: &'a str) -> Answer<'a, Backlog> {
        Box::pin(backlog(&self.store, consumer))
    }

    fn check(&self) -> Answer<'_, Durability> {
        Box::pin(async { Ok(self.store.ping().await.map(|()| Durability::default())?) })
    }
}

/// Until the log is gone.
async fn keep(store: Store, mut waiting: mpsc::Receiver<Append>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        let outcome = append(&store, &group).await.map_err(Arc::new);
        for append in group.drain(..) {
            // One that does not wait any more sends its batch again, or has left for good.
            let _ = append.kept.send(outcome.clone());
        }
    }
}

async fn append(store: &Store, group: &[Append]) -> Result<(), store::Error> {
    let mut tx = store.write().await?;
    for Append { lines, now, .. } in group {
        table::append(&mut tx, lines, *now).await?;
    }
    tx.commit().await
}

async fn read(store: &Store, consumer: &str, limit: u32, now: UnixMs) -> Result<Vec<Entry>, LogError> {
    // Looked at first, so that an empty log costs no write.
    let mut tx = store.read().await?;
    if !table::is_waiting(&mut tx, consumer).await? {
        return Ok(Vec::new());
    }
    drop(tx);
    let mut tx = store.write().await?;
    let limits = table::Limits { batches: limit, bytes: READ_BYTES };
    let rows = table::take(&mut tx, consumer, limits, now, now.saturating_add(LEASE_MS)).await?;
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
