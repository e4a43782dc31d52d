//! The snapshot: compiled from the database, published to KV.
//!
//! A change is recorded in the outbox by the transaction that makes it. The
//! publisher reads what the outbox names as it is *now*, writes it as the
//! manifest's delta, and marks the rows it told once KV acknowledged. When the
//! delta is full, the whole database is compacted into immutable objects.

mod base;
mod compact;
mod error;
mod fresh;
mod handle;
pub mod kv;
mod pace;
mod plan;
mod publish;
mod run;
mod version;

pub use error::PublishError;
pub use handle::{SnapshotHandle, Status};

use crate::store::Store;
use shared::snapshot::signed::SnapshotSigner;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
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
    /// The manifest is signed anew this often, so that its age tells the health
    /// of the whole path.
    pub heartbeat: Duration,
    /// How long objects are in KV before a manifest names them.
    pub settle: Duration,
}

/// Starts the publisher. It ends after `shutdown`, with a last attempt if
/// something is pending; to be told once no more requests are being answered.
pub fn start(
    settings: PublisherSettings,
    store: Store,
    shutdown: watch::Receiver<bool>,
) -> (SnapshotHandle, JoinHandle<()>) {
    let PublisherSettings { kv_api_base, kv_namespace_id, cloudflare_api_token, .. } = &settings;
    let kv = kv::KvClient::new(kv_api_base.clone(), kv_namespace_id.clone(), cloudflare_api_token.as_ref());
    let shared = Arc::new(handle::Shared::default());
    let (orders, received_orders) = mpsc::channel(64);
    let (announcements, queue) = mpsc::channel(fresh::QUEUE_LEN);

    let writer = fresh::FreshWriter {
        store: store.clone(),
        kv: kv.clone(),
        deployment_id: settings.deployment_id.clone(),
        signer: Arc::clone(&settings.signer),
    };
    let publisher = run::Loop {
        pace: pace::Pace::new(settings.heartbeat, Instant::now()),
        publisher: publish::Publisher::new(settings, store.clone(), kv.clone(), Arc::clone(&shared)),
        shared: Arc::clone(&shared),
        orders: received_orders,
        waiting: Vec::new(),
        complaint: run::Complaint::default(),
    };
    let writer = tokio::spawn(writer.run(queue));
    let task = tokio::spawn(async move {
        publisher.run(shutdown).await;
        // A token announced after this is in the manifest of the next start.
        writer.abort();
    });
    (SnapshotHandle { store, kv, shared, orders, announcements }, task)
}
