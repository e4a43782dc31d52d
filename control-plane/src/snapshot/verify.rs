//! Reads the snapshot back from KV and compares it with the database, range by
//! range, so that ten million tokens need the memory of a few thousand.

use super::error::PublishError;
use super::kv::KvClient;
use super::{PublisherSettings, version};
use crate::store::snapshot::contents::StoredToken;
use crate::store::snapshot::{self as rows, contents};
use crate::store::{Connection, Store, Tx, outbox};
use crate::timestamp::Timestamp;
use serde::Serialize;
use shared::id::UnixMs;
use shared::snapshot::config::{self, Project, ProjectSlice, Providers};
use shared::snapshot::index::Index;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::record::{ProjectNumber, TokenRecord};
use shared::snapshot::shard::Shard;
use shared::snapshot::{Hash, MANIFEST_KEY, index_key, project_key, providers_key, shard_key};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

/// More are counted, not listed.
const LISTED_PROBLEMS: usize = 20;
const PAGE: u32 = 8_192;
/// How often a manifest is read again that was written at that very moment.
const ATTEMPTS: u32 = 20;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(250);

/// What was compared, and what differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub version: u64,
    pub created_at: Timestamp,
    /// Objects read from KV, the manifest included.
    pub objects: u64,
    /// Valid tokens in the database, each looked for in KV.
    pub tokens: u64,
    pub projects: u64,
    /// Changes that are not published yet; what they touch may differ.
    pub pending: u64,
    pub problem_count: u64,
    /// The first twenty.
    pub problems: Vec<String>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, text: String) {
        self.problem_count += 1;
        if self.problems.len() < LISTED_PROBLEMS {
            self.problems.push(text);
        }
    }
}

/// `progress` hears of objects read and objects in all.
pub async fn verify(
    settings: &PublisherSettings,
    store: &Store,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Report, PublishError> {
    let kv = super::kv_client(settings);
    let (manifest, mut tx) = read_both(settings, &kv, store).await?;
    let changing = Changing::read(&mut tx).await?;
    let report = Report {
        version: manifest.version,
        created_at: Timestamp(manifest.created_at),
        objects: 1,
        pending: changing.pending,
        tokens: 0,
        projects: 0,
        problem_count: 0,
        problems: Vec::new(),
    };
    let mut reader = Reader { kv, report, manifest, changing, now: (settings.clock)() };
    let index = reader.index().await?;
    let total = 2 + index.as_ref().map_or(0, |index| index.shards().len() + index.slices().len());
    reader.tokens(&mut tx, index.as_ref(), &mut |done| progress(done, total)).await?;
    reader.projects(&mut tx, index.as_ref(), &mut |done| progress(done, total)).await?;
    reader.providers(&mut tx, index.as_ref()).await?;
    Ok(reader.report)
}

/// The manifest, and the database as it was when that was the last published.
async fn read_both(
    settings: &PublisherSettings,
    kv: &KvClient,
    store: &Store,
) -> Result<(Manifest, Tx), PublishError> {
    for _ in 0..ATTEMPTS {
        let object = kv.get(MANIFEST_KEY).await?;
        let manifest = version::read(object.as_deref(), &settings.verifier, &settings.deployment_id)?;
        let mut tx = store.read().await?;
        let on_record = rows::publication(&mut tx).await?.unwrap_or_default().version;
        if manifest.version == on_record {
            return Ok((manifest, tx));
        }
        drop(tx);
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
    Err(PublishError::Told(
        "the manifest in KV is not the one that the database has on record; if a control plane runs, it is \
         publishing again and again: try once more; if none runs, start one"
            .to_owned(),
    ))
}

/// What changed in the database and is not published.
struct Changing {
    pending: u64,
    tokens: HashSet<Uuid>,
    projects: HashSet<Uuid>,
    providers: bool,
}

impl Changing {
    async fn read(conn: &mut Connection) -> Result<Self, PublishError> {
        let rows = outbox::unpublished_changes(conn).await?;
        Ok(Self {
            pending: rows.len() as u64,
            tokens: rows.iter().filter_map(|row| row.token_id).collect(),
            projects: rows.iter().filter_map(|row| row.project_id).collect(),
            providers: rows.iter().any(|row| row.token_id.is_none() && row.project_id.is_none()),
        })
    }
}

struct Reader {
    kv: KvClient,
    report: Report,
    manifest: Manifest,
    changing: Changing,
    now: UnixMs,
}

impl Reader {
    async fn object(&mut self, key: String, hash: Hash) -> Result<Option<Vec<u8>>, PublishError> {
        self.report.objects += 1;
        let problem = match self.kv.get(&key).await? {
            Some(content) if hash.matches(&content) => return Ok(Some(content)),
            Some(_) => "does not have the content that its name says",
            None => "is missing from KV",
        };
        self.report.problem(format!("{key} {problem}"));
        Ok(None)
    }

    async fn index(&mut self) -> Result<Option<Index>, PublishError> {
        let Some(base) = self.manifest.base else { return Ok(None) };
        let Some(content) = self.object(index_key(base.index), base.index).await? else { return Ok(None) };
        let index = Index::from_bytes(content);
        if let Err(error) = &index {
            self.report.problem(format!("{}: {error}", index_key(base.index)));
        }
        Ok(index.ok())
    }

    async fn tokens(
        &mut self,
        conn: &mut Connection,
        index: Option<&Index>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), PublishError> {
        let shards: Vec<_> = index.map(|index| index.shards().collect()).unwrap_or_default();
        // Ids below the first shard's belong to it too.
        let mut after = Uuid::nil();
        for at in 0..shards.len().max(1) {
            let below = shards.get(at + 1).map_or(Uuid::max(), |next| next.first);
            let mut in_kv = BTreeMap::new();
            if let Some(shard) = shards.get(at)
                && let Some(content) = self.object(shard_key(shard.hash), shard.hash).await?
            {
                match Shard::from_bytes(content) {
                    Ok(records) => in_kv.extend(records.iter().map(|record| (record.id(), record))),
                    Err(error) => self.report.problem(format!("{}: {error}", shard_key(shard.hash))),
                }
            }
            let is_here = |id: &Uuid| *id > after && *id < below;
            if let Some(stray) = in_kv.keys().find(|id| !is_here(id)) {
                self.report.problem(format!("token {stray} is in the shard of another range"));
            }
            let delta = self.manifest.delta.tokens.iter().filter(|record| is_here(&record.id()));
            in_kv.extend(delta.map(|record| (record.id(), record)));
            self.token_range(conn, after, below, in_kv).await?;
            after = Uuid::from_u128(below.as_u128() - 1);
            progress(at + 1);
        }
        Ok(())
    }

    /// Compares the tokens above `after` and below `below`.
    async fn token_range(
        &mut self,
        conn: &mut Connection,
        mut after: Uuid,
        below: Uuid,
        mut in_kv: BTreeMap<Uuid, TokenRecord>,
    ) -> Result<(), PublishError> {
        loop {
            let page = contents::all_tokens_page(conn, after, below, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.record.id();
            for expected in page {
                let found = in_kv.remove(&expected.record.id());
                self.token(expected, found);
            }
        }
        for id in in_kv.into_keys() {
            self.report.problem(format!("token {id} is in KV and not in the database"));
        }
        Ok(())
    }

    fn token(&mut self, stored: StoredToken, found: Option<TokenRecord>) {
        let StoredToken { record: expected, is_revoked_with_all } = stored;
        let id = expected.id();
        let has_expired = expected.expires_at().is_some_and(|at| at <= self.now);
        let has_ended = is_revoked_with_all || expected.is_revoked() || has_expired;
        self.report.tokens += u64::from(!has_ended);
        match found {
            _ if self.changing.tokens.contains(&id) => {}
            Some(found) if found == expected => {}
            Some(_) => self.report.problem(format!("token {id} is not in KV as it is in the database")),
            // What has ended leaves KV a day later.
            None if has_ended => {}
            None => self.report.problem(format!("token {id} is not in KV")),
        }
    }

    async fn projects(
        &mut self,
        conn: &mut Connection,
        index: Option<&Index>,
        progress: &mut (dyn FnMut(usize) + Send),
    ) -> Result<(), PublishError> {
        let slices: Vec<_> = index.map(|index| index.slices().collect()).unwrap_or_default();
        let shards = index.map_or(0, |index| index.shards().len());
        let mut after = -1;
        for at in 0..slices.len().max(1) {
            let below = slices.get(at + 1).map_or(i64::MAX, |next| i64::from(next.first));
            let mut in_kv: BTreeMap<ProjectNumber, Project> = BTreeMap::new();
            if let Some(slice) = slices.get(at)
                && let Some(content) = self.object(project_key(slice.hash), slice.hash).await?
            {
                match config::decode::<ProjectSlice>(&content) {
                    Ok(slice) => in_kv.extend(slice.projects.into_iter().map(|each| (each.number, each))),
                    Err(error) => self.report.problem(format!("{}: {error}", project_key(slice.hash))),
                }
            }
            let is_here = |number: u32| i64::from(number) > after && i64::from(number) < below;
            let delta = self.manifest.delta.projects.iter().filter(|project| is_here(project.number));
            in_kv.extend(delta.map(|project| (project.number, project.clone())));
            self.project_range(conn, after, below, in_kv).await?;
            after = below - 1;
            progress(shards + at + 1);
        }
        Ok(())
    }

    async fn project_range(
        &mut self,
        conn: &mut Connection,
        mut after: i64,
        below: i64,
        mut in_kv: BTreeMap<ProjectNumber, Project>,
    ) -> Result<(), PublishError> {
        loop {
            let page = contents::project_page(conn, after, below, PAGE, self.now).await?;
            let Some(last) = page.last() else { break };
            after = i64::from(last.number);
            for expected in page {
                self.report.projects += 1;
                let found = in_kv.remove(&expected.number);
                let is_there = found.as_ref().is_some_and(|found| is_same(found, &expected));
                if !is_there && !self.changing.projects.contains(&expected.id) {
                    let how =
                        if found.is_none() { "not in KV" } else { "not in KV as it is in the database" };
                    self.report.problem(format!("project {} is {how}", expected.id));
                }
            }
        }
        for project in in_kv.into_values() {
            self.report.problem(format!("project {} is in KV and not in the database", project.id));
        }
        Ok(())
    }

    async fn providers(&mut self, conn: &mut Connection, index: Option<&Index>) -> Result<(), PublishError> {
        let in_kv = match (self.manifest.delta.providers.take(), index) {
            (Some(providers), _) => Some(providers),
            (None, Some(index)) => {
                let hash = index.providers();
                let content = self.object(providers_key(hash), hash).await?;
                content.and_then(|content| config::decode::<Providers>(&content).ok())
            }
            (None, None) => None,
        };
        if in_kv != Some(contents::providers(conn).await?) && !self.changing.providers {
            self.report.problem("the providers in KV are not those in the database".to_owned());
        }
        Ok(())
    }
}

/// Whether a project is in KV as it is in the database. Of its profiles those
/// must be there that are needed now; some that were, when it was written, may be.
fn is_same(found: &Project, expected: &Project) -> bool {
    let profiles = |project: &Project| -> HashMap<_, _> {
        project.profiles.iter().map(|profile| (profile.number, profile.policy.clone())).collect()
    };
    let (there, needed) = (profiles(found), profiles(expected));
    needed.iter().all(|(number, policy)| there.get(number) == Some(policy))
        && Project { profiles: Vec::new(), ..found.clone() }
            == Project { profiles: Vec::new(), ..expected.clone() }
}
