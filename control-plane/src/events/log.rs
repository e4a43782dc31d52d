//! The durable log: batches of events, kept until every consumer is done with them.

pub mod database;

use crate::store;
use shared::id::UnixMs;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use thiserror::Error;

#[derive(Debug, Error)]
#[error("the event log failed: {0}")]
pub struct LogError(#[from] store::Error);

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

/// Where batches wait. A consumer is known by its name and may have any number
/// of instances; each batch is in the hands of one, until it is acknowledged or
/// its time is over.
pub trait EventLog: Debug + Send + Sync {
    /// Returns once the batch is durable.
    fn append<'a>(&'a self, lines: &'a [u8], now: UnixMs) -> Answer<'a, ()>;

    /// Up to `limit` of the oldest batches that are in nobody's hands.
    fn read<'a>(&'a self, consumer: &'a str, limit: u32, now: UnixMs) -> Answer<'a, Vec<Entry>>;

    /// The consumer is done with these.
    fn acknowledge<'a>(&'a self, consumer: &'a str, done: &'a [Position]) -> Answer<'a, ()>;

    fn backlog<'a>(&'a self, consumer: &'a str) -> Answer<'a, Backlog>;
}
