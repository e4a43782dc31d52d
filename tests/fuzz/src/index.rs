//! The index of a base: which object holds what.

use crate::memory::bounded;
use shared::snapshot::index::Index;
use uuid::Uuid;

pub fn run(data: &[u8]) -> bool {
    let Ok(index) = bounded(data.len(), || Index::from_bytes(data.to_vec())) else { return false };
    assert_eq!(index.as_bytes(), data);
    let (shards, slices): (Vec<_>, Vec<_>) = (index.shards().collect(), index.slices().collect());
    assert_eq!(Index::build(&shards, &slices, index.providers()), Ok(index.clone()));

    // A range begins with its first, and ends before the next one's.
    for (at, shard) in shards.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| shards[before].hash);
        assert_eq!(index.shard_of(shard.first), Some(shard.hash));
        if let Some(last) = shard.first.as_u128().checked_sub(1) {
            assert_eq!(index.shard_of(Uuid::from_u128(last)), before);
        }
    }
    for (at, slice) in slices.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| slices[before].hash);
        assert_eq!(index.slice_of(slice.first), Some(slice.hash));
        if let Some(last) = slice.first.checked_sub(1) {
            assert_eq!(index.slice_of(last), before);
        }
    }
    assert_eq!(index.shard_of(Uuid::max()), shards.last().map(|shard| shard.hash));
    assert_eq!(index.slice_of(u32::MAX), slices.last().map(|slice| slice.hash));
    true
}
