//! Cutting the whole of the contents into immutable objects.
//!
//! Where a shard or slice begins depends on what begins it, not on how much
//! came before: a token that is added or leaves changes its own shard and no
//! other, so that a compaction uploads only what was touched.

use super::error::PublishError;
use super::kv::Pair;
use serde::{Deserialize, Serialize};
use shared::snapshot::config::{self, MAX_SLICE_LEN, Project, ProjectSlice, Providers};
use shared::snapshot::manifest::{Base, ShardRef, SliceRef};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::snapshot::{self, Hash};
use uuid::Uuid;

/// 256 KiB.
const MAX_SHARD_RECORDS: usize = 4_096;
/// One id in so many begins a shard.
const SHARD_STRIDE: u16 = 2_048;
/// Projects whose number is a multiple of it begin a slice.
const SLICE_STRIDE: u32 = 64;

/// The index of a base, as the database keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) base: Base,
    pub(super) tokens: u64,
    /// The newest token in it.
    pub(super) last: Option<Uuid>,
    pub(super) size_bytes: u64,
}

impl Content {
    /// The KV keys of all its objects.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        let Base { shards, projects, providers, compiled_at: _ } = &self.base;
        let shards = shards.iter().map(|shard| snapshot::shard_key(shard.hash));
        let projects = projects.iter().map(|slice| snapshot::project_key(slice.hash));
        shards.chain(projects).chain(providers.map(snapshot::providers_key))
    }

    fn object(&mut self, key: impl FnOnce(Hash) -> String, value: Vec<u8>) -> (Hash, Pair) {
        let hash = Hash::of(&value);
        self.size_bytes += value.len() as u64;
        (hash, Pair { key: key(hash), value, expiration_ttl: None })
    }
}

/// Takes everything in order and gives the objects as they are complete, so
/// that ten million tokens need the memory of a few thousand.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    content: Content,
    records: Vec<TokenRecord>,
    projects: Vec<Project>,
    projects_len: usize,
}

impl Cutter {
    /// Tokens come sorted by id.
    pub(super) fn token(&mut self, record: TokenRecord) -> Option<Pair> {
        let is_full = self.records.len() == MAX_SHARD_RECORDS || begins_shard(record.id());
        let complete = if is_full { self.end_shard() } else { None };
        self.content.tokens += 1;
        self.content.last = Some(record.id());
        self.records.push(record);
        complete
    }

    /// Projects come sorted by number.
    pub(super) fn project(&mut self, project: Project) -> Result<Option<Pair>, PublishError> {
        // Each encoded alone is a little more than its share of the slice.
        let length = encode(&project)?.len();
        let is_full =
            self.projects_len + length > MAX_SLICE_LEN || project.number.is_multiple_of(SLICE_STRIDE);
        let complete = if is_full { self.end_slice()? } else { None };
        self.projects_len += length;
        self.projects.push(project);
        Ok(complete)
    }

    /// The objects still open, and the index of all.
    pub(super) fn finish(mut self, providers: &Providers) -> Result<(Vec<Pair>, Content), PublishError> {
        let mut objects = Vec::from_iter(self.end_shard());
        objects.extend(self.end_slice()?);
        let (hash, object) = self.content.object(snapshot::providers_key, encode(providers)?);
        self.content.base.providers = Some(hash);
        objects.push(object);
        Ok((objects, self.content))
    }

    fn end_shard(&mut self) -> Option<Pair> {
        let first = *self.records.first()?.id().as_bytes();
        let shard = Shard::build(std::mem::take(&mut self.records));
        let (hash, object) = self.content.object(snapshot::shard_key, shard.as_bytes().to_vec());
        self.content.base.shards.push(ShardRef { first, hash });
        Some(object)
    }

    fn end_slice(&mut self) -> Result<Option<Pair>, PublishError> {
        let Some(first) = self.projects.first().map(|project| project.number) else { return Ok(None) };
        let slice = ProjectSlice { projects: std::mem::take(&mut self.projects) };
        self.projects_len = 0;
        let (hash, object) = self.content.object(snapshot::project_key, encode(&slice)?);
        self.content.base.projects.push(SliceRef { first, hash });
        Ok(Some(object))
    }
}

/// The last two bytes of a `UUIDv7` are random.
fn begins_shard(id: Uuid) -> bool {
    let [.., high, low] = *id.as_bytes();
    u16::from_be_bytes([high, low]).is_multiple_of(SHARD_STRIDE)
}

fn encode<T: Serialize>(content: &T) -> Result<Vec<u8>, PublishError> {
    config::encode(content).map_err(|error| PublishError::Encode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id;
    use shared::sealed::Sealed;
    use shared::snapshot::config::{Credential, OnStale};

    /// Random enough for the last two bytes, and the same each time.
    fn record(n: u64) -> TokenRecord {
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let mut random = [0; 10];
        random[2..].copy_from_slice(&mixed);
        TokenRecord::new(id::new(1_000 + n, &random), &[2; 32], None, 1, false)
    }

    fn project(number: u32, credentials: usize) -> Project {
        let credential = Credential {
            id: Uuid::nil(),
            provider: "openai".into(),
            weight: 1,
            priority: 0,
            sealed: Sealed::from("x".repeat(200)),
        };
        Project {
            number,
            id: Uuid::nil(),
            is_active: true,
            tokens_valid_from: 0,
            default_provider: "openai".into(),
            on_stale: OnStale::Serve,
            max_snapshot_age: 1,
            credentials: vec![credential; credentials],
        }
    }

    fn cut(records: impl Iterator<Item = TokenRecord>, projects: Vec<Project>) -> (Vec<Pair>, Content) {
        let mut cutter = Cutter::default();
        let mut objects: Vec<Pair> = records.filter_map(|record| cutter.token(record)).collect();
        for project in projects {
            objects.extend(cutter.project(project).unwrap());
        }
        let (rest, content) = cutter.finish(&Providers::default()).unwrap();
        objects.extend(rest);
        (objects, content)
    }

    #[test]
    fn every_token_is_found_in_the_shard_of_its_range() {
        let (objects, content) = cut((0..20_000).map(record), vec![]);
        assert_eq!((content.tokens, content.last), (20_000, Some(record(19_999).id())));
        assert!(content.base.shards.is_sorted_by(|a, b| a.first < b.first));
        let keys: Vec<String> = content.keys().collect();
        assert_eq!(keys.len(), objects.len());
        for n in [0, 1, 4_095, 4_096, 9_999, 19_999] {
            let id = record(n).id();
            let key = snapshot::shard_key(content.base.shard_of(id).unwrap());
            let value = objects.iter().find(|object| object.key == key).unwrap().value.clone();
            let shard = Shard::from_bytes(value).unwrap();
            assert!(shard.len() <= MAX_SHARD_RECORDS);
            assert_eq!(shard.find(id), Some(record(n)));
        }
    }

    #[test]
    fn a_token_that_leaves_changes_one_shard() {
        let hashes =
            |content: Content| content.base.shards.iter().map(|shard| shard.hash).collect::<Vec<_>>();
        let before = hashes(cut((0..40_000).map(record), vec![]).1);
        let after = hashes(cut((0..40_000).filter(|&n| n != 20_000).map(record), vec![]).1);
        assert!(before.len() > 10);
        assert!(before.iter().filter(|hash| !after.contains(hash)).count() <= 2);
    }

    #[test]
    fn slices_stay_within_their_length_and_their_stride() {
        let (objects, content) = cut(std::iter::empty(), (1..200).map(|n| project(n, 20)).collect());
        assert!(objects.iter().all(|object| object.value.len() <= MAX_SLICE_LEN));
        assert!(content.base.projects.iter().any(|slice| slice.first == SLICE_STRIDE));
        for number in 1..200 {
            let key = snapshot::project_key(content.base.slice_of(number).unwrap());
            let value = &objects.iter().find(|object| object.key == key).unwrap().value;
            assert!(config::decode::<ProjectSlice>(value).unwrap().find(number).is_some());
        }
    }

    #[test]
    fn one_project_alone_may_exceed_a_slice() {
        let (_, content) = cut(std::iter::empty(), vec![project(1, 1), project(2, 2_000), project(3, 1)]);
        assert_eq!(content.base.projects.iter().map(|slice| slice.first).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn an_empty_database_has_providers_only() {
        let (objects, content) = cut(std::iter::empty(), vec![]);
        assert_eq!(objects.len(), 1);
        assert!(content.base.shards.is_empty() && content.base.projects.is_empty());
    }
}
