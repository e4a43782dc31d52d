//! Removes what is too old. Sums are kept for good.

use super::batch::MAX_AGE_MS;
use super::pass::DAY_MS;
use crate::store::{
    self, Store, dead_letters, event_isolates, event_ledger, event_log, event_set_aside, events,
};
use shared::id::{self, UnixMs};

/// Rows that one transaction removes, so that others do not wait long for it.
const AT_ONCE: i64 = 5_000;

/// A batch that nobody waits for is removed when it was acknowledged, unless
/// two consumers did so at the same moment.
const UNWANTED_MS: UnixMs = 10 * 60 * 1000;

/// Lines that are no events: the newest so many.
const SET_ASIDE_KEPT: i64 = 10_000;

/// Transactions of one run for each table; then others have their turn.
const ROUNDS: u32 = 20;

/// How much was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub events: u64,
    pub ledger: u64,
    /// Of events that are no longer kept.
    pub dead_letters: u64,
    /// More may be left.
    pub is_partial: bool,
}

/// Keeps events for `days`, and for 30 days more what says that they were counted.
pub async fn run(store: &Store, days: u32, now: UnixMs) -> Result<Removed, store::Error> {
    let oldest = now.saturating_sub(u64::from(days) * DAY_MS);
    let remembered = oldest.saturating_sub(MAX_AGE_MS);
    let mut removed = Removed::default();
    let tables = [
        Table::Events { before: oldest },
        Table::DeadLetters { before: oldest },
        Table::Ledger { before: remembered },
    ];
    for table in tables {
        for round in 1..=ROUNDS {
            let rows = table.remove(store).await?;
            match table {
                Table::Events { .. } => removed.events += rows,
                Table::DeadLetters { .. } => removed.dead_letters += rows,
                Table::Ledger { .. } => removed.ledger += rows,
            }
            if rows < AT_ONCE.cast_unsigned() {
                break;
            }
            removed.is_partial |= round == ROUNDS;
        }
    }
    let mut tx = store.write().await?;
    event_log::sweep(&mut tx, now.saturating_sub(UNWANTED_MS)).await?;
    event_isolates::delete_before(&mut tx, remembered).await?;
    event_set_aside::trim(&mut tx, SET_ASIDE_KEPT).await?;
    tx.commit().await?;
    if removed.events + removed.dead_letters + removed.ledger > 0 {
        tracing::info!(removed.events, removed.dead_letters, removed.ledger, "old events were removed");
    }
    Ok(removed)
}

#[derive(Clone, Copy)]
enum Table {
    Events { before: UnixMs },
    DeadLetters { before: UnixMs },
    Ledger { before: UnixMs },
}

impl Table {
    /// One transaction; returns how many rows it removed.
    async fn remove(self, store: &Store) -> Result<u64, store::Error> {
        let mut tx = store.write().await?;
        let rows = match self {
            Self::Events { before } => {
                events::delete_below(&mut tx, id::new(before, &[0; 10]), AT_ONCE).await?
            }
            Self::DeadLetters { before } => {
                dead_letters::delete_of_events_below(&mut tx, id::new(before, &[0; 10]), AT_ONCE).await?
            }
            Self::Ledger { before } => {
                event_ledger::delete_before(&mut tx, (before / DAY_MS).cast_signed(), AT_ONCE).await?
            }
        };
        tx.commit().await?;
        Ok(rows)
    }
}
