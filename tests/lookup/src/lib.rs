//! Tokens as an isolate holds them when it has loaded all of their shards, and
//! look-ups of each in random order. The benchmark calls this natively, and has
//! Node call the same compiled to Wasm.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a benchmark fails by panicking")]

#[cfg(target_arch = "wasm32")]
mod exports;

use edge::snapshot::Snapshot;
use edge::snapshot::objects::{Budget, Object, Objects};
use shared::id;
use shared::snapshot::Hash;
use shared::snapshot::config::Providers;
use shared::snapshot::index::{Index, ShardRef};
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use std::ops::Range;
use std::rc::Rc;
use uuid::Uuid;

/// About what the publisher makes.
const SHARD_LEN: usize = 1_800;
const START: u64 = 1_795_444_000_000;
/// Milliseconds from one token to the next.
const LONGEST_GAP: u64 = 2_000;

#[derive(Debug)]
pub struct Tokens {
    snapshot: Snapshot,
    /// All ids, in the order in which they are looked up.
    order: Vec<Uuid>,
}

impl Tokens {
    pub fn new(count: usize) -> Self {
        let records = records(count);
        let mut order: Vec<Uuid> = records.iter().map(TokenRecord::id).collect();
        shuffle(&mut order);
        Self { snapshot: snapshot(&records), order }
    }

    /// Looks up those at these places. The sum is of something in each record,
    /// so that each is read.
    pub fn look_up(&self, places: Range<usize>) -> u64 {
        let project = |id| self.snapshot.token(id).unwrap().unwrap().record.project();
        self.order[places].iter().map(|id| u64::from(project(*id))).sum()
    }

    pub fn order(&self) -> &[Uuid] {
        &self.order
    }

    /// What an isolate counts for shards and index.
    pub fn bytes(&self) -> usize {
        let stats = self.snapshot.objects().stats();
        stats.shards.bytes + stats.indexes.bytes
    }
}

/// The same each time, by id.
pub fn records(count: usize) -> Vec<TokenRecord> {
    let (mut dice, mut at) = (Dice(1), START);
    let record = |number| {
        at += dice.roll() % LONGEST_GAP;
        let mut random = [0; 10];
        random[..8].copy_from_slice(&dice.roll().to_be_bytes());
        random[8..].copy_from_slice(&dice.roll().to_be_bytes()[..2]);
        TokenRecord::new(id::new(at, &random), &[2; 32], None, number, false)
    };
    let mut records: Vec<_> = (0..u32::try_from(count).unwrap()).map(record).collect();
    records.sort_by_key(TokenRecord::id);
    records
}

fn snapshot(records: &[TokenRecord]) -> Snapshot {
    let all = usize::MAX;
    let budget = Budget { indexes: all, shards: all, slices: all, providers: all, records: all };
    let objects = Rc::new(Objects::new(budget));
    let mut shards = Vec::new();
    for records in records.chunks(SHARD_LEN) {
        let content = Shard::build(records.to_vec()).as_bytes().to_vec();
        let hash = Hash::of(&content);
        shards.push(ShardRef { first: records[0].id(), hash });
        objects.insert(Object::Shard(hash).verify(content).unwrap()).unwrap();
    }
    let index = Index::build(&shards, &[], Hash([0; 32])).unwrap();
    let base = Base { index: index.hash(), compiled_at: 0 };
    objects.insert(Object::Index(base.index).verify(index.as_bytes().to_vec()).unwrap()).unwrap();
    let delta = Delta { providers: Some(Providers::default()), ..Delta::default() };
    let deployment_id = "default".to_owned();
    let manifest = Manifest { deployment_id, version: 1, created_at: START, base: Some(base), delta };
    Snapshot::new(manifest, None, objects)
}

fn shuffle(ids: &mut [Uuid]) {
    let mut dice = Dice(2);
    for at in (1..ids.len()).rev() {
        let bound = u64::try_from(at + 1).unwrap();
        ids.swap(at, usize::try_from(dice.roll() % bound).unwrap());
    }
}

/// `SplitMix64` (Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators, 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_once_and_takes_no_more_than_its_record_on_the_wire() {
        let tokens = Tokens::new(10_000);
        assert_eq!(tokens.look_up(0..10_000), (0..10_000).sum::<u64>());
        assert!(tokens.bytes() <= 10_000 * 64, "{}", tokens.bytes());
    }
}
