//! A crowd's snapshot without a control plane, its objects cut as the publisher
//! cuts them.

use super::{Crowd, provider};
use crate::fixture;
use crate::keys;
use crate::kv::KvServer;
use shared::snapshot::config::{self, Project, ProjectSlice, Providers};
use shared::snapshot::index::{Index, ShardRef, SliceRef};
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::snapshot::{Hash, MANIFEST_KEY, index_key, project_key, providers_key, shard_key};

/// One id in so many begins a shard (`control-plane/src/snapshot/base.rs`).
const SHARD_STRIDE: u16 = 2_048;
const MAX_SHARD_RECORDS: usize = 4_096;
/// Projects of a number that it divides begin a slice.
const SLICE_STRIDE: u32 = 8;

/// Puts everything into KV; the projects' provider is at `upstream`, and each
/// project as `shape` leaves it.
pub fn publish(kv: &KvServer, crowd: &Crowd, upstream: &str, shape: impl Fn(&mut Project)) {
    let provider = provider(upstream);
    let mut slices = Vec::new();
    let mut open = ProjectSlice::default();
    for number in 1..=crowd.projects {
        if number.is_multiple_of(SLICE_STRIDE) {
            slices.extend(end_slice(kv, &mut open));
        }
        let mut project = crowd.project(number, &provider);
        shape(&mut project);
        open.projects.push(project);
    }
    slices.extend(end_slice(kv, &mut open));
    let providers = Providers { providers: vec![provider] };
    let providers = put(kv, providers_key, &config::encode(&providers).unwrap());
    let index = Index::build(&shards(kv, crowd), &slices, providers).unwrap();
    let base = Base { index: put(kv, index_key, index.as_bytes()), compiled_at: 0 };
    let manifest = Manifest {
        deployment_id: keys::DEPLOYMENT.into(),
        version: fixture::now(),
        created_at: fixture::now(),
        base: Some(base),
        delta: Delta::default(),
    };
    kv.set_raw(MANIFEST_KEY, &fixture::encode(&manifest));
}

fn shards(kv: &KvServer, crowd: &Crowd) -> Vec<ShardRef> {
    let mut shards = Vec::new();
    let mut open: Vec<TokenRecord> = Vec::new();
    for number in 0..crowd.tokens {
        let record = crowd.record(number);
        let [.., high, low] = *record.id().as_bytes();
        let begins = u16::from_be_bytes([high, low]).is_multiple_of(SHARD_STRIDE);
        if begins || open.len() == MAX_SHARD_RECORDS {
            shards.extend(end_shard(kv, &mut open));
        }
        open.push(record);
    }
    shards.extend(end_shard(kv, &mut open));
    shards
}

fn end_shard(kv: &KvServer, open: &mut Vec<TokenRecord>) -> Option<ShardRef> {
    let first = open.first()?.id();
    let shard = Shard::build(std::mem::take(open));
    Some(ShardRef { first, hash: put(kv, shard_key, shard.as_bytes()) })
}

fn end_slice(kv: &KvServer, open: &mut ProjectSlice) -> Option<SliceRef> {
    let first = open.projects.first()?.number;
    let slice = std::mem::take(open);
    Some(SliceRef { first, hash: put(kv, project_key, &config::encode(&slice).unwrap()) })
}

fn put(kv: &KvServer, key: fn(Hash) -> String, content: &[u8]) -> Hash {
    let hash = Hash::of(content);
    kv.set_raw(&key(hash), content);
    hash
}
