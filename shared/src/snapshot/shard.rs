//! Token records sorted by id, looked up in place.
//!
//! `LKS1` ‖ count, 4 bytes little-endian ‖ count records of 64 bytes.

use super::record::{RECORD_LEN, TokenRecord};
use thiserror::Error;
use uuid::Uuid;

const MAGIC: &[u8; 4] = b"LKS1";
const HEADER_LEN: usize = 8;

/// A shard over bytes whose length agrees with its count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard(Vec<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a token shard of version 1")]
pub struct ShardError;

impl Shard {
    /// Whatever the order of `records`; of two with one id the last one counts.
    pub fn build(mut records: Vec<TokenRecord>) -> Self {
        records.reverse();
        records.sort_by_key(TokenRecord::id);
        records.dedup_by_key(|record| record.id());
        let mut bytes = Vec::with_capacity(HEADER_LEN + records.len() * RECORD_LEN);
        bytes.extend_from_slice(MAGIC);
        // 2^32 records are 256 GiB; a `Vec` of them was never built.
        bytes.extend_from_slice(&u32::try_from(records.len()).unwrap_or(u32::MAX).to_le_bytes());
        for record in &records {
            bytes.extend_from_slice(&record.to_bytes());
        }
        Self(bytes)
    }

    /// The order is not verified: a shard comes with a signature or the hash
    /// that a signed manifest names.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, ShardError> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(ShardError)?;
        let [m0, m1, m2, m3, count @ ..] = *header;
        let records = bytes.len() - HEADER_LEN;
        let counted = (u32::from_le_bytes(count) as usize).checked_mul(RECORD_LEN);
        if [m0, m1, m2, m3] != *MAGIC || counted != Some(records) {
            return Err(ShardError);
        }
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.records().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record of token `id`, by binary search.
    pub fn find(&self, id: Uuid) -> Option<TokenRecord> {
        let records = self.records();
        let at = records.binary_search_by(|record| record[..16].cmp(id.as_bytes())).ok()?;
        Some(TokenRecord::from_bytes(&records[at]))
    }

    pub fn iter(&self) -> impl Iterator<Item = TokenRecord> {
        self.records().iter().map(TokenRecord::from_bytes)
    }

    fn records(&self) -> &[[u8; RECORD_LEN]] {
        self.0[HEADER_LEN..].as_chunks().0
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::build(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id;
    use proptest::prelude::*;

    fn record(ms: u64, project: u32) -> TokenRecord {
        TokenRecord::new(id::new(ms, &[1; 10]), &[2; 32], Some(9), project, false)
    }

    /// Frozen: edges read what other versions wrote.
    #[test]
    fn golden() {
        let shard = Shard::build(vec![record(2, 5), record(1, 4)]);
        crate::golden::assert("shard.bin", shard.as_bytes());
    }

    #[test]
    fn the_last_of_two_records_counts() {
        let shard = Shard::build(vec![record(1, 4), record(1, 5)]);
        assert_eq!(shard.len(), 1);
        assert_eq!(shard.find(record(1, 0).id()).unwrap().project(), 5);
    }

    #[test]
    fn wrong_lengths_are_refused() {
        let good = Shard::build(vec![record(1, 4)]).0;
        for length in 0..good.len() {
            assert_eq!(Shard::from_bytes(good[..length].to_vec()), Err(ShardError));
        }
        let mut huge = good;
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Shard::from_bytes(huge), Err(ShardError));
    }

    proptest! {
        #[test]
        fn finds_each_and_no_other(times in proptest::collection::vec(0u64..500, 0..200), missing in 500u64..600) {
            let shard = Shard::build(times.iter().map(|&ms| record(ms, u32::try_from(ms).unwrap())).collect());
            for ms in times {
                let found = shard.find(record(ms, 0).id()).map(|found| found.project());
                prop_assert_eq!(found, u32::try_from(ms).ok());
            }
            prop_assert_eq!(shard.find(record(missing, 0).id()), None);
        }
    }
}
