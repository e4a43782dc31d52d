//! How far a sink is behind.

use crate::store::{Connection, Error, events};
use shared::id::UnixMs;

/// What a sink has not been given yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    pub events: u64,
    /// When the request ended that waits longest.
    pub oldest_ended_at: Option<UnixMs>,
}

impl Lag {
    /// Of a sink at this position.
    pub async fn at(conn: &mut Connection, position: i64) -> Result<Self, Error> {
        let last = events::last_position(conn).await?;
        let next = if last > position { events::after(conn, position, 1).await? } else { Vec::new() };
        Ok(Self {
            events: (last - position).max(0).unsigned_abs(),
            oldest_ended_at: next.first().map(|row| row.event.ended_at.unsigned_abs()),
        })
    }
}
