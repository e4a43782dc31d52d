//! The publisher's loop: one task, which alone writes the manifest, and only
//! while this process has the lease.

use super::PublisherSettings;
use super::error::PublishError;
use super::handle::Shared;
use super::kv::KvClient;
use super::lease::{Right, Term};
use super::pace::Pace;
use super::publish::Publisher;
use crate::back_off::chance;
use crate::store::{Store, orders};
use crate::telemetry::span;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

/// What a publication may take when the process is about to end.
const LAST_ATTEMPT: Duration = Duration::from_secs(3);
/// A failure that lasts is logged this often.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

pub(super) struct Loop {
    pub(super) settings: PublisherSettings,
    pub(super) store: Store,
    pub(super) kv: KvClient,
    pub(super) shared: Arc<Shared>,
    pub(super) terms: watch::Receiver<Option<Term>>,
    pub(super) complaint: Complaint,
}

impl Loop {
    /// Runs until `shutdown`, with a last attempt if something is pending.
    pub(super) async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            let right = tokio::select! {
                biased;
                () = is_down(&mut shutdown) => return,
                right = self.gain() => right,
            };
            let mut reign = Reign::new(&self, right);
            // A step that is cut off leaves what a crash would leave, which is nothing.
            let is_down = tokio::select! {
                biased;
                () = is_down(&mut shutdown) => true,
                () = reign.run(&mut self.complaint) => false,
            };
            if is_down {
                return reign.end(&mut self.complaint).await;
            }
        }
    }

    /// Waits for the lease.
    async fn gain(&mut self) -> Right {
        loop {
            if let Some(right) = Right::current(&self.terms) {
                return right;
            }
            // A keeper that is gone gives no more terms.
            if self.terms.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The loop while one term lasts.
struct Reign {
    publisher: Publisher,
    pace: Pace,
    store: Store,
    shared: Arc<Shared>,
    clock: fn() -> u64,
}

impl Reign {
    fn new(of: &Loop, right: Right) -> Self {
        let Loop { settings, store, kv, shared, .. } = of;
        let (pace, clock) = (Pace::new(settings.heartbeat, Instant::now()), settings.clock);
        let (settings, kv) = (settings.clone(), kv.clone());
        let publisher = Publisher::new(settings, store.clone(), kv, Arc::clone(shared), right);
        Self { publisher, pace, store: store.clone(), shared: Arc::clone(shared), clock }
    }

    /// Returns when the lease is lost.
    async fn run(&mut self, complaint: &mut Complaint) {
        while self.publisher.right().remaining().is_ok() {
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.pace.wake_at()) => self.turn(complaint).await,
                () = self.shared.wake.notified() => self.pace.want(),
                () = self.shared.ordered.notified() => self.pace.want_now(),
            }
        }
    }

    async fn turn(&mut self, complaint: &mut Complaint) {
        let now = Instant::now();
        self.pace.polled(now);
        // A database that fails is told of by the attempt.
        if self.publisher.has_news((self.clock)()).await.unwrap_or(true) {
            self.pace.want();
        }
        if self.pace.is_due(now) {
            let verify = self.pace.is_heartbeat_due(now);
            // Its outcome went to whoever is concerned.
            let _ = self.attempt(verify, complaint).await;
        }
        let work = async {
            self.publisher.finish_work((self.clock)()).await?;
            self.publisher.start_due_work((self.clock)()).await
        };
        if let Err(error) = work.await {
            tracing::warn!(%error, "work beside the publications failed; it begins anew");
        }
    }

    async fn order(&self) -> Result<Option<i64>, PublishError> {
        let mut tx = self.store.read().await?;
        Ok(orders::pending(&mut tx, orders::Kind::Publish).await?)
    }

    async fn attempt(&mut self, verify: bool, complaint: &mut Complaint) -> Result<(), PublishError> {
        self.pace.started(Instant::now());
        let span = tracing::info_span!(
            target: span::TARGET,
            "publish snapshot",
            latchkey.snapshot.version = Empty,
            latchkey.snapshot.changes = Empty,
            latchkey.snapshot.bytes = Empty,
        );
        let outcome = self.publish(verify).instrument(span.clone()).await;
        if let Err(error) = &outcome {
            span::fail(&span, error);
        }
        let now = Instant::now();
        match &outcome {
            Ok(()) => self.pace.succeeded(verify),
            Err(error) => self.pace.failed(now, error.retry_after(), chance()),
        }
        complaint.hear(outcome.as_ref().err(), now);
        self.shared.report(&outcome);
        outcome
    }

    /// An order that came before the attempt is answered with its outcome; who
    /// is deposed leaves it to the one who publishes now.
    async fn publish(&mut self, verify: bool) -> Result<(), PublishError> {
        let order = self.order().await?;
        let outcome = self.publisher.publish(verify, (self.clock)()).await;
        let is_deposed = matches!(outcome, Err(PublishError::Deposed));
        if let Some(order) = order.filter(|_| !is_deposed) {
            let error = outcome.as_ref().err().map(ToString::to_string);
            let mut tx = self.store.write().await?;
            orders::done(&mut tx, orders::Kind::Publish, order, error.as_deref()).await?;
            tx.commit().await?;
        }
        outcome
    }

    /// A last attempt if something is pending; then another one may publish.
    async fn end(mut self, complaint: &mut Complaint) {
        self.publisher.end_work();
        if matches!(self.publisher.has_news((self.clock)()).await, Ok(true)) {
            let last = tokio::time::timeout(LAST_ATTEMPT, self.attempt(false, complaint));
            if !matches!(last.await, Ok(Ok(()))) {
                tracing::warn!(
                    "stopped before the last changes were published; the next start publishes them"
                );
            }
        }
        self.publisher.right().clone().release(&self.store).await;
    }
}

/// Its sender gone is a shutdown too.
async fn is_down(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|is_down| *is_down).await;
}

/// Logs a failure when it begins, each minute while it lasts, and its end.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    logged_at: Option<Instant>,
}

impl Complaint {
    fn hear(&mut self, error: Option<&PublishError>, now: Instant) {
        match (error, self.logged_at) {
            (None, None) => {}
            (None, Some(_)) => {
                tracing::info!("the snapshot is published again");
                self.logged_at = None;
            }
            (Some(_), Some(at)) if now.duration_since(at) < COMPLAIN_EVERY => {}
            (Some(error), _) => {
                tracing::error!(%error, "the snapshot cannot be published; trying again");
                self.logged_at = Some(now);
            }
        }
    }
}
