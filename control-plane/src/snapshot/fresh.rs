//! New tokens, told to the edges before their creation is answered. Those that
//! arrive while a call is under way go together in the next one: Cloudflare's
//! API allows 1,200 calls in 5 minutes for everything.

use super::PublisherSettings;
use super::error::PublishError;
use super::kv::{KvClient, Pair};
use crate::store::snapshot::contents;
use crate::store::{Connection, Store};
use shared::snapshot;
use shared::snapshot::config::{Profile, Project};
use shared::snapshot::fresh::Fresh;
use shared::snapshot::record::{ProfileNumber, TokenRecord};
use shared::snapshot::signed::SnapshotSigner;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

/// More than wait here are answered "not replicated" at once.
pub(super) const QUEUE_LEN: usize = 10_000;
const MAX_BATCH: usize = 1_000;
/// Of values in one call: each carries its whole project, which may be large.
const CALL_LEN: usize = 8 * 1024 * 1024;
pub(super) const BETWEEN_CALLS: Duration = Duration::from_millis(400);
/// Short, because the next batch waits for it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Seconds: well beyond the age at which edges still look.
const EXPIRATION_TTL: u32 = 600;

#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) record: TokenRecord,
    pub(super) project_id: Uuid,
    pub(super) done: oneshot::Sender<bool>,
}

#[derive(Debug)]
pub(super) struct FreshWriter {
    store: Store,
    kv: KvClient,
    deployment_id: String,
    signer: Arc<SnapshotSigner>,
    between_calls: Duration,
}

impl FreshWriter {
    pub(super) fn new(
        settings: &PublisherSettings,
        store: Store,
        kv: KvClient,
        between_calls: Duration,
    ) -> Self {
        let (deployment_id, signer) = (settings.deployment_id.clone(), Arc::clone(&settings.signer));
        Self { store, kv, deployment_id, signer, between_calls }
    }

    /// Runs until the queue is closed and empty.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Announcement>) {
        let mut batch = Vec::new();
        let mut is_failing = false;
        while queue.recv_many(&mut batch, MAX_BATCH).await > 0 {
            let next_call = Instant::now() + self.between_calls;
            let outcome = self.write(&batch).await;
            if let Err(error) = &outcome
                && !is_failing
            {
                tracing::warn!(%error, tokens = batch.len(), "new tokens reach the edges with the manifest only");
            }
            is_failing = outcome.is_err();
            for announcement in batch.drain(..) {
                // Who stopped waiting does not mind.
                let _ = announcement.done.send(!is_failing);
            }
            tokio::time::sleep_until(next_call).await;
        }
    }

    async fn write(&self, batch: &[Announcement]) -> Result<(), PublishError> {
        let mut known = Known::default();
        let mut tx = self.store.read().await?;
        for announcement in batch {
            known.read(&mut tx, announcement).await?;
        }
        drop(tx);
        let mut pairs = Vec::with_capacity(batch.len());
        let mut length = 0;
        for announcement in batch {
            // Never: a project is not deleted, and its tokens need it.
            let Some(project) = known.project(announcement) else { continue };
            let record = announcement.record;
            let value = Fresh { deployment_id: self.deployment_id.clone(), record, project }
                .encode(&self.signer)
                .map_err(|error| PublishError::Encode(error.to_string()))?;
            length += value.len();
            let key = snapshot::fresh_key(record.id());
            pairs.push(Pair { key, value, expiration_ttl: Some(EXPIRATION_TTL) });
            if length >= CALL_LEN {
                self.kv.put_bulk(&std::mem::take(&mut pairs), DEADLINE).await?;
                length = 0;
            }
        }
        if pairs.is_empty() { Ok(()) } else { Ok(self.kv.put_bulk(&pairs, DEADLINE).await?) }
    }
}

/// What tokens announced together need of the database.
#[derive(Debug, Default)]
struct Known {
    projects: HashMap<Uuid, Project>,
    profiles: HashMap<(Uuid, ProfileNumber), Profile>,
}

impl Known {
    async fn read(&mut self, conn: &mut Connection, announcement: &Announcement) -> Result<(), PublishError> {
        let Announcement { record, project_id, .. } = announcement;
        if !self.projects.contains_key(project_id)
            && let Some(project) = contents::project(conn, *project_id).await?
        {
            self.projects.insert(*project_id, project);
        }
        if let Some(number) = record.profile()
            && !self.profiles.contains_key(&(*project_id, number))
            && let Some(profile) = contents::profile(conn, *project_id, number).await?
        {
            self.profiles.insert((*project_id, number), profile);
        }
        Ok(())
    }

    /// The token's project, with no more profiles than the token needs.
    fn project(&self, announcement: &Announcement) -> Option<Project> {
        let Announcement { record, project_id, .. } = announcement;
        let project = self.projects.get(project_id)?.clone();
        let profile = record.profile().and_then(|number| self.profiles.get(&(*project_id, number)));
        Some(Project { profiles: profile.into_iter().cloned().collect(), ..project })
    }
}
