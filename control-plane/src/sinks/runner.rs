//! Delivers to one sink, batch after batch, for as long as its claim holds.

use super::claim::{BEAT, Claim};
use super::feed::{self, Batch};
use super::{Sink, SinkError, kept};
use crate::back_off::{back_off, chance};
use crate::chance;
use crate::store::dead_letters::{self, DeadLetterRow};
use crate::store::sinks::{Advance, SinkRow};
use crate::store::{self, Store};
use shared::id::{self, UnixMs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often it is looked whether another process has counted something.
const POLL: Duration = Duration::from_millis(500);

/// How long what is being delivered may take to end when it is told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// Events refused one after another, after which the next are tried slowly: it
/// may be the sink that is wrong, not the events.
const MAX_REFUSED: u32 = 20;

/// The longest that a sink may ask to be left alone.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

#[derive(Debug)]
pub struct Runner {
    store: Store,
    sink: Arc<dyn Sink>,
    claim: Claim,
    name: String,
    clock: fn() -> UnixMs,
    timeout: Duration,
    batch_size: i64,
    /// Events in the next batch: fewer after a batch was refused, until the one
    /// that it was refused for is found.
    limit: i64,
    position: i64,
    /// Since the last success.
    failures: u32,
    /// Events that were refused since one was not.
    refused: u32,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There may be more to deliver.
    Moved,
    /// There is nothing to deliver.
    Idle,
    /// The sink did not take it now.
    Wait(Duration),
    /// Somebody else delivers, or the sink is gone.
    Lost,
}

impl Runner {
    pub fn new(
        store: Store,
        row: &SinkRow,
        sink: Arc<dyn Sink>,
        claim: Claim,
        clock: fn() -> UnixMs,
    ) -> Self {
        Self {
            store,
            sink,
            claim,
            name: row.name.clone(),
            clock,
            timeout: Duration::from_secs(row.timeout_seconds.unsigned_abs()),
            batch_size: row.batch_size.max(1),
            limit: row.batch_size.max(1),
            position: row.position,
            failures: u32::try_from(row.failures).unwrap_or(u32::MAX),
            refused: 0,
        }
    }

    /// Until it is told to stop or has lost its claim. `counted` tells that
    /// there is more to deliver.
    pub async fn run(mut self, mut counted: watch::Receiver<()>, mut stop: watch::Receiver<bool>) {
        loop {
            counted.mark_unchanged();
            let turn = {
                let turn = self.turn();
                tokio::pin!(turn);
                tokio::select! {
                    turn = &mut turn => turn,
                    () = stopped(&mut stop) => {
                        // What has not ended by then will be delivered again.
                        timeout(GRACE, turn).await.ok();
                        break;
                    }
                }
            };
            let wakes = matches!(turn, Ok(Turn::Idle));
            let pause = match turn {
                Ok(Turn::Moved) => Duration::ZERO,
                Ok(Turn::Idle) => POLL,
                Ok(Turn::Wait(pause)) => pause,
                Ok(Turn::Lost) => return,
                Err(error) => {
                    tracing::warn!(sink = self.name, %error, "the sink waits for the database");
                    back_off(1, None, chance())
                }
            };
            let is_held = tokio::select! {
                () = stopped(&mut stop) => break,
                Ok(()) = counted.changed(), if wakes => true,
                is_held = self.pause(pause) => is_held,
            };
            if !is_held {
                return;
            }
        }
        self.claim.release(&self.store).await;
    }

    /// Delivers the next batch, once.
    pub async fn turn(&mut self) -> Result<Turn, store::Error> {
        if !self.claim.keep(&self.store).await? {
            return Ok(Turn::Lost);
        }
        let Some(batch) = feed::after(&self.store, self.position, self.limit).await? else {
            return Ok(Turn::Idle);
        };
        if batch.events.is_empty() {
            return self.advance(&batch, None).await;
        }
        let Some(outcome) = self.deliver(&batch).await? else { return Ok(Turn::Lost) };
        match outcome {
            Ok(()) => {
                // What was refused is looked for in halves; then it goes on as before.
                self.limit = self.limit.saturating_mul(2).min(self.batch_size);
                self.refused = 0;
                self.advance(&batch, None).await
            }
            Err(SinkError::Refused(reason)) if batch.events.len() == 1 => self.bury(&batch, reason).await,
            Err(SinkError::Refused(_)) => {
                self.limit = i64::try_from(batch.events.len() / 2).unwrap_or(1).max(1);
                Ok(Turn::Moved)
            }
            Err(SinkError::Unavailable { message, retry_after }) => self.fail(&message, retry_after).await,
        }
    }

    /// Goes on without the one event of this batch.
    async fn bury(&mut self, batch: &Batch, reason: String) -> Result<Turn, store::Error> {
        tracing::warn!(sink = self.name, reason, "the sink refused an event: it is a dead letter now");
        let turn = self.advance(batch, Some(reason)).await?;
        self.refused = self.refused.saturating_add(1);
        let too_many = self.refused.saturating_sub(MAX_REFUSED);
        let is_slowed = turn == Turn::Moved && too_many > 0;
        Ok(if is_slowed { Turn::Wait(back_off(too_many, None, chance())) } else { turn })
    }

    /// None where the claim was lost meanwhile.
    async fn deliver(&mut self, batch: &Batch) -> Result<Option<Result<(), SinkError>>, store::Error> {
        let delivery = timeout(self.timeout, self.sink.deliver(&batch.events));
        tokio::pin!(delivery);
        loop {
            tokio::select! {
                biased;
                ended = &mut delivery => {
                    let late = || SinkError::unavailable(format!("no answer within {} s", self.timeout.as_secs()));
                    return Ok(Some(ended.unwrap_or_else(|_| Err(late()))));
                }
                () = sleep(BEAT) => {
                    // While the database is away nobody else can take it either.
                    if let Ok(false) = self.claim.keep(&self.store).await {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Past a batch that was delivered, or past one event that is a dead letter.
    async fn advance(&mut self, batch: &Batch, refused: Option<String>) -> Result<Turn, store::Error> {
        let at = (self.clock)();
        let count = i64::try_from(batch.events.len()).unwrap_or(i64::MAX);
        let delivered = if refused.is_some() { 0 } else { count };
        let (from, to, skipped) = (self.position, batch.to, batch.skipped);
        let mut tx = self.store.write().await?;
        let advance = Advance { from, to, delivered, skipped, at: at.cast_signed() };
        if !self.claim.advance(&mut tx, &advance).await? {
            return Ok(Turn::Lost);
        }
        if let (Some(reason), Some(listed)) = (refused, batch.events.first()) {
            let random = chance::bytes().map_err(|error| store::Error::Io(std::io::Error::other(error)))?;
            let letter = DeadLetterRow {
                id: id::new(at, &random),
                sink_id: self.claim.sink_id(),
                event_id: listed.event.id,
                reason: kept(&reason),
                created_at: at.cast_signed(),
            };
            dead_letters::insert(&mut tx, &letter).await?;
        }
        tx.commit().await?;
        self.position = to;
        if skipped > 0 {
            tracing::warn!(
                sink = self.name,
                skipped,
                "events were removed for their age before the sink had them"
            );
        }
        if self.failures > 0 {
            tracing::info!(sink = self.name, self.failures, "the sink takes events again");
            self.failures = 0;
        }
        Ok(Turn::Moved)
    }

    async fn fail(&mut self, message: &str, retry_after: Option<Duration>) -> Result<Turn, store::Error> {
        if self.failures == 0 {
            tracing::warn!(sink = self.name, message, "the sink takes no events; trying again");
        }
        self.failures = self.failures.saturating_add(1);
        if !self.claim.fail(&self.store, &kept(message), (self.clock)()).await? {
            return Ok(Turn::Lost);
        }
        let retry_after = retry_after.map(|wait| wait.min(LONGEST_WAIT));
        Ok(Turn::Wait(back_off(self.failures, retry_after, chance())))
    }

    /// Waits and keeps the claim; says whether it was kept.
    async fn pause(&mut self, mut rest: Duration) -> bool {
        while rest > BEAT {
            sleep(BEAT).await;
            rest = rest.saturating_sub(BEAT);
            if let Ok(false) = self.claim.keep(&self.store).await {
                return false;
            }
        }
        sleep(rest).await;
        true
    }
}

/// Its sender gone is a stop too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|is_stopped| *is_stopped).await);
}
