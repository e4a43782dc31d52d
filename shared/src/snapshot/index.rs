//! Which immutable object holds what: looked up in place, so that loading it
//! costs a check of its order and nothing else.
//!
//! ```text
//! LKX1 ‖ shards, 4 bytes little-endian ‖ slices, 4 bytes little-endian
//!  ‖ hash of the providers, 32 bytes
//!  ‖ first id of each shard, 16 bytes each ‖ first number of each slice, 4 bytes little-endian each
//!  ‖ hash of each shard, 32 bytes each ‖ hash of each slice, 32 bytes each
//! ```
//!
//! A shard holds the ids from its first to the next one's, a slice the numbers.

use super::Hash;
use super::guide::{Guide, Place};
use super::record::ProjectNumber;
use thiserror::Error;
use uuid::Uuid;

const MAGIC: &[u8; 4] = b"LKX1";
const HASH_LEN: usize = 32;
const HEADER_LEN: usize = 12 + HASH_LEN;
const ID_LEN: usize = 16;
const NUMBER_LEN: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardRef {
    pub first: Uuid,
    pub hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceRef {
    pub first: ProjectNumber,
    pub hash: Hash,
}

/// An index over bytes whose length agrees with its counts, and in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    bytes: Vec<u8>,
    shards: usize,
    slices: usize,
    guide: Guide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IndexError {
    #[error("not a snapshot index of version 1")]
    Malformed,
    #[error("the snapshot index is not sorted")]
    Unsorted,
}

impl Index {
    /// `shards` sorted by first id and `slices` by first number, none twice.
    pub fn build(shards: &[ShardRef], slices: &[SliceRef], providers: Hash) -> Result<Self, IndexError> {
        let count = |length: usize| u32::try_from(length).map_err(|_| IndexError::Malformed);
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&count(shards.len())?.to_le_bytes());
        bytes.extend_from_slice(&count(slices.len())?.to_le_bytes());
        bytes.extend_from_slice(&providers.0);
        bytes.extend(shards.iter().flat_map(|shard| *shard.first.as_bytes()));
        bytes.extend(slices.iter().flat_map(|slice| slice.first.to_le_bytes()));
        bytes.extend(shards.iter().flat_map(|shard| shard.hash.0));
        bytes.extend(slices.iter().flat_map(|slice| slice.hash.0));
        Self::from_bytes(bytes)
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, IndexError> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(IndexError::Malformed)?;
        let count =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (shards, slices) = (u64::from(count(4)), u64::from(count(8)));
        // Two counts of 32 bits: no overflow in 64.
        let length =
            HEADER_LEN as u64 + shards * (ID_LEN + HASH_LEN) as u64 + slices * (NUMBER_LEN + HASH_LEN) as u64;
        if header[..4] != *MAGIC || length != bytes.len() as u64 {
            return Err(IndexError::Malformed);
        }
        let as_len = |count: u64| usize::try_from(count).map_err(|_| IndexError::Malformed);
        let (shards, slices) = (as_len(shards)?, as_len(slices)?);
        let mut index = Self { shards, slices, bytes, guide: Guide::default() };
        let is_sorted = index.ids().is_sorted_by(|a, b| a < b)
            && index.numbers().is_sorted_by(|a, b| u32::from_le_bytes(*a) < u32::from_le_bytes(*b));
        if !is_sorted {
            return Err(IndexError::Unsorted);
        }
        index.guide = Guide::new(index.shards().map(|shard| lead(shard.first)).collect());
        Ok(index)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn hash(&self) -> Hash {
        Hash::of(&self.bytes)
    }

    /// The shard whose range holds `id`, if any.
    #[inline]
    pub fn shard_of(&self, id: Uuid) -> Option<Hash> {
        let after = match self.guide.after(lead(id)) {
            Place::Known(after) => after,
            Place::Tie => self.ids().partition_point(|first| first <= id.as_bytes()),
        };
        Some(Hash(self.shard_hashes()[after.checked_sub(1)?]))
    }

    /// How many bytes it takes.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + self.guide.footprint()
    }

    /// The slice whose range holds project `number`, if any.
    pub fn slice_of(&self, number: ProjectNumber) -> Option<Hash> {
        let after = self.numbers().partition_point(|first| u32::from_le_bytes(*first) <= number);
        Some(Hash(self.slice_hashes()[after.checked_sub(1)?]))
    }

    pub fn providers(&self) -> Hash {
        Hash(self.array(12))
    }

    pub fn shards(&self) -> impl ExactSizeIterator<Item = ShardRef> {
        let refs = self.ids().iter().zip(self.shard_hashes());
        refs.map(|(first, hash)| ShardRef { first: Uuid::from_bytes(*first), hash: Hash(*hash) })
    }

    pub fn slices(&self) -> impl ExactSizeIterator<Item = SliceRef> {
        let refs = self.numbers().iter().zip(self.slice_hashes());
        refs.map(|(first, hash)| SliceRef { first: u32::from_le_bytes(*first), hash: Hash(*hash) })
    }

    fn ids(&self) -> &[[u8; ID_LEN]] {
        self.part(HEADER_LEN, self.shards)
    }

    fn numbers(&self) -> &[[u8; NUMBER_LEN]] {
        self.part(HEADER_LEN + self.shards * ID_LEN, self.slices)
    }

    fn shard_hashes(&self) -> &[[u8; HASH_LEN]] {
        self.part(self.hashes_at(), self.shards)
    }

    fn slice_hashes(&self) -> &[[u8; HASH_LEN]] {
        self.part(self.hashes_at() + self.shards * HASH_LEN, self.slices)
    }

    fn hashes_at(&self) -> usize {
        HEADER_LEN + self.shards * ID_LEN + self.slices * NUMBER_LEN
    }

    /// `count` items of `N` bytes from `at` on; `from_bytes` has seen to it that they are there.
    fn part<const N: usize>(&self, at: usize, count: usize) -> &[[u8; N]] {
        self.bytes[at..at + count * N].as_chunks().0
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }
}

/// The first half of an id.
fn lead(id: Uuid) -> u64 {
    id.as_u64_pair().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shard(first: u8) -> ShardRef {
        ShardRef { first: Uuid::from_bytes([first; 16]), hash: Hash([first + 100; 32]) }
    }

    fn slice(first: u32) -> SliceRef {
        SliceRef { first, hash: Hash([u8::try_from(first).unwrap() + 100; 32]) }
    }

    fn index() -> Index {
        Index::build(&[shard(1), shard(2)], &[slice(1), slice(64)], Hash([6; 32])).unwrap()
    }

    /// Frozen: edges read what other versions wrote.
    #[test]
    fn golden() {
        crate::golden::assert("index.bin", index().as_bytes());
        assert_eq!(Index::from_bytes(index().as_bytes().to_vec()), Ok(index()));
    }

    #[test]
    fn ranges_start_at_their_first_and_end_at_the_next() {
        let index = index();
        let of = |byte: u8| index.shard_of(Uuid::from_bytes([byte; 16]));
        assert_eq!([of(0), of(1), of(2), of(9)], [0, 1, 2, 2].map(|n| (n > 0).then(|| Hash([n + 100; 32]))));
        assert_eq!(index.slice_of(0), None);
        assert_eq!(index.slice_of(63), Some(slice(1).hash));
        assert_eq!(index.slice_of(64), Some(slice(64).hash));
        assert_eq!(index.slice_of(u32::MAX), Some(slice(64).hash));
        assert_eq!(index.providers(), Hash([6; 32]));
        assert_eq!(index.shards().collect::<Vec<_>>(), [shard(1), shard(2)]);
        assert_eq!(index.slices().collect::<Vec<_>>(), [slice(1), slice(64)]);
    }

    #[test]
    fn an_empty_one_holds_nothing() {
        let empty = Index::build(&[], &[], Hash([6; 32])).unwrap();
        assert_eq!(empty.shard_of(Uuid::max()), None);
        assert_eq!(empty.slice_of(u32::MAX), None);
    }

    #[test]
    fn what_is_malformed_or_unsorted_is_refused() {
        let good = index().bytes;
        for length in 0..good.len() {
            assert_eq!(Index::from_bytes(good[..length].to_vec()), Err(IndexError::Malformed));
        }
        for count_at in [4, 8] {
            let mut huge = good.clone();
            huge[count_at..count_at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            assert_eq!(Index::from_bytes(huge), Err(IndexError::Malformed));
        }
        for (shards, slices) in [
            (vec![shard(2), shard(1)], vec![]),
            (vec![shard(1), shard(1)], vec![]),
            (vec![], vec![slice(64), slice(1)]),
            (vec![], vec![slice(1), slice(1)]),
        ] {
            assert_eq!(Index::build(&shards, &slices, Hash([6; 32])), Err(IndexError::Unsorted));
        }
    }

    proptest! {
        /// Few different halves, so that many ids share one.
        #[test]
        fn the_shard_of_an_id_is_the_last_that_begins_at_or_before_it(
            firsts in proptest::collection::btree_set((0u64..4, 0u64..4), 0..12),
            first in 0u64..4,
            second in 0u64..4,
        ) {
            let id = |(first, second): (u64, u64)| Uuid::from_u64_pair(first, second);
            let shards: Vec<_> = firsts
                .iter()
                .zip(1..)
                .map(|(&first, n)| ShardRef { first: id(first), hash: Hash([n; 32]) })
                .collect();
            let index = Index::build(&shards, &[], Hash([6; 32])).unwrap();
            let expected = shards.iter().rev().find(|shard| shard.first <= id((first, second)));
            prop_assert_eq!(index.shard_of(id((first, second))), expected.map(|shard| shard.hash));
        }
    }
}
