//! A whole snapshot: small objects, of which every byte is damaged, and a shard
//! and a slice as large as they get, of which some of every kind are.

use crate::damage::json_offsets;
use crate::isolate::insert;
use edge::snapshot::Snapshot;
use edge::snapshot::objects::{Object, Objects};
use latchkey_tests::fixture::{self, project, record, token};
use latchkey_tests::keys;
use shared::snapshot::Hash;
use shared::snapshot::config::{self, MAX_SLICE_LEN, Project, ProjectSlice, Providers};
use shared::snapshot::index::{Index, ShardRef, SliceRef};
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::record::{ProjectNumber, RECORD_LEN};
use shared::snapshot::shard::Shard;
use shared::token::Token;
use std::rc::Rc;
use uuid::Uuid;

/// As many as a shard holds at most.
const BIG_SHARD_LEN: u64 = 4_096;
const BIG_SHARD_FROM: u64 = 1_000_000;
const BIG_SLICE_FROM: ProjectNumber = 10;
const SHARD_HEADER_LEN: usize = 8;

/// An object as it is in KV, and which bytes of it are to be damaged.
pub(crate) struct Stored {
    pub(crate) object: Object,
    pub(crate) content: Vec<u8>,
    pub(crate) offsets: Vec<usize>,
}

/// Where each is in `World::objects`.
pub(crate) const INDEX: usize = 0;
pub(crate) const SHARDS: [usize; 2] = [1, 2];
pub(crate) const SLICES: [usize; 2] = [3, 4];
pub(crate) const PROVIDERS: usize = 5;

pub(crate) struct World {
    pub(crate) objects: Vec<Stored>,
    delta: Delta,
}

impl World {
    /// In the small slice, in the big one, in the delta, and nowhere.
    pub(crate) const PROJECTS: [ProjectNumber; 8] = [1, 2, BIG_SLICE_FROM, 150, 5, 0, 3, 9];

    pub(crate) fn new() -> Self {
        let providers = fixture::providers("https://api.test");
        let (big_slice, offsets) = big_slice(&providers);
        let small_slice = slice(vec![project(1, &providers), project(2, &providers)]);
        let mut objects = vec![
            Stored::small(Object::Shard, shard([1, 2, 3])),
            Stored::big(Object::Shard, shard(big_shard_times()), big_shard_offsets()),
            Stored::small(Object::Projects, small_slice),
            Stored::big(Object::Projects, big_slice, offsets),
            Stored::small(Object::Providers, config::encode(&providers).unwrap()),
        ];
        let names: Vec<Hash> = objects.iter().map(|stored| stored.object.hash()).collect();
        objects.insert(INDEX, Stored::small(Object::Index, index(&names).as_bytes().to_vec()));
        let delta = Delta {
            tokens: Shard::build(vec![record(&made_at(500), 5, None, false)]),
            projects: vec![project(5, &providers)],
            providers: None,
        };
        Self { objects, delta }
    }

    /// In the small shard, in the big one, in the delta, and nowhere.
    pub(crate) fn token_ids() -> Vec<Uuid> {
        let end = BIG_SHARD_FROM + BIG_SHARD_LEN;
        let times = [1, 2, 3, BIG_SHARD_FROM, BIG_SHARD_FROM + BIG_SHARD_LEN / 2, end - 1, 500, 0, 4, end];
        times.map(|at| made_at(at).id()).to_vec()
    }

    pub(crate) fn manifest(&self, version: u64) -> Manifest {
        self.over(self.objects[INDEX].object.hash(), version)
    }

    fn over(&self, index: Hash, version: u64) -> Manifest {
        Manifest {
            deployment_id: keys::DEPLOYMENT.into(),
            version,
            created_at: fixture::now(),
            base: Some(Base { index, compiled_at: 0 }),
            delta: self.delta.clone(),
        }
    }

    /// A snapshot that names `content` in the place of the object `at`, as if
    /// whoever publishes had made it so; and what it is called there.
    pub(crate) fn naming(&self, at: usize, content: &[u8], objects: &Rc<Objects>) -> (Snapshot, Object) {
        let hash = Hash::of(content);
        let mut names: Vec<Hash> = self.objects.iter().map(|stored| stored.object.hash()).collect();
        names[at] = hash;
        if at != INDEX {
            let index = index(&names[1..]);
            names[INDEX] = index.hash();
            insert(objects, Object::Index(index.hash()), index.as_bytes()).unwrap();
        }
        let object = match self.objects[at].object {
            Object::Index(_) => Object::Index(hash),
            Object::Shard(_) => Object::Shard(hash),
            Object::Projects(_) => Object::Projects(hash),
            Object::Providers(_) => Object::Providers(hash),
        };
        (Snapshot::new(self.over(names[INDEX], 1), None, objects.clone()), object)
    }
}

impl Stored {
    fn small(named: fn(Hash) -> Object, content: Vec<u8>) -> Self {
        let offsets = (0..content.len()).collect();
        Self::big(named, content, offsets)
    }

    fn big(named: fn(Hash) -> Object, content: Vec<u8>, offsets: Vec<usize>) -> Self {
        Self { object: named(Hash::of(&content)), content, offsets }
    }
}

fn made_at(ms: u64) -> Token {
    token(ms, 7)
}

fn shard(times: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let records = times.into_iter().map(|at| record(&made_at(at), 1, Some(at << 32), at == 2)).collect();
    Shard::build(records).as_bytes().to_vec()
}

fn big_shard_times() -> impl Iterator<Item = u64> {
    (0..BIG_SHARD_LEN).map(|at| BIG_SHARD_FROM + at)
}

/// The header, and the first and last byte of each field of the first, the
/// middle and the last record.
fn big_shard_offsets() -> Vec<usize> {
    const FIELDS: [usize; 8] = [0, 16, 32, 40, 44, 48, 52, RECORD_LEN];
    let last = usize::try_from(BIG_SHARD_LEN).unwrap() - 1;
    let of_record = |record: usize| {
        let at = SHARD_HEADER_LEN + record * RECORD_LEN;
        FIELDS.windows(2).flat_map(move |field| [at + field[0], at + field[1] - 1])
    };
    (0..SHARD_HEADER_LEN).chain([0, last / 2, last].into_iter().flat_map(of_record)).collect()
}

fn slice(projects: Vec<Project>) -> Vec<u8> {
    config::encode(&ProjectSlice { projects }).unwrap()
}

/// The offsets are those of each JSON token at its head, around its middle and at its end.
fn big_slice(providers: &Providers) -> (Vec<u8>, Vec<usize>) {
    let one = project(1, providers);
    let of = |count: usize| {
        let numbers = (BIG_SLICE_FROM..).take(count);
        slice(numbers.map(|number| Project { number, ..one.clone() }).collect())
    };
    let empty = of(0).len();
    let length = of(1).len() - empty;
    // One less, for the numbers that have more digits.
    let content = of((MAX_SLICE_LEN - empty) / (length + 4) - 1);
    assert!(content.len() <= MAX_SLICE_LEN && content.len() > MAX_SLICE_LEN - 8 * length);
    let middle = content.len() / 2;
    let offsets = [0..length / 8, middle..middle + length / 2, content.len() - length / 16..content.len()];
    let offsets = offsets.into_iter().flat_map(|range| json_offsets(&content, range)).collect();
    (content, offsets)
}

/// Names both shards, both slices and the providers, in the order of `World::objects`.
fn index(names: &[Hash]) -> Index {
    let shards = [
        ShardRef { first: made_at(1).id(), hash: names[0] },
        ShardRef { first: made_at(BIG_SHARD_FROM).id(), hash: names[1] },
    ];
    let slices = [SliceRef { first: 1, hash: names[2] }, SliceRef { first: BIG_SLICE_FROM, hash: names[3] }];
    Index::build(&shards, &slices, names[4]).unwrap()
}
