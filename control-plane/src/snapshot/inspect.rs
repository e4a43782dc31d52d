//! What the command line shows of the snapshot, from the database and KV alone.

use super::error::PublishError;
use super::{PublisherSettings, order, plan, version};
use crate::store::{Store, orders, outbox, snapshot as rows};
use crate::timestamp::Timestamp;
use serde::Serialize;
use shared::snapshot::MANIFEST_KEY;
use std::time::Duration;
use tokio::time::Instant;

/// Where the snapshot stands.
#[derive(Debug, Serialize)]
pub struct Overview {
    pub published_version: u64,
    pub published_at: Option<Timestamp>,
    /// Changes not published yet.
    pub pending: u64,
    /// The age of the oldest of them.
    pub lag_ms: u64,
    /// Of the manifest and all objects it names.
    pub size_bytes: u64,
    pub tokens: u64,
    pub base: Option<BaseOverview>,
    /// The manifest as KV has it, or why it cannot be used.
    pub in_kv: Result<InKvOverview, String>,
}

#[derive(Debug, Serialize)]
pub struct BaseOverview {
    pub tokens: u64,
    /// When the whole database was last read.
    pub whole_at: Timestamp,
    /// A newer one is uploaded, and not named by a manifest yet.
    pub is_settling: bool,
}

#[derive(Debug, Serialize)]
pub struct InKvOverview {
    pub version: u64,
    pub age_seconds: u64,
}

/// How far a rebuild is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuild {
    /// The one who publishes reads the database and uploads.
    Compiling,
    /// Everything is in KV, and must reach every location before it is named.
    Settling,
}

impl Rebuild {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compiling => "the database is read, and objects are uploaded",
            Self::Settling => "uploaded; waiting until every location has it",
        }
    }
}

pub async fn overview(settings: &PublisherSettings, store: &Store) -> Result<Overview, PublishError> {
    let now = (settings.clock)();
    let object = super::kv_client(settings).get(MANIFEST_KEY).await;
    let in_kv = object
        .map_err(PublishError::from)
        .and_then(|object| version::read(object.as_deref(), &settings.verifier, &settings.deployment_id));
    let mut tx = store.read().await?;
    let publication = rows::publication(&mut tx).await?;
    let backlog = outbox::backlog(&mut tx).await?;
    let is_settling = rows::is_settling(&mut tx).await?;
    let base = plan::current_base(&mut tx).await?;
    let rows::Publication { version, published_at, size_bytes, tokens } = publication.unwrap_or_default();
    Ok(Overview {
        published_version: version,
        published_at: publication.map(|_| Timestamp(published_at)),
        pending: backlog.pending,
        lag_ms: backlog.oldest.map_or(0, |oldest| now.saturating_sub(oldest)),
        size_bytes,
        tokens,
        base: base.map(|(_, content)| BaseOverview {
            tokens: content.tokens,
            whole_at: Timestamp(content.whole_at),
            is_settling,
        }),
        in_kv: match in_kv {
            Ok(manifest) => Ok(InKvOverview {
                version: manifest.version,
                age_seconds: now.saturating_sub(manifest.created_at) / 1000,
            }),
            Err(error) => Err(error.to_string()),
        },
    })
}

/// Nothing else is heard of a publisher that reads ten million tokens.
const PATIENCE: Duration = Duration::from_mins(30);
const LOOK: Duration = Duration::from_millis(250);

/// Has all objects made anew, waits until a manifest names them, and says in
/// which version.
pub async fn rebuild(store: &Store, progress: &mut (dyn FnMut(Rebuild) + Send)) -> Result<u64, PublishError> {
    let before = current_base(store).await?;
    let order = order::place(store, orders::Kind::Rebuild).await?;
    progress(Rebuild::Compiling);
    order::wait(store, orders::Kind::Rebuild, order, PATIENCE).await?;
    progress(Rebuild::Settling);
    let start = Instant::now();
    let mut is_settling = true;
    while start.elapsed() < PATIENCE {
        if is_settling {
            let mut tx = store.read().await?;
            is_settling = rows::is_settling(&mut tx).await?;
        } else if current_base(store).await? <= before {
            let what = "objects were missing from KV before they were in use: order the rebuild again";
            return Err(PublishError::Told(what.to_owned()));
        } else if publish(store).await.is_ok() {
            // It names the new base. One that failed is tried again by whoever publishes.
            let mut tx = store.read().await?;
            return Ok(rows::publication(&mut tx).await?.unwrap_or_default().version);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(PublishError::Unanswered(PATIENCE))
}

/// The number of the base that manifests name; they grow.
async fn current_base(store: &Store) -> Result<Option<i64>, PublishError> {
    let mut tx = store.read().await?;
    Ok(plan::current_base(&mut tx).await?.map(|(id, _)| id))
}

async fn publish(store: &Store) -> Result<(), PublishError> {
    let order = order::place(store, orders::Kind::Publish).await?;
    order::wait(store, orders::Kind::Publish, order, PATIENCE).await
}
