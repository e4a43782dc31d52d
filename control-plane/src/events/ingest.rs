//! Takes batches in from the edge: a signed call, kept durably before it is answered.

use super::batch;
use super::log::{Backlog, EventLog, LogError};
use super::nonces::Nonces;
use crate::metrics::IngestMetrics;
use crate::telemetry::span;
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::signed_call::{Call, CallError};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::Notify;
use tracing::Instrument;

/// 16 MB: the largest batch.
pub const MAX_BATCH: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub struct Ingest {
    keys: KeyRing,
    nonces: Nonces,
    log: Arc<dyn EventLog>,
    /// Chosen before, and drained.
    other: Option<Arc<dyn EventLog>>,
    wake: Arc<Notify>,
    metrics: IngestMetrics,
}

/// What became of a batch's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub accepted: u64,
    pub set_aside: u64,
}

#[derive(Debug, Error)]
pub enum IngestError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the call was made before; if its answer was lost, sign it anew with another nonce")]
    Replayed,
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Ingest {
    /// `EDGE_INGEST_KEY` and the log; `wake` tells the consumer of this process.
    pub fn new(keys: KeyRing, log: Arc<dyn EventLog>, wake: Arc<Notify>, metrics: IngestMetrics) -> Self {
        Self { keys, nonces: Nonces::default(), log, other: None, wake, metrics }
    }

    /// What waits in `other` too is told.
    #[must_use]
    pub fn beside(self, other: Option<Arc<dyn EventLog>>) -> Self {
        Self { other, ..self }
    }

    /// Verifies the call and keeps its body. A sender that hears nothing, or of
    /// a failure, sends the same batch again: its events count once.
    pub async fn take(&self, call: &Call<'_>, signature: &str, now: UnixMs) -> Result<Taken, IngestError> {
        let taken = self.keep(call, signature, now).await;
        match &taken {
            Ok(taken) => self.metrics.accepted(taken, call.body.len()),
            Err(IngestError::Call(_) | IngestError::Replayed) => self.metrics.refused(),
            Err(IngestError::Log(_)) => self.metrics.failed(),
        }
        taken
    }

    async fn keep(&self, call: &Call<'_>, signature: &str, now: UnixMs) -> Result<Taken, IngestError> {
        call.verify(signature, &self.keys, now / 1000)?;
        if !self.nonces.insert(call.nonce, now / 1000) {
            return Err(IngestError::Replayed);
        }
        let taken = look(call.body, now);
        if taken != Taken::default() {
            self.append(call.body, taken, now).await?;
            self.wake.notify_one();
        }
        Ok(taken)
    }

    async fn append(&self, body: &[u8], taken: Taken, now: UnixMs) -> Result<(), LogError> {
        let span = tracing::info_span!(
            target: span::TARGET,
            "append batch",
            latchkey.batch.bytes = span::number(body.len()),
            latchkey.events = span::number(taken.accepted),
            latchkey.set_aside = span::number(taken.set_aside),
        );
        let appended = self.log.append(body, now).instrument(span.clone()).await;
        if let Err(error) = &appended {
            span::fail(&span, error);
        }
        appended
    }

    pub fn log(&self) -> &dyn EventLog {
        &*self.log
    }

    /// What `consumer` is not done with, in whichever log.
    pub async fn backlog(&self, consumer: &str) -> Result<Backlog, LogError> {
        let backlog = self.log.backlog(consumer).await?;
        match &self.other {
            Some(other) => Ok(backlog.and(other.backlog(consumer).await?)),
            None => Ok(backlog),
        }
    }
}

/// Says what the consumer will find: it judges the lines in the same way, and
/// sets aside those that are no events.
fn look(body: &[u8], now: UnixMs) -> Taken {
    batch::lines(body).fold(Taken::default(), |taken, line| match batch::judge(line, now) {
        Ok(_) => Taken { accepted: taken.accepted + 1, ..taken },
        Err(_) => Taken { set_aside: taken.set_aside + 1, ..taken },
    })
}
