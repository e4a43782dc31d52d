//! The durable log: batches of events, kept until every consumer is done with them.

pub mod database;
pub mod durability;
pub mod redis;
pub mod watch;

use crate::store;
use durability::Durability;
use shared::id::UnixMs;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use thiserror::Error;

/// Why a log did not do what was asked. Whatever it is, a batch that was not
/// acknowledged may be sent again.
#[derive(Debug, Error)]
pub enum LogError {
    #[error("the database failed: {0}")]
    Database(#[from] Arc<store::Error>),
    /// Also: it does not answer in time.
    #[error("Redis cannot be reached: {0}")]
    Unreachable(String),
    #[error("Redis is full: {0}")]
    Full(String),
    #[error("Redis takes no writes: {0}")]
    ReadOnly(String),
    #[error("Redis refused: {0}")]
    Refused(String),
    #[error("EVENT_LOG_STRICT is set, and the log can lose what it acknowledged: {0}")]
    Lossy(Durability),
}

pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, LogError>> + Send + 'a>>;

/// Names a batch to the log that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position(String);

/// A batch in the hands of a consumer.
#[derive(Clone, Debug)]
pub struct Entry {
    pub position: Position,
    pub received_at: UnixMs,
    /// JSON lines, as they came.
    pub lines: Vec<u8>,
    /// How often it was given out, this time included.
    pub attempts: u64,
}

/// What a consumer is not done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub batches: u64,
    /// When the oldest came.
    pub oldest: Option<UnixMs>,
}

/// What one read gives out at most, and one batch more: the size of a batch is
/// known only when it is there.
pub const READ_BYTES: u32 = 16 * 1024 * 1024;

/// Where batches wait. A consumer is known by its name and may have any number
/// of instances; each batch is in the hands of one, until it is acknowledged or
/// its time is over.
pub trait EventLog: Debug + Send + Sync {
    /// Returns once the batch is durable.
    fn append<'a>(&'a self, lines: &'a [u8], now: UnixMs) -> Answer<'a, ()>;

    /// Up to `limit` of the oldest batches that are in nobody's hands, and of no
    /// more than [`READ_BYTES`] and one batch.
    fn read<'a>(&'a self, consumer: &'a str, limit: u32, now: UnixMs) -> Answer<'a, Vec<Entry>>;

    /// The consumer is done with these.
    fn acknowledge<'a>(&'a self, consumer: &'a str, done: &'a [Position]) -> Answer<'a, ()>;

    fn backlog<'a>(&'a self, consumer: &'a str) -> Answer<'a, Backlog>;

    /// What may be lost of what was acknowledged; an error where nothing can be
    /// taken in, as far as that can be told without taking anything in.
    fn check(&self) -> Answer<'_, Durability>;
}

impl From<store::Error> for LogError {
    fn from(error: store::Error) -> Self {
        Arc::new(error).into()
    }
}

impl Backlog {
    /// Of two logs together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let oldest = self.oldest.into_iter().chain(other.oldest).min();
        Self { batches: self.batches + other.batches, oldest }
    }
}
