//! Cutting the contents into immutable objects.
//!
//! Where a shard or slice begins depends on what begins it, not on how much
//! came before: a token that is added or leaves changes its own shard and no
//! other, so that a compaction uploads only what was touched.

use super::error::PublishError;
use super::kv::Pair;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use shared::id::UnixMs;
use shared::snapshot::config::{self, MAX_SLICE_LEN, Project, ProjectSlice, Providers};
use shared::snapshot::index::{Index, ShardRef, SliceRef};
use shared::snapshot::manifest::Base;
use shared::snapshot::record::{ProjectNumber, RECORD_LEN, TokenRecord};
use shared::snapshot::shard::Shard;
use shared::snapshot::{self, Hash};
use uuid::Uuid;

/// 256 KiB.
const MAX_SHARD_RECORDS: usize = 4_096;
/// One id in so many begins a shard.
const SHARD_STRIDE: u16 = 2_048;
/// Projects whose number is a multiple of it begin a slice. Few, because a
/// cold isolate parses the whole slice for one project, and a project that
/// changes uploads its slice anew.
const SLICE_STRIDE: u32 = 8;

/// What the database keeps of a base for every publication: little.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) base: Base,
    /// When the whole database was last read for it, or for one before it.
    pub(super) whole_at: UnixMs,
    pub(super) tokens: u64,
    /// The newest token in it.
    pub(super) last: Option<Uuid>,
    /// Of all its objects.
    pub(super) size_bytes: u64,
}

/// All objects of a base, which only a compaction and a look through KV need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Objects {
    /// By their first id.
    pub(super) shards: Vec<Piece<Uuid>>,
    /// By their first number.
    pub(super) slices: Vec<Piece<ProjectNumber>>,
    pub(super) providers: Hash,
    providers_len: u32,
    pub(super) index: Hash,
}

/// A shard or a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Piece<K> {
    pub(super) first: K,
    pub(super) hash: Hash,
    len: u32,
}

impl Objects {
    /// The KV keys of all.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        let shards = self.shards.iter().map(|piece| snapshot::shard_key(piece.hash));
        let slices = self.slices.iter().map(|piece| snapshot::project_key(piece.hash));
        let single = [snapshot::providers_key(self.providers), snapshot::index_key(self.index)];
        shards.chain(slices).chain(single)
    }

    /// As a column of text holds it.
    pub(super) fn to_text(&self) -> Result<String, PublishError> {
        let bytes = postcard::to_stdvec(self).map_err(|error| PublishError::Encode(error.to_string()))?;
        Ok(STANDARD.encode(bytes))
    }

    pub(super) fn from_text(text: &str) -> Result<Self, PublishError> {
        let unreadable = |error: String| PublishError::Encode(format!("a stored base: {error}"));
        let bytes = STANDARD.decode(text).map_err(|error| unreadable(error.to_string()))?;
        postcard::from_bytes(&bytes).map_err(|error| unreadable(error.to_string()))
    }

    fn tokens(&self) -> u64 {
        self.shards.iter().map(|piece| u64::from(piece.len) / RECORD_LEN as u64).sum()
    }

    fn size_bytes(&self, index: &Index) -> u64 {
        let shards = self.shards.iter().map(|piece| piece.len);
        let slices = self.slices.iter().map(|piece| piece.len);
        let objects: u64 = shards.chain(slices).chain([self.providers_len]).map(u64::from).sum();
        objects + index.as_bytes().len() as u64
    }
}

/// Takes everything in order and gives the objects as they are complete, so
/// that ten million tokens need the memory of a few thousand.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    shards: Vec<Piece<Uuid>>,
    slices: Vec<Piece<ProjectNumber>>,
    last: Option<Uuid>,
    records: Vec<TokenRecord>,
    projects: Vec<Project>,
    projects_len: usize,
}

impl Cutter {
    /// Tokens come sorted by id.
    pub(super) fn token(&mut self, record: TokenRecord) -> Option<Pair> {
        let is_full = self.records.len() == MAX_SHARD_RECORDS || begins_shard(record.id());
        let complete = if is_full { self.end_shard() } else { None };
        self.last = Some(record.id());
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

    /// Keeps a shard of the base before; the one under way ends.
    pub(super) fn keep_shard(&mut self, piece: Piece<Uuid>) -> Option<Pair> {
        let complete = self.end_shard();
        self.shards.push(piece);
        complete
    }

    /// Keeps a slice of the base before; the one under way ends.
    pub(super) fn keep_slice(&mut self, piece: Piece<ProjectNumber>) -> Result<Option<Pair>, PublishError> {
        let complete = self.end_slice()?;
        self.slices.push(piece);
        Ok(complete)
    }

    pub(super) fn end_shard(&mut self) -> Option<Pair> {
        let first = self.records.first()?.id();
        let shard = Shard::build(std::mem::take(&mut self.records));
        let (piece, object) = object(first, snapshot::shard_key, shard.as_bytes().to_vec());
        self.shards.push(piece);
        Some(object)
    }

    pub(super) fn end_slice(&mut self) -> Result<Option<Pair>, PublishError> {
        let Some(first) = self.projects.first().map(|project| project.number) else { return Ok(None) };
        let slice = ProjectSlice { projects: std::mem::take(&mut self.projects) };
        self.projects_len = 0;
        let (piece, object) = object(first, snapshot::project_key, encode(&slice)?);
        self.slices.push(piece);
        Ok(Some(object))
    }

    /// The objects still open, all objects, and what to keep of them.
    /// `last` is the newest token of what was kept.
    pub(super) fn finish(
        mut self,
        providers: &Providers,
        last: Option<Uuid>,
        compiled_at: UnixMs,
        whole_at: UnixMs,
    ) -> Result<(Vec<Pair>, Objects, Content), PublishError> {
        let mut open = Vec::from_iter(self.end_shard());
        open.extend(self.end_slice()?);
        let (providers, object) = object((), snapshot::providers_key, encode(providers)?);
        open.push(object);
        let Self { shards, slices, last: newest, .. } = self;
        let index = index(&shards, &slices, providers.hash)?;
        open.push(Pair {
            key: snapshot::index_key(index.hash()),
            value: index.as_bytes().to_vec(),
            expiration_ttl: None,
        });
        let (providers, providers_len) = (providers.hash, providers.len);
        let objects = Objects { shards, slices, providers, providers_len, index: index.hash() };
        let content = Content {
            base: Base { index: index.hash(), compiled_at },
            whole_at,
            tokens: objects.tokens(),
            last: newest.max(last),
            size_bytes: objects.size_bytes(&index),
        };
        Ok((open, objects, content))
    }
}

fn index(
    shards: &[Piece<Uuid>],
    slices: &[Piece<ProjectNumber>],
    providers: Hash,
) -> Result<Index, PublishError> {
    let shards: Vec<ShardRef> =
        shards.iter().map(|piece| ShardRef { first: piece.first, hash: piece.hash }).collect();
    let slices: Vec<SliceRef> =
        slices.iter().map(|piece| SliceRef { first: piece.first, hash: piece.hash }).collect();
    Index::build(&shards, &slices, providers).map_err(|error| PublishError::Encode(error.to_string()))
}

fn object<K>(first: K, key: impl FnOnce(Hash) -> String, value: Vec<u8>) -> (Piece<K>, Pair) {
    let hash = Hash::of(&value);
    // A shard has at most 256 KiB; KV takes no value beyond 25 MiB.
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    (Piece { first, hash, len }, Pair { key: key(hash), value, expiration_ttl: None })
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
    use shared::snapshot::config::{Credential, OnStale, StreamUsage};

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
            stream_usage: StreamUsage::default(),
            capture: None,
            policy: None,
            profiles: Vec::new(),
            routes: Vec::new(),
            credentials: vec![credential; credentials],
        }
    }

    /// What an upload would write, and the index of it.
    struct Cut {
        pairs: Vec<Pair>,
        objects: Objects,
        content: Content,
    }

    impl Cut {
        fn value(&self, key: &str) -> Vec<u8> {
            self.pairs.iter().find(|pair| pair.key == key).unwrap().value.clone()
        }

        fn index(&self) -> Index {
            Index::from_bytes(self.value(&snapshot::index_key(self.objects.index))).unwrap()
        }
    }

    fn cut(records: impl Iterator<Item = TokenRecord>, projects: Vec<Project>) -> Cut {
        let mut cutter = Cutter::default();
        let mut pairs: Vec<Pair> = records.filter_map(|record| cutter.token(record)).collect();
        for project in projects {
            pairs.extend(cutter.project(project).unwrap());
        }
        let (rest, objects, content) = cutter.finish(&Providers::default(), None, 1, 1).unwrap();
        pairs.extend(rest);
        Cut { pairs, objects, content }
    }

    #[test]
    fn every_token_is_found_in_the_shard_of_its_range() {
        let cut = cut((0..20_000).map(record), vec![]);
        assert_eq!((cut.content.tokens, cut.content.last), (20_000, Some(record(19_999).id())));
        assert_eq!(cut.objects.keys().count(), cut.pairs.len());
        let bytes: usize = cut.pairs.iter().map(|pair| pair.value.len()).sum();
        assert_eq!(cut.content.size_bytes, bytes as u64);
        for n in [0, 1, 4_095, 4_096, 9_999, 19_999] {
            let id = record(n).id();
            let key = snapshot::shard_key(cut.index().shard_of(id).unwrap());
            let shard = Shard::from_bytes(cut.value(&key)).unwrap();
            assert!(shard.len() <= MAX_SHARD_RECORDS);
            assert_eq!(shard.find(id), Some(record(n)));
        }
    }

    #[test]
    fn a_token_that_leaves_changes_one_shard() {
        let hashes = |cut: Cut| cut.objects.shards.iter().map(|shard| shard.hash).collect::<Vec<_>>();
        let before = hashes(cut((0..40_000).map(record), vec![]));
        let after = hashes(cut((0..40_000).filter(|&n| n != 20_000).map(record), vec![]));
        assert!(before.len() > 10);
        assert!(before.iter().filter(|hash| !after.contains(hash)).count() <= 2);
    }

    #[test]
    fn slices_stay_within_their_length_and_their_stride() {
        let cut = cut(std::iter::empty(), (1..200).map(|n| project(n, 120)).collect());
        let slices = &cut.objects.slices;
        assert!(slices.iter().all(|slice| slice.len as usize <= MAX_SLICE_LEN));
        assert!(slices.iter().any(|slice| slice.first == SLICE_STRIDE) && slices.len() > 25);
        for number in 1..200 {
            let value = cut.value(&snapshot::project_key(cut.index().slice_of(number).unwrap()));
            assert!(config::decode::<ProjectSlice>(&value).unwrap().find(number).is_some());
        }
    }

    #[test]
    fn one_project_alone_may_exceed_a_slice() {
        let cut = cut(std::iter::empty(), vec![project(1, 1), project(2, 2_000), project(3, 1)]);
        assert_eq!(cut.objects.slices.iter().map(|slice| slice.first).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_is_kept_stays_in_its_place() {
        let before = cut((0..20_000).map(record), vec![]);
        let mut cutter = Cutter::default();
        for piece in &before.objects.shards {
            assert!(cutter.keep_shard(*piece).is_none());
        }
        let (_, objects, content) = cutter.finish(&Providers::default(), before.content.last, 1, 1).unwrap();
        assert_eq!((objects, content), (before.objects, before.content));
    }

    #[test]
    fn an_empty_database_has_providers_and_an_index_only() {
        let cut = cut(std::iter::empty(), vec![]);
        assert_eq!(cut.pairs.len(), 2);
        assert!(cut.objects.shards.is_empty() && cut.objects.slices.is_empty());
    }

    #[test]
    fn objects_survive_their_text() {
        let cut = cut((0..5_000).map(record), vec![project(1, 1)]);
        assert_eq!(Objects::from_text(&cut.objects.to_text().unwrap()).unwrap(), cut.objects);
        assert!(Objects::from_text("?").is_err() && Objects::from_text("AAAA").is_err());
    }
}
