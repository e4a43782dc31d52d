//! The consumer that counts events in the database. It may be cut off anywhere,
//! and any number of instances may run over one database.

use super::complaint::Complaint;
use super::log::{Entry, EventLog, LogError};
use super::pass::{self, Counted};
use super::retain;
use crate::back_off::{back_off, chance};
use crate::metrics::ConsumerMetrics;
use crate::store::{self, Store};
use crate::telemetry::span;
use shared::id::UnixMs;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tracing::Instrument;
use tracing::field::Empty;

/// Its name in the log.
pub const CONSUMER: &str = "database";

/// Batches in one pass; fewer, if they are large.
const BATCHES: u32 = 32;

/// How often the log is looked at for what another control plane took in, or
/// left behind.
const POLL: Duration = Duration::from_millis(500);

/// How often a log is looked at that is no longer the chosen one, once it is
/// empty: during a rolling deployment others still append to it.
const POLL_OTHER: Duration = Duration::from_secs(10);

/// How often what is too old is removed.
const RETAIN_EVERY: Duration = Duration::from_mins(10);

/// How soon again while more is left.
const RETAIN_ON: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub struct ConsumerSettings {
    /// How long events are kept, in days.
    pub retention_days: u32,
    pub clock: fn() -> UnixMs,
    pub duty: Duty,
}

/// What a consumer is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Counts what is taken in, and removes what is too old.
    Count,
    /// Counts what is left in a log that was chosen before.
    Drain,
}

#[derive(Debug, Error)]
pub enum ConsumeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the database failed: {0}")]
    Store(#[from] store::Error),
}

#[derive(Debug)]
pub struct Consumer {
    store: Store,
    log: Arc<dyn EventLog>,
    wake: Arc<Notify>,
    settings: ConsumerSettings,
    metrics: ConsumerMetrics,
    /// Told after each pass that counted something.
    counted: watch::Sender<()>,
    /// Taken from the log, not yet acknowledged: kept over a failure, so that
    /// they need not wait until their time is over.
    held: Vec<Entry>,
}

impl Consumer {
    /// `wake` is notified when this process has taken something in.
    pub fn new(
        store: Store,
        log: Arc<dyn EventLog>,
        wake: Arc<Notify>,
        settings: ConsumerSettings,
        metrics: ConsumerMetrics,
    ) -> Self {
        let counted = watch::Sender::default();
        Self { store, log, wake, settings, metrics, counted, held: Vec::new() }
    }

    /// Tells `counted` after each pass that counted something.
    #[must_use]
    pub fn telling(self, counted: watch::Sender<()>) -> Self {
        Self { counted, ..self }
    }

    /// Until told to stop; a pass that has begun is finished.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let (mut failures, mut complaint) = (0_u32, Complaint::default());
        let mut retain_at = Instant::now();
        let (retains, poll) = match self.settings.duty {
            Duty::Count => (true, POLL),
            Duty::Drain => (false, POLL_OTHER),
        };
        while !*shutdown.borrow() {
            if retains && retain_at <= Instant::now() {
                retain_at = Instant::now() + self.retain().await;
            }
            let pause = match self.pass().await {
                Ok(counted) => {
                    complaint.succeeded();
                    failures = 0;
                    if counted.is_some() { Duration::ZERO } else { poll }
                }
                Err(error) => {
                    complaint.failed(&error, Instant::now());
                    failures = failures.saturating_add(1);
                    back_off(failures, None, chance())
                }
            };
            let is_idle = failures == 0;
            tokio::select! {
                biased;
                // Its sender gone is a shutdown too.
                ended = shutdown.wait_for(|is_down| *is_down) => if ended.is_err() { return },
                () = self.wake.notified(), if is_idle => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Counts what waits, some batches of it; `None` where nothing does.
    pub async fn pass(&mut self) -> Result<Option<Counted>, ConsumeError> {
        let began = Instant::now();
        let counted = self.count().await;
        match &counted {
            Ok(Some(counted)) => self.metrics.passed(counted, began.elapsed()),
            Ok(None) => {}
            Err(_) => self.metrics.failed(),
        }
        counted
    }

    async fn count(&mut self) -> Result<Option<Counted>, ConsumeError> {
        let now = (self.settings.clock)();
        if self.held.is_empty() {
            self.held = self.log.read(CONSUMER, BATCHES, now).await?;
            let again = self.held.iter().filter(|entry| entry.attempts > 1).count();
            self.metrics.redelivered(again as u64);
        }
        if self.held.is_empty() {
            return Ok(None);
        }
        let span = tracing::info_span!(
            target: span::TARGET,
            "count events",
            otel.kind = "consumer",
            latchkey.batches = span::number(self.held.len()),
            latchkey.events = Empty,
            latchkey.duplicates = Empty,
            latchkey.set_aside = Empty,
        );
        let counted = self.count_held(now).instrument(span.clone()).await;
        match &counted {
            Ok(Counted { events, duplicates, set_aside }) => {
                span.record("latchkey.events", span::number(*events));
                span.record("latchkey.duplicates", span::number(*duplicates));
                span.record("latchkey.set_aside", span::number(*set_aside));
            }
            Err(error) => span::fail(&span, error),
        }
        counted.map(Some)
    }

    async fn count_held(&mut self, now: UnixMs) -> Result<Counted, ConsumeError> {
        let counted = pass::count(&self.store, &self.held, now).await?;
        self.counted.send_replace(());
        let done: Vec<_> = self.held.iter().map(|entry| entry.position.clone()).collect();
        self.log.acknowledge(CONSUMER, &done).await?;
        self.held.clear();
        Ok(counted)
    }

    /// Returns how long until the next time.
    async fn retain(&self) -> Duration {
        let now = (self.settings.clock)();
        match retain::run(&self.store, self.settings.retention_days, now).await {
            Ok(removed) if removed.is_partial => RETAIN_ON,
            Ok(_) => RETAIN_EVERY,
            Err(error) => {
                tracing::warn!(%error, "old events cannot be removed; trying again in 10 minutes");
                RETAIN_EVERY
            }
        }
    }
}
