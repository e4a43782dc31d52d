//! Tells the log of a failure when it begins, each minute while it lasts, and of its end.

use std::fmt::Display;
use std::time::Duration;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Complaint {
    logged_at: Option<Instant>,
}

impl Complaint {
    pub(super) fn failed(&mut self, error: &dyn Display, now: Instant) {
        if self.logged_at.is_none_or(|at| now.duration_since(at) >= EVERY) {
            tracing::error!(%error, "events cannot be counted; trying again");
            self.logged_at = Some(now);
        }
    }

    pub(super) fn succeeded(&mut self) {
        if self.logged_at.take().is_some() {
            tracing::info!("events are counted again");
        }
    }
}
