//! Which of several control planes delivers to a sink.
//!
//! A claim is a holder and a beat that grows while the holder lives. No clock is
//! compared with another one's: who sees the same beat for [`LAPSE`] takes the
//! sink. What a holder that was paused still delivers, the next one may deliver
//! again; but only the holder moves the position.

use crate::store::sinks::{self, Advance, SinkRow};
use crate::store::{self, Store, Tx};
use shared::id::UnixMs;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// How often a holder tells that it lives.
pub(super) const BEAT: Duration = Duration::from_secs(3);

/// How long after its last beat a holder counts as dead.
pub(super) const LAPSE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Claim {
    sink_id: Uuid,
    holder: Uuid,
    kept_at: Instant,
}

impl Claim {
    /// Takes the sink unless its row has changed; `holder` is this process.
    pub async fn take(store: &Store, row: &SinkRow, holder: Uuid) -> Result<Option<Self>, store::Error> {
        let kept_at = Instant::now();
        let mut tx = store.write().await?;
        let is_mine = sinks::take(&mut tx, row.id, holder, row.beat).await?;
        tx.commit().await?;
        Ok(is_mine.then_some(Self { sink_id: row.id, holder, kept_at }))
    }

    pub(super) fn sink_id(&self) -> Uuid {
        self.sink_id
    }

    /// Beats if it is time to; says whether the claim holds, as far as that is known.
    pub(super) async fn keep(&mut self, store: &Store) -> Result<bool, store::Error> {
        if self.kept_at.elapsed() < BEAT {
            return Ok(true);
        }
        let kept_at = Instant::now();
        let mut tx = store.write().await?;
        let is_held = sinks::renew(&mut tx, self.sink_id, self.holder).await?;
        tx.commit().await?;
        self.kept_at = kept_at;
        Ok(is_held)
    }

    /// Moves the sink on; says whether the claim holds.
    pub(super) async fn advance(&self, tx: &mut Tx, advance: &Advance) -> Result<bool, store::Error> {
        sinks::advance(tx, self.sink_id, self.holder, advance).await
    }

    /// Records why a delivery failed; says whether the claim holds.
    pub(super) async fn fail(&self, store: &Store, error: &str, at: UnixMs) -> Result<bool, store::Error> {
        let mut tx = store.write().await?;
        let is_held = sinks::fail(&mut tx, self.sink_id, self.holder, error, at.cast_signed()).await?;
        tx.commit().await?;
        Ok(is_held)
    }

    /// Lets another process have the sink at once. That it may fail costs only time.
    pub(super) async fn release(self, store: &Store) {
        let release = async {
            let mut tx = store.write().await?;
            sinks::release(&mut tx, self.sink_id, self.holder).await?;
            tx.commit().await
        };
        if let Err(error) = release.await {
            tracing::warn!(%error, "a sink was not given back; another control plane takes it soon");
        }
    }
}

/// Beats of others, and since when each was seen.
#[derive(Debug, Default)]
pub(super) struct Beats(HashMap<Uuid, (i64, Instant)>);

impl Beats {
    /// Whether nobody delivers to the sink, as far as that can be told at `now`.
    pub(super) fn is_free(&mut self, row: &SinkRow, now: Instant) -> bool {
        let (beat, since) = self.0.entry(row.id).or_insert((row.beat, now));
        if *beat != row.beat {
            (*beat, *since) = (row.beat, now);
        }
        row.holder.is_none() || now.duration_since(*since) >= LAPSE
    }

    /// Forgets sinks that are gone.
    pub(super) fn retain(&mut self, rows: &[SinkRow]) {
        self.0.retain(|id, _| rows.iter().any(|row| row.id == *id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(holder: Option<u8>, beat: i64) -> SinkRow {
        let holder = holder.map(|byte| Uuid::from_bytes([byte; 16]));
        SinkRow { holder, beat, ..SinkRow::new(Uuid::nil(), 0) }
    }

    #[test]
    fn a_holder_counts_as_dead_when_it_has_not_beaten_for_long() {
        let (mut beats, start) = (Beats::default(), Instant::now());
        let just_before = start + LAPSE.saturating_sub(Duration::from_millis(1));
        assert!(beats.is_free(&row(None, 7), start));
        assert!(!beats.is_free(&row(Some(1), 8), start));
        assert!(!beats.is_free(&row(Some(1), 8), just_before));
        // It lives: its time begins anew.
        assert!(!beats.is_free(&row(Some(1), 9), start + LAPSE));
        assert!(!beats.is_free(&row(Some(1), 9), just_before + LAPSE));
        assert!(beats.is_free(&row(Some(1), 9), start + 2 * LAPSE));
    }
}
