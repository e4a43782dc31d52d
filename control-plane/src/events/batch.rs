//! A batch: JSON lines, each an event or not.

use shared::event::{Event, EventError};
use shared::id::{self, UnixMs};
use thiserror::Error;

/// How far ahead an edge's clock may be.
const MAX_AHEAD_MS: UnixMs = 5 * 60 * 1000;

/// Longer than a queue and its dead letters keep anything, and no longer than
/// the ledger outlives an event: what is older could be counted twice.
pub const MAX_AGE_MS: UnixMs = 30 * 24 * 60 * 60 * 1000;

/// How far the time in an event's id may be from the request it is of.
const MAX_ID_DRIFT_MS: UnixMs = 60 * 60 * 1000;

/// Why a line is not counted.
#[derive(Debug, Error)]
pub enum Unfit {
    #[error(transparent)]
    NoEvent(#[from] EventError),
    #[error("`{0}` is more than 5 minutes after it came")]
    Future(&'static str),
    #[error("`ended_at` is more than 30 days before it came")]
    Old,
    #[error("the time in `id` is more than an hour from the request's")]
    Id,
}

/// The lines of a batch that are not empty.
pub fn lines(batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    batch.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// The event in a line that came at `received_at`.
pub fn judge(line: &[u8], received_at: UnixMs) -> Result<Event, Unfit> {
    let event = Event::parse(line)?;
    let latest = received_at.saturating_add(MAX_AHEAD_MS);
    let first_byte_at = event.first_byte_at.unwrap_or_default();
    let times = [("ended_at", event.ended_at), ("first_byte_at", first_byte_at)];
    if let Some((field, _)) = times.into_iter().find(|&(_, at)| at > latest) {
        return Err(Unfit::Future(field));
    }
    if event.ended_at < received_at.saturating_sub(MAX_AGE_MS) {
        return Err(Unfit::Old);
    }
    let made_at = id::issued_at(event.id).unwrap_or_default();
    let from = event.started_at.saturating_sub(MAX_ID_DRIFT_MS);
    if !(from..=event.ended_at.saturating_add(MAX_ID_DRIFT_MS)).contains(&made_at) {
        return Err(Unfit::Id);
    }
    Ok(event)
}
