//! The publisher's loop: one task, which alone writes the manifest.

use super::error::PublishError;
use super::handle::{Order, Shared};
use super::pace::{self, Pace};
use super::publish::Publisher;
use crate::clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What a publication may take when the process is about to end.
const LAST_ATTEMPT: Duration = Duration::from_secs(3);
/// A failure that lasts is logged this often.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

pub(super) struct Loop {
    pub(super) publisher: Publisher,
    pub(super) pace: Pace,
    pub(super) shared: Arc<Shared>,
    pub(super) orders: mpsc::Receiver<Order>,
    /// Who waits for the next publication.
    pub(super) waiting: Vec<Order>,
    pub(super) complaint: Complaint,
}

impl Loop {
    pub(super) async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        loop {
            // A step that is cut off leaves what a crash would leave, which is nothing.
            tokio::select! {
                biased;
                () = is_down(&mut shutdown) => break,
                () = self.step() => {}
            }
        }
        self.publisher.abort_compaction();
        if matches!(self.publisher.has_news(clock::now()).await, Ok(true)) || !self.waiting.is_empty() {
            let last = tokio::time::timeout(LAST_ATTEMPT, self.attempt(false));
            if !matches!(last.await, Ok(Ok(()))) {
                tracing::warn!(
                    "stopped before the last changes were published; the next start publishes them"
                );
            }
        }
    }

    async fn step(&mut self) {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(self.pace.wake_at()) => self.turn().await,
            Some(order) = self.orders.recv() => {
                self.waiting.push(order);
                self.pace.want_now();
            }
            () = self.shared.wake.notified() => self.pace.want(),
        }
    }

    async fn turn(&mut self) {
        let now = Instant::now();
        self.pace.polled(now);
        if let Err(error) = self.publisher.finish_compaction(clock::now()).await {
            tracing::warn!(%error, "a compaction failed; it begins anew");
        }
        // A database that fails is told of by the attempt.
        if self.publisher.has_news(clock::now()).await.unwrap_or(true) {
            self.pace.want();
        }
        if self.pace.is_due(now) {
            let verify = self.pace.is_heartbeat_due(now);
            // Its outcome went to whoever is concerned.
            let _ = self.attempt(verify).await;
        }
    }

    async fn attempt(&mut self, verify: bool) -> Result<(), PublishError> {
        self.pace.started(Instant::now());
        let outcome = self.publisher.publish(verify, clock::now()).await;
        let now = Instant::now();
        match &outcome {
            Ok(()) => self.pace.succeeded(now),
            Err(error) => self.pace.failed(now, error.retry_after(), pace::chance()),
        }
        self.complaint.hear(outcome.as_ref().err(), now);
        self.shared.report(&outcome);
        for order in self.waiting.drain(..) {
            // Who stopped waiting does not mind.
            let _ = order.send(outcome.clone());
        }
        outcome
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
