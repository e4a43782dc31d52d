//! Why a snapshot was not published.

use super::kv::KvError;
use crate::store;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Cloned to everyone who waits for the publication that failed.
#[derive(Clone, Debug, Error)]
pub enum PublishError {
    #[error("the database failed: {0}")]
    Store(Arc<store::snapshot::Error>),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error("the snapshot cannot be encoded: {0}")]
    Encode(String),
    #[error(
        "the KV namespace holds the snapshot of deployment {0:?}: \
         two deployments cannot share one namespace"
    )]
    OtherDeployment(String),
    #[error("another control plane publishes now")]
    Deposed,
    #[error("work beside the publications was cut off: {0}")]
    CutOff(String),
    #[error("no control plane published within {0:?}; is one running?")]
    Unanswered(Duration),
    /// What the publisher, in whatever process, said.
    #[error("{0}")]
    Told(String),
}

impl From<store::snapshot::Error> for PublishError {
    fn from(error: store::snapshot::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl PublishError {
    /// The least time before another attempt can help, if KV said so.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Kv(KvError::RateLimited(wait)) => Some(*wait),
            Self::Kv(_)
            | Self::Store(_)
            | Self::Encode(_)
            | Self::OtherDeployment(_)
            | Self::Deposed
            | Self::CutOff(_)
            | Self::Unanswered(_)
            | Self::Told(_) => None,
        }
    }
}
