//! Snapshots whose objects were compiled, as against those that are all delta.

use super::EdgeStack;
use super::world::settled;
use crate::fixture::{self, project, record};
use shared::snapshot::config::{self, Project, Providers};
use shared::snapshot::index::{Index, ShardRef, SliceRef};
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::snapshot::{Hash, index_key, project_key, providers_key, shard_key};

/// The names of objects that are in KV, before an index names them.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub shards: Vec<ShardRef>,
    pub slices: Vec<SliceRef>,
    pub providers: Hash,
}

impl Compiled {
    /// Puts the index into KV; `compiled_at` is 0, so that any snapshot can stand in.
    pub fn base(&self, stack: &EdgeStack) -> Base {
        let index = Index::build(&self.shards, &self.slices, self.providers).unwrap();
        Base { index: put(stack, index_key, index.as_bytes()), compiled_at: 0 }
    }
}

/// Puts objects into KV as a compaction does.
pub fn compile(
    stack: &EdgeStack,
    shards: Vec<Vec<TokenRecord>>,
    slices: Vec<Vec<Project>>,
    providers: &Providers,
) -> Compiled {
    let shards = shards.into_iter().map(|records| {
        let shard = Shard::build(records);
        let first = shard.iter().next().unwrap().id();
        ShardRef { first, hash: put(stack, shard_key, shard.as_bytes()) }
    });
    let slices = slices.into_iter().map(|projects| {
        let first = projects[0].number;
        let content = config::encode(&config::ProjectSlice { projects }).unwrap();
        SliceRef { first, hash: put(stack, project_key, &content) }
    });
    Compiled {
        shards: shards.collect(),
        slices: slices.collect(),
        providers: put(stack, providers_key, &config::encode(providers).unwrap()),
    }
}

fn put(stack: &EdgeStack, key: fn(Hash) -> String, content: &[u8]) -> Hash {
    let hash = Hash::of(content);
    stack.kv.set_raw(&key(hash), content);
    hash
}

/// Six tokens in three shards, of three projects in two slices.
pub fn compiled(edge: &EdgeStack) -> Compiled {
    let providers = edge.providers();
    let shard =
        |seeds: [u8; 2], project| seeds.map(|seed| record(&settled(seed), project, None, false)).to_vec();
    let shards = vec![shard([1, 2], 1), shard([3, 4], 2), shard([5, 6], 3)];
    let slices = vec![vec![project(1, &providers)], vec![project(2, &providers), project(3, &providers)]];
    compile(edge, shards, slices, &providers)
}

/// Nothing but `base`.
pub fn over(base: Base, version: u64) -> Manifest {
    let manifest = fixture::manifest(version, Vec::new(), Vec::new(), Providers::default());
    Manifest { base: Some(base), delta: Delta::default(), ..manifest }
}
