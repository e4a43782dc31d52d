//! The snapshot: compiled from the database, published to KV.
//!
//! A change is recorded in the outbox by the transaction that makes it. The
//! publisher reads what the outbox names as it is *now*, writes it as the
//! manifest's delta, and marks the rows it told once KV acknowledged. When the
//! delta is full, what changed is compacted into immutable objects. Of several
//! control planes over one database, the one with the lease publishes.

mod base;
pub mod by_hand;
mod compact;
mod error;
mod fresh;
mod garbage;
mod handle;
mod inspect;
pub mod kv;
mod lease;
mod order;
mod pace;
mod plan;
mod publish;
mod run;
mod upload;
mod verify;
mod version;

pub use error::PublishError;
pub use handle::{SnapshotHandle, Status, WhoPublishes};
pub use inspect::{Overview, Rebuild, overview, rebuild};
pub use verify::{Report, verify};

use crate::metrics::PublisherMetrics;
use crate::store::Store;
use shared::id::UnixMs;
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;
use zeroize::Zeroizing;

#[derive(Clone, Debug)]
pub struct PublisherSettings {
    pub deployment_id: String,
    /// Up to and including the account: `https://api.cloudflare.com/client/v4/accounts/{id}`.
    pub kv_api_base: Url,
    pub kv_namespace_id: String,
    /// None where the base is the local dev server.
    pub cloudflare_api_token: Option<Zeroizing<String>>,
    pub signer: Arc<SnapshotSigner>,
    /// For the manifest in KV, which an earlier signing key may have signed.
    pub verifier: SnapshotVerifier,
    /// The manifest is signed anew this often, so that its age tells the health
    /// of the whole path.
    pub heartbeat: Duration,
    /// How long objects are in KV before a manifest names them.
    pub settle: Duration,
    /// How long the one who publishes may be silent before another one does.
    pub lease: Duration,
    pub clock: fn() -> UnixMs,
}

/// Starts the publisher. It ends after `shutdown`, with a last attempt if
/// something is pending; to be told once no more requests are being answered.
pub fn start(
    settings: PublisherSettings,
    store: Store,
    shutdown: watch::Receiver<bool>,
) -> (SnapshotHandle, JoinHandle<()>) {
    start_measured(settings, store, PublisherMetrics::default(), shutdown)
}

/// The same, which counts its publications in `metrics`.
pub fn start_measured(
    settings: PublisherSettings,
    store: Store,
    metrics: PublisherMetrics,
    shutdown: watch::Receiver<bool>,
) -> (SnapshotHandle, JoinHandle<()>) {
    let kv = kv_client(&settings);
    let shared = Arc::new(handle::Shared::new(metrics));
    let (announcements, queue) = mpsc::channel(fresh::QUEUE_LEN);
    let (keeper, terms) = lease::Keeper::new(store.clone(), settings.lease);

    let writer = fresh::FreshWriter::new(&settings, store.clone(), kv.clone(), fresh::BETWEEN_CALLS);
    let publisher = run::Loop {
        settings,
        store: store.clone(),
        kv: kv.clone(),
        shared: Arc::clone(&shared),
        terms: terms.clone(),
        complaint: run::Complaint::default(),
    };
    let task = tokio::spawn(async move {
        // End with the loop: a token announced after that is in the manifest of
        // the next start.
        let mut beside = JoinSet::new();
        beside.spawn(writer.run(queue));
        beside.spawn(keeper.run());
        publisher.run(shutdown).await;
    });
    (SnapshotHandle { store, kv, shared, announcements, terms }, task)
}

fn kv_client(settings: &PublisherSettings) -> kv::KvClient {
    let PublisherSettings { kv_api_base, kv_namespace_id, cloudflare_api_token, .. } = settings;
    kv::KvClient::new(kv_api_base.clone(), kv_namespace_id.clone(), cloudflare_api_token.as_ref())
}
