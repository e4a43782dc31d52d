//! One publication: look at KV when in doubt, read the database, write the
//! manifest, record what it told.
//!
//! Killed between any two steps it leaves nothing that the next attempt must
//! know: rows that KV was told but that were not marked are told again.

use super::base::Objects;
use super::compact::{self, Compiled, Scope};
use super::error::PublishError;
use super::garbage;
use super::handle::Shared;
use super::lease::Right;
use super::plan::{self, Fill, Plan};
use super::version::{self, InKv};
use super::{PublisherSettings, kv::KvClient};
use crate::store::snapshot::{self as rows, Publication};
use crate::store::{Store, Tx, lease, orders, outbox, unreferenced};
use crate::telemetry::span;
use shared::id::UnixMs;
use shared::snapshot::MANIFEST_KEY;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tracing::Span;

/// The database is read whole at least so often, so that what has ended leaves.
const WHOLE_EVERY_MS: UnixMs = 24 * 60 * 60 * 1000;
const SWEEP_EVERY_MS: UnixMs = 60 * 60 * 1000;
/// Of the call that writes the manifest; less when the lease ends earlier.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Publisher {
    settings: PublisherSettings,
    store: Store,
    kv: KvClient,
    shared: Arc<Shared>,
    right: Right,
    belief: Belief,
    /// Later than every manifest that was found in KV, whatever the clocks
    /// said: a base compiled from now on knows more than those.
    compiled_from: UnixMs,
    work: Option<Work>,
    /// The delta is to be compacted.
    is_full: bool,
    swept_at: Option<UnixMs>,
}

/// What this process thinks is under the manifest's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// Nothing was looked at since the term began.
    Unknown,
    /// A write failed, perhaps after KV had taken it.
    Uncertain,
    /// This version, unless someone else wrote.
    Holds(u64),
}

/// What runs beside the publications; one at a time.
#[derive(Debug)]
enum Work {
    /// With the number of the order to rebuild that it carries out, if any.
    Compaction(JoinHandle<Result<Compiled, PublishError>>, Option<i64>),
    Sweep(JoinHandle<Result<bool, PublishError>>),
}

/// When a base may be named by a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// Once its objects have reached every location: a read that comes too
    /// early is remembered as missing there.
    Settled,
    /// At once: KV has nothing else that an edge could go on with.
    AtOnce,
}

impl Publisher {
    /// For one term: the next one begins with knowing nothing.
    pub(super) fn new(
        settings: PublisherSettings,
        store: Store,
        kv: KvClient,
        shared: Arc<Shared>,
        right: Right,
    ) -> Self {
        let (belief, compiled_from) = (Belief::Unknown, 0);
        let (work, is_full, swept_at) = (None, false, None);
        Self { settings, store, kv, shared, right, belief, compiled_from, work, is_full, swept_at }
    }

    pub(super) fn right(&self) -> &Right {
        &self.right
    }

    /// `verify`: the belief about KV is to be checked even if there is no doubt.
    pub(super) async fn publish(&mut self, verify: bool, now: UnixMs) -> Result<(), PublishError> {
        let in_kv = match self.belief {
            Belief::Holds(version) if !verify => Some(version),
            Belief::Unknown | Belief::Uncertain | Belief::Holds(_) => self.look(now).await?,
        };
        // A base that cannot be looked at must not hold a revocation back.
        let adopted = self.adopt_settled(now).await;
        let mut plan = Plan::read(&self.store, now).await?;
        match plan.fill()? {
            Fill::Fits => self.is_full = false,
            Fill::Full => self.is_full = true,
            Fill::Oversize => {
                let in_kv = self.named_by_current().await?;
                self.rebase(in_kv, Scope::Touched, now).await?;
                plan = Plan::read(&self.store, now).await?;
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
        let size_bytes = plan.size_bytes() + object.len() as u64;
        let deadline = self.right.remaining()?.min(WRITE_DEADLINE);
        self.shared.attempt(version);
        self.belief = Belief::Uncertain;
        self.kv.put(MANIFEST_KEY, object, deadline).await?;
        self.belief = Belief::Holds(version);

        let publication = Publication { version, published_at: now, size_bytes, tokens: plan.tokens() };
        let mut tx = self.guarded().await?;
        outbox::mark_published(&mut tx, version, &plan.seqs).await?;
        if let Some((base_id, _)) = plan::current_base(&mut tx).await? {
            outbox::delete_told(&mut tx, base_id).await?;
        }
        rows::save_publication(&mut tx, publication).await?;
        tx.commit().await?;
        let span = Span::current();
        span.record("latchkey.snapshot.version", span::number(version));
        span.record("latchkey.snapshot.changes", span::number(plan.seqs.len()));
        span.record("latchkey.snapshot.bytes", span::number(size_bytes));
        tracing::debug!(version, changes = plan.seqs.len(), "snapshot published");
        Ok(())
    }

    /// A transaction that only who holds the lease may commit. It keeps the
    /// lease from passing to another until it ends.
    async fn guarded(&self) -> Result<Tx, PublishError> {
        let mut tx = self.store.write().await?;
        if lease::guard(&mut tx, self.right.holder()).await? { Ok(tx) } else { Err(PublishError::Deposed) }
    }

    /// Reads the manifest in KV, and restores what a wiped KV has lost.
    async fn look(&mut self, now: UnixMs) -> Result<Option<u64>, PublishError> {
        let found = self.kv.get(MANIFEST_KEY).await?;
        let in_kv = version::judge(found.as_deref(), &self.settings.verifier, &self.settings.deployment_id);
        if let InKv::OtherDeployment(other) = in_kv {
            self.belief = Belief::Uncertain;
            return Err(PublishError::OtherDeployment(other));
        }
        let is_as_written = match &in_kv {
            InKv::Ours { version, created_at } => {
                self.compiled_from = self.compiled_from.max(created_at.saturating_add(1));
                self.wrote(*version).await?
            }
            InKv::Missing | InKv::OtherDeployment(_) | InKv::Unusable(_) => false,
        };
        match &in_kv {
            InKv::Unusable(error) => {
                tracing::error!(%error, "the manifest in KV is not from this deployment's keys: overwriting it");
            }
            InKv::Missing if self.belief != Belief::Unknown => {
                tracing::warn!("the manifest is missing from KV: publishing again");
            }
            InKv::Ours { .. } if !is_as_written => self.part_from_what_was(now).await?,
            InKv::Missing | InKv::Ours { .. } | InKv::OtherDeployment(_) => {}
        }
        if !is_as_written || self.belief == Belief::Unknown {
            self.restore_objects(now).await?;
        }
        Ok(if let InKv::Ours { version, .. } = in_kv { Some(version) } else { None })
    }

    /// Whether `version` is the last that this deployment wrote, or tried to.
    async fn wrote(&self, version: u64) -> Result<bool, PublishError> {
        let mut tx = self.store.read().await?;
        let on_record = rows::publication(&mut tx).await?.unwrap_or_default().version;
        Ok(version == on_record || version == self.shared.highest())
    }

    /// KV has a manifest that is not on record: the database was restored from
    /// a backup, or a publisher died before it could record it. What edges read
    /// until now may say more than the database; so it must not stand in for
    /// an object of the current base.
    async fn part_from_what_was(&self, now: UnixMs) -> Result<(), PublishError> {
        tracing::info!(
            "the manifest in KV is not the last on record: it is replaced by what the database says"
        );
        let mut tx = self.guarded().await?;
        if let Some((base_id, mut content)) = plan::current_base(&mut tx).await? {
            content.base.compiled_at = content.base.compiled_at.max(now).max(self.compiled_from);
            rows::update_content(&mut tx, base_id, &plan::to_json(&content)?).await?;
        }
        // Compiled before what edges read until now, too.
        rows::drop_settling(&mut tx).await?;
        unreferenced::clear(&mut tx).await?;
        Ok(tx.commit().await?)
    }

    /// Where an object of the current base is gone, a new base is compiled and
    /// named at once: an edge has nothing better, so nothing is lost by its
    /// coming early.
    async fn restore_objects(&mut self, now: UnixMs) -> Result<(), PublishError> {
        let mut tx = self.store.read().await?;
        let Some((_, _, current)) = plan::current_objects(&mut tx).await? else { return Ok(()) };
        drop(tx);
        let present = garbage::objects_in_kv(&self.kv).await?;
        if is_whole(&current, &present) {
            return Ok(());
        }
        tracing::warn!("objects of the snapshot are missing from KV: uploading them again");
        self.rebase(present, Scope::Everything, now).await
    }

    /// Lets manifests name the newest base that was uploaded long enough ago,
    /// unless KV was wiped since; then a full delta starts the next compaction.
    async fn adopt_settled(&mut self, now: UnixMs) -> Result<(), PublishError> {
        let mut tx = self.store.read().await?;
        let settled = rows::settled_base(&mut tx, self.settled_before(now)).await?;
        drop(tx);
        let Some((base_id, objects)) = settled else { return Ok(()) };
        let is_whole = is_whole(&Objects::from_text(&objects)?, &garbage::objects_in_kv(&self.kv).await?);
        let mut tx = self.guarded().await?;
        if is_whole {
            rows::adopt_base(&mut tx, base_id).await?;
            self.swept_at = None;
            tracing::info!(base = base_id, "the compacted snapshot has settled");
        } else {
            rows::drop_settling(&mut tx).await?;
            tracing::warn!(base = base_id, "objects of the compacted snapshot are missing from KV");
        }
        Ok(tx.commit().await?)
    }

    /// What needs no upload, as far as this process knows.
    async fn named_by_current(&self) -> Result<HashSet<String>, PublishError> {
        let mut tx = self.store.read().await?;
        let current = plan::current_objects(&mut tx).await?;
        Ok(current.map(|(_, _, objects)| objects.keys().collect()).unwrap_or_default())
    }

    async fn rebase(
        &mut self,
        in_kv: HashSet<String>,
        scope: Scope,
        now: UnixMs,
    ) -> Result<(), PublishError> {
        self.end_work();
        let compiled =
            compact::compile(&self.store, &self.kv, in_kv, scope, self.compiled_from, self.settings.clock)
                .await?;
        self.keep(&compiled, Naming::AtOnce, None, now).await
    }

    /// Puts a compiled base on record.
    async fn keep(
        &self,
        compiled: &Compiled,
        naming: Naming,
        order: Option<i64>,
        now: UnixMs,
    ) -> Result<(), PublishError> {
        let Compiled { content, objects, seqs } = compiled;
        let mut tx = self.guarded().await?;
        let id = rows::insert_base(&mut tx, &plan::to_json(content)?, &objects.to_text()?, now).await?;
        outbox::mark_included(&mut tx, id, seqs).await?;
        garbage::named(&mut tx, objects).await?;
        if naming == Naming::AtOnce {
            rows::adopt_base(&mut tx, id).await?;
        }
        if let Some(order) = order {
            orders::done(&mut tx, orders::Kind::Rebuild, order, None).await?;
        }
        tx.commit().await?;
        let (tokens, bytes) = (content.tokens, content.size_bytes);
        tracing::info!(base = id, tokens, bytes, ?naming, "snapshot compacted");
        Ok(())
    }

    /// Starts what is due beside the publications, which go on with the old base.
    pub(super) async fn start_due_work(&mut self, now: UnixMs) -> Result<(), PublishError> {
        if self.work.is_some() {
            return Ok(());
        }
        let mut tx = self.store.read().await?;
        let order = orders::pending(&mut tx, orders::Kind::Rebuild).await?;
        let is_settling = rows::is_settling(&mut tx).await?;
        let whole_at = plan::current_base(&mut tx).await?.map(|(_, content)| content.whole_at);
        drop(tx);
        let is_whole_due = whole_at.is_some_and(|at| now.saturating_sub(at) >= WHOLE_EVERY_MS);
        if is_settling {
            // The next one would start from what this one is about to replace.
        } else if order.is_some() || is_whole_due {
            self.start_compaction(Scope::Everything, order).await?;
        } else if self.is_full {
            self.start_compaction(Scope::Touched, None).await?;
        }
        if self.work.is_none() && self.swept_at.is_none_or(|at| now.saturating_sub(at) >= SWEEP_EVERY_MS) {
            self.swept_at = Some(now);
            let (store, kv, right) = (self.store.clone(), self.kv.clone(), self.right.clone());
            let sweep = async move { garbage::sweep(&store, &kv, &right, now).await };
            self.work = Some(Work::Sweep(tokio::spawn(sweep)));
        }
        Ok(())
    }

    async fn start_compaction(&mut self, scope: Scope, order: Option<i64>) -> Result<(), PublishError> {
        let named = self.named_by_current().await?;
        let (store, kv, clock) = (self.store.clone(), self.kv.clone(), self.settings.clock);
        let from = self.compiled_from;
        let compile = async move {
            let in_kv = match scope {
                Scope::Touched => named,
                // What KV has lost is made good; all of it, if KV does not say.
                Scope::Everything => garbage::objects_in_kv(&kv).await.unwrap_or_default(),
            };
            compact::compile(&store, &kv, in_kv, scope, from, clock).await
        };
        self.work = Some(Work::Compaction(tokio::spawn(compile), order));
        self.is_full = false;
        Ok(())
    }

    /// Records what finished; the objects of a compaction settle from `now`.
    pub(super) async fn finish_work(&mut self, now: UnixMs) -> Result<(), PublishError> {
        match self.work.take_if(|work| work.is_finished()) {
            None => Ok(()),
            Some(Work::Compaction(task, order)) => {
                let compiled = task.await.map_err(|error| PublishError::CutOff(error.to_string()))??;
                self.keep(&compiled, Naming::Settled, order, now).await
            }
            Some(Work::Sweep(task)) => {
                let is_whole = task.await.map_err(|error| PublishError::CutOff(error.to_string()))??;
                if !is_whole {
                    // The next publication looks what is missing.
                    self.belief = Belief::Unknown;
                }
                Ok(())
            }
        }
    }

    /// Waits for what runs beside the publications, for who has no loop.
    pub(super) async fn wait_for_work(&mut self) {
        while self.work.as_ref().is_some_and(|work| !work.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(super) fn end_work(&mut self) {
        match self.work.take() {
            Some(Work::Compaction(task, _)) => task.abort(),
            Some(Work::Sweep(task)) => task.abort(),
            None => {}
        }
    }

    /// Whether there is anything that a publication would tell: changes, or a
    /// base that has settled; or somebody ordered one.
    pub(super) async fn has_news(&self, now: UnixMs) -> Result<bool, PublishError> {
        let mut tx = self.store.read().await?;
        Ok(outbox::backlog(&mut tx).await?.pending > 0
            || orders::pending(&mut tx, orders::Kind::Publish).await?.is_some()
            || rows::settled_base(&mut tx, self.settled_before(now)).await?.is_some())
    }

    fn settled_before(&self, now: UnixMs) -> UnixMs {
        now.saturating_sub(u64::try_from(self.settings.settle.as_millis()).unwrap_or(u64::MAX))
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end_work();
    }
}

impl Work {
    fn is_finished(&self) -> bool {
        match self {
            Self::Compaction(task, _) => task.is_finished(),
            Self::Sweep(task) => task.is_finished(),
        }
    }
}

fn is_whole(objects: &Objects, present: &HashSet<String>) -> bool {
    objects.keys().all(|key| present.contains(&key))
}
