//! One publication: look at KV when in doubt, read the database, write the
//! manifest, record what it told.
//!
//! Killed between any two steps it leaves nothing that the next attempt must
//! know: rows that KV was told but that were not marked are told again.

use super::base::Content;
use super::compact::{self, Compiled, Naming};
use super::error::PublishError;
use super::handle::Shared;
use super::plan::{self, Fill, Plan};
use super::version::{self, InKv};
use super::{PublisherSettings, kv::KvClient};
use crate::store::snapshot::{self as rows, Publication};
use crate::store::{Store, outbox};
use shared::id::UnixMs;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::signed::SnapshotVerifier;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// The prefixes of all immutable objects.
const OBJECT_PREFIXES: [&str; 3] = ["shard/", "project/", "providers/"];

#[derive(Debug)]
pub(super) struct Publisher {
    settings: PublisherSettings,
    store: Store,
    kv: KvClient,
    shared: Arc<Shared>,
    belief: Belief,
    compaction: Option<JoinHandle<Result<Compiled, PublishError>>>,
}

/// What this process thinks is under the manifest's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// Nothing was looked at since the start.
    Unknown,
    /// A write failed, perhaps after KV had taken it.
    Uncertain,
    /// This version, unless someone else wrote.
    Holds(u64),
}

impl Publisher {
    pub(super) fn new(settings: PublisherSettings, store: Store, kv: KvClient, shared: Arc<Shared>) -> Self {
        Self { settings, store, kv, shared, belief: Belief::Unknown, compaction: None }
    }

    /// `verify`: the belief about KV is to be checked even if there is no doubt.
    pub(super) async fn publish(&mut self, verify: bool, now: UnixMs) -> Result<(), PublishError> {
        let in_kv = match self.belief {
            Belief::Holds(version) if !verify => Some(version),
            Belief::Unknown | Belief::Uncertain | Belief::Holds(_) => self.look(now).await?,
        };
        // A base that cannot be looked at must not hold a revocation back.
        let adopted = self.adopt_settled(now).await;
        let mut plan = Plan::read(&self.store).await?;
        match plan.fill()? {
            Fill::Fits => {}
            Fill::Full => self.start_compaction(&plan, now),
            Fill::Oversize => {
                self.rebase(&plan.content.keys().collect(), now).await?;
                plan = Plan::read(&self.store).await?;
            }
        }
        let last = plan.last_version.max(self.shared.highest());
        self.write(&plan, version::next(last, in_kv, now), now).await?;
        adopted
    }

    async fn write(&mut self, plan: &Plan, version: u64, now: UnixMs) -> Result<(), PublishError> {
        let object = plan
            .manifest(&self.settings.deployment_id, version, now)
            .encode(&self.settings.signer)
            .map_err(|error| PublishError::Encode(error.to_string()))?;
        let size_bytes = plan.content.size_bytes + object.len() as u64;
        self.shared.attempt(version);
        self.belief = Belief::Uncertain;
        self.kv.put(MANIFEST_KEY, object).await?;
        self.belief = Belief::Holds(version);

        let publication = Publication { version, published_at: now, size_bytes, tokens: plan.tokens() };
        let mut tx = self.store.write().await?;
        outbox::mark_published(&mut tx, version, &plan.seqs).await?;
        let (base_id, _) = plan::current_base(&mut tx).await?;
        outbox::delete_told(&mut tx, base_id).await?;
        rows::save_publication(&mut tx, publication).await?;
        tx.commit().await?;
        tracing::debug!(version, changes = plan.seqs.len(), "snapshot published");
        Ok(())
    }

    /// Reads the manifest in KV, and restores what a wiped KV has lost.
    async fn look(&mut self, now: UnixMs) -> Result<Option<u64>, PublishError> {
        let found = self.kv.get(MANIFEST_KEY).await?;
        let verifier = SnapshotVerifier::from(&*self.settings.signer);
        let in_kv = version::judge(found.as_deref(), &verifier, &self.settings.deployment_id);
        if let InKv::OtherDeployment(other) = in_kv {
            self.belief = Belief::Uncertain;
            return Err(PublishError::OtherDeployment(other));
        }
        let is_as_written = match &in_kv {
            InKv::Ours(found) => self.wrote(*found).await?,
            InKv::Missing | InKv::OtherDeployment(_) | InKv::Unusable(_) => false,
        };
        match &in_kv {
            InKv::Unusable(error) => {
                tracing::error!(%error, "the manifest in KV is not from this deployment's key: overwriting it");
            }
            InKv::Missing if self.belief != Belief::Unknown => {
                tracing::warn!("the manifest is missing from KV: publishing again");
            }
            InKv::Missing | InKv::Ours(_) | InKv::OtherDeployment(_) => {}
        }
        if !is_as_written || self.belief == Belief::Unknown {
            self.restore_objects(now).await?;
        }
        Ok(if let InKv::Ours(version) = in_kv { Some(version) } else { None })
    }

    /// Whether `version` is the last that this deployment wrote, or tried to.
    async fn wrote(&self, version: u64) -> Result<bool, PublishError> {
        let mut tx = self.store.read().await?;
        let on_record = rows::publication(&mut tx).await?.unwrap_or_default().version;
        Ok(version == on_record || version == self.shared.highest())
    }

    /// Where an object of the current base is gone, a new base is compiled and
    /// named at once: an edge has nothing better, so nothing is lost by its
    /// coming early.
    async fn restore_objects(&mut self, now: UnixMs) -> Result<(), PublishError> {
        let mut tx = self.store.read().await?;
        let (base_id, current) = plan::current_base(&mut tx).await?;
        drop(tx);
        if base_id == 0 {
            return Ok(());
        }
        let present = self.objects_in_kv().await?;
        if is_whole(&current, &present) {
            return Ok(());
        }
        tracing::warn!("objects of the snapshot are missing from KV: uploading them again");
        self.rebase(&present, now).await
    }

    /// Lets manifests name the newest base that was uploaded long enough ago,
    /// unless KV was wiped since; then a full delta starts the next compaction.
    async fn adopt_settled(&mut self, now: UnixMs) -> Result<(), PublishError> {
        let mut tx = self.store.read().await?;
        let settled = rows::settled_base(&mut tx, self.settled_before(now)).await?;
        drop(tx);
        let Some(row) = settled else { return Ok(()) };
        let is_whole = is_whole(&plan::parse(&row)?, &self.objects_in_kv().await?);
        let mut tx = self.store.write().await?;
        if is_whole {
            rows::adopt_base(&mut tx, row.id).await?;
            tracing::info!(base = row.id, "the compacted snapshot has settled");
        } else {
            rows::drop_settling(&mut tx).await?;
            tracing::warn!(base = row.id, "objects of the compacted snapshot are missing from KV");
        }
        Ok(tx.commit().await?)
    }

    async fn objects_in_kv(&self) -> Result<HashSet<String>, PublishError> {
        let mut present = HashSet::new();
        for prefix in OBJECT_PREFIXES {
            present.extend(self.kv.keys(prefix).await?);
        }
        Ok(present)
    }

    async fn rebase(&mut self, in_kv: &HashSet<String>, now: UnixMs) -> Result<(), PublishError> {
        self.abort_compaction();
        let compiled = compact::compile(&self.store, &self.kv, in_kv, now).await?;
        compact::keep(&self.store, &compiled, Naming::AtOnce, now).await
    }

    /// One at a time, beside the publications, which go on with the old base.
    fn start_compaction(&mut self, plan: &Plan, now: UnixMs) {
        if plan.is_settling || self.compaction.is_some() {
            return;
        }
        let (store, kv) = (self.store.clone(), self.kv.clone());
        let in_kv: HashSet<String> = plan.content.keys().collect();
        self.compaction = Some(tokio::spawn(async move { compact::compile(&store, &kv, &in_kv, now).await }));
    }

    /// Puts a finished compaction on record; its objects settle from `now`.
    pub(super) async fn finish_compaction(&mut self, now: UnixMs) -> Result<(), PublishError> {
        let Some(task) = self.compaction.take_if(|task| task.is_finished()) else { return Ok(()) };
        match task.await {
            Ok(compiled) => compact::keep(&self.store, &compiled?, Naming::Settled, now).await,
            Err(error) => {
                tracing::error!(%error, "a compaction was cut off");
                Ok(())
            }
        }
    }

    pub(super) fn abort_compaction(&mut self) {
        if let Some(task) = self.compaction.take() {
            task.abort();
        }
    }

    /// Whether there is anything that a publication would tell: changes, or a
    /// base that has settled.
    pub(super) async fn has_news(&self, now: UnixMs) -> Result<bool, PublishError> {
        let mut tx = self.store.read().await?;
        Ok(outbox::backlog(&mut tx).await?.pending > 0
            || rows::settled_base(&mut tx, self.settled_before(now)).await?.is_some())
    }

    fn settled_before(&self, now: UnixMs) -> UnixMs {
        now.saturating_sub(u64::try_from(self.settings.settle.as_millis()).unwrap_or(u64::MAX))
    }
}

fn is_whole(content: &Content, present: &HashSet<String>) -> bool {
    content.keys().all(|key| present.contains(&key))
}
