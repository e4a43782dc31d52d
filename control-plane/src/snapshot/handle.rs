//! What the rest of the control plane holds of the publisher.

use super::error::PublishError;
use super::fresh::Announcement;
use super::kv::KvClient;
use super::lease::{Right, Term};
use super::order;
use crate::clock;
use crate::metrics::PublisherMetrics;
use crate::store::{Store, lease, orders, outbox, snapshot as rows};
use shared::id::UnixMs;
use shared::snapshot::record::TokenRecord;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use uuid::Uuid;

/// How long who asks for a publication waits for it. Longer than a lease: the
/// one who publishes may have to be elected first.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the creation of a token waits for KV.
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);

/// Where the snapshot stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest version that was tried.
    pub version: u64,
    /// The newest version that KV acknowledged.
    pub published_version: u64,
    pub published_at: Option<UnixMs>,
    /// Changes not published yet.
    pub pending: u64,
    /// The age of the oldest of them.
    pub lag_ms: u64,
    /// Of the manifest and all objects it names.
    pub size_bytes: u64,
    pub tokens: u64,
    pub publisher: WhoPublishes,
}

/// Of the control planes over this database. One that died counts until its
/// lease lapses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoPublishes {
    This,
    Another,
    Nobody,
}

/// What the loop tells the handles.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Something changed.
    pub(super) wake: Notify,
    /// Somebody waits for a publication.
    pub(super) ordered: Notify,
    highest: AtomicU64,
    /// Set while the namespace belongs to another deployment.
    conflict: Mutex<Option<PublishError>>,
    metrics: PublisherMetrics,
}

impl Shared {
    pub(super) fn new(metrics: PublisherMetrics) -> Self {
        Self { metrics, ..Self::default() }
    }

    /// The highest version that this process tried to write.
    pub(super) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Relaxed)
    }

    pub(super) fn attempt(&self, version: u64) {
        self.highest.fetch_max(version, Ordering::Relaxed);
    }

    pub(super) fn report(&self, outcome: &Result<(), PublishError>) {
        match outcome {
            Ok(()) => self.metrics.published(),
            // Another one publishes now: nothing failed.
            Err(PublishError::Deposed) => {}
            Err(_) => self.metrics.failed(),
        }
        let mut conflict = self.conflict.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => *conflict = None,
            Err(error @ PublishError::OtherDeployment(_)) => *conflict = Some(error.clone()),
            // KV or the database failed: who owns the namespace was not looked at.
            Err(_) => {}
        }
    }

    fn conflict(&self) -> Result<(), PublishError> {
        self.conflict.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

/// A cheap clone; the publisher runs on when all are dropped.
#[derive(Clone, Debug)]
pub struct SnapshotHandle {
    pub(super) store: Store,
    pub(super) kv: KvClient,
    pub(super) shared: Arc<Shared>,
    pub(super) announcements: mpsc::Sender<Announcement>,
    pub(super) terms: watch::Receiver<Option<Term>>,
}

impl SnapshotHandle {
    /// Wakes the publisher: to be called after every commit that wrote the
    /// outbox. A wake that is missed costs at most a second.
    pub fn changed(&self) {
        self.shared.wake.notify_one();
    }

    /// Tells every edge of a token that was just committed. False if KV did not
    /// acknowledge in time; the write goes on, and the manifest tells it too.
    pub async fn announce(&self, record: TokenRecord, project_id: Uuid) -> bool {
        let (done, acknowledged) = oneshot::channel();
        let announcement = Announcement { record, project_id, done };
        if self.announcements.try_send(announcement).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(ANNOUNCE_WAIT, acknowledged).await, Ok(Ok(true)))
    }

    /// Publishes whether or not anything changed, and waits for it. Whichever
    /// control plane has the lease does it.
    pub async fn publish_now(&self) -> Result<Status, PublishError> {
        let order = order::place(&self.store, orders::Kind::Publish).await?;
        self.shared.ordered.notify_one();
        order::wait(&self.store, orders::Kind::Publish, order, PATIENCE).await?;
        self.status().await
    }

    pub async fn status(&self) -> Result<Status, PublishError> {
        self.shared.conflict()?;
        let mut tx = self.store.read().await?;
        let publication = rows::publication(&mut tx).await?;
        let backlog = outbox::backlog(&mut tx).await?;
        let holder = lease::get(&mut tx).await?.holder;
        let published_at = publication.map(|publication| publication.published_at);
        let rows::Publication { version, size_bytes, tokens, .. } = publication.unwrap_or_default();
        Ok(Status {
            version: version.max(self.shared.highest()),
            published_version: version,
            published_at,
            pending: backlog.pending,
            lag_ms: backlog.oldest.map_or(0, |oldest| clock::now().saturating_sub(oldest)),
            size_bytes,
            tokens,
            publisher: self.publisher(holder),
        })
    }

    fn publisher(&self, holder: Option<Uuid>) -> WhoPublishes {
        match (Right::current(&self.terms), holder) {
            (Some(right), Some(holder)) if right.holder() == holder => WhoPublishes::This,
            (_, Some(_)) => WhoPublishes::Another,
            (_, None) => WhoPublishes::Nobody,
        }
    }

    /// Whether KV answers, and the namespace is this deployment's.
    pub async fn kv_ready(&self) -> Result<(), String> {
        self.shared.conflict().map_err(|error| error.to_string())?;
        self.kv.ready().await.map_err(|error| error.to_string())
    }
}
