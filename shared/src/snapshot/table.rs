//! A shard as an isolate holds it: laid out for look-ups.
//!
//! Binary search in a shard touches a line of memory at each of its last steps,
//! and among a million tokens each of them is far away. Here records are in
//! groups by the last bytes of their id, which in a `UUIDv7` are random, two
//! groups for each record; so a look-up touches one line that says where the
//! group is, and most often a single record. Records are kept without their
//! reserved end, which makes room for that: 56 bytes a token in all.

use super::record::{MEANING_LEN, RECORD_LEN, TokenRecord};
use super::shard::Shard;
use std::ops::Range;
use uuid::Uuid;

const GROUPS_A_RECORD: usize = 2;
/// Up to so many records, to compare each is faster than to search.
const FEW: usize = 8;

#[derive(Clone, Debug, Default)]
pub struct Table {
    starts: Starts,
    /// By group, and by id within one.
    records: Box<[TokenRecord]>,
}

/// Where each group begins, and where the last one ends.
#[derive(Clone, Debug)]
enum Starts {
    /// Of a shard as publishers make them.
    Narrow(Box<[u16]>),
    /// Of a larger one, as a delta may be.
    Wide(Box<[u32]>),
}

const _: () = assert!(MEANING_LEN + GROUPS_A_RECORD * size_of::<u32>() <= RECORD_LEN);

impl From<&Shard> for Table {
    fn from(shard: &Shard) -> Self {
        let groups = shard.len() * GROUPS_A_RECORD;
        // One place further than in the end: each is where its group's next
        // record goes, and so comes to be where that group ends.
        let mut ends = vec![0_u32; groups + 2];
        for record in shard.iter() {
            ends[group_of(record.id(), groups) + 2] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut records: Vec<TokenRecord> = shard.iter().collect();
        for record in shard.iter() {
            let next = &mut ends[group_of(record.id(), groups) + 1];
            records[*next as usize] = record;
            *next += 1;
        }
        ends.pop();
        Self { starts: Starts::from(ends), records: records.into_boxed_slice() }
    }
}

impl From<Vec<u32>> for Starts {
    fn from(starts: Vec<u32>) -> Self {
        let narrow: Result<_, _> = starts.iter().map(|start| u16::try_from(*start)).collect();
        narrow.map_or_else(|_| Self::Wide(starts.into_boxed_slice()), Self::Narrow)
    }
}

impl Default for Starts {
    fn default() -> Self {
        Self::Narrow(Box::default())
    }
}

impl Starts {
    /// Where `group` begins and ends.
    #[inline]
    fn range(&self, group: usize) -> Option<Range<usize>> {
        match self {
            Self::Narrow(starts) => {
                Some(usize::from(*starts.get(group)?)..usize::from(*starts.get(group + 1)?))
            }
            Self::Wide(starts) => Some(*starts.get(group)? as usize..*starts.get(group + 1)? as usize),
        }
    }

    fn footprint(&self) -> usize {
        match self {
            Self::Narrow(starts) => size_of_val(&**starts),
            Self::Wide(starts) => size_of_val(&**starts),
        }
    }
}

impl Table {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many bytes it takes.
    pub fn footprint(&self) -> usize {
        size_of::<Self>() + self.starts.footprint() + size_of_val(&*self.records)
    }

    /// The record of token `id`. Where the ids' last bytes are not random after
    /// all, a group is long, and searched by halves.
    #[inline]
    pub fn find(&self, id: Uuid) -> Option<TokenRecord> {
        let group = group_of(id, self.records.len() * GROUPS_A_RECORD);
        let group = self.records.get(self.starts.range(group)?)?;
        if group.len() <= FEW {
            return group.iter().find(|record| record.has_id(id)).copied();
        }
        Some(group[group.binary_search_by_key(&id, TokenRecord::id).ok()?])
    }
}

/// Of `groups` the one of `id`: its last bytes, scaled.
fn group_of(id: Uuid, groups: usize) -> usize {
    let [.., a, b, c, d] = *id.as_bytes();
    let scaled = (u64::from(u32::from_le_bytes([a, b, c, d])) * groups as u64) >> 32;
    // Below `groups`, which is a `usize`.
    usize::try_from(scaled).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id;
    use proptest::prelude::*;

    fn record(ms: u64, random: [u8; 10]) -> TokenRecord {
        TokenRecord::new(id::new(ms, &random), &[2; 32], Some(ms + 9), 7, ms.is_multiple_of(2))
    }

    fn table_of(records: &[TokenRecord]) -> Table {
        Table::from(&Shard::build(records.to_vec()))
    }

    #[test]
    fn an_empty_one_finds_nothing() {
        for table in [Table::default(), table_of(&[])] {
            assert!(table.is_empty());
            assert_eq!(table.find(Uuid::nil()), None);
            assert_eq!(table.find(Uuid::max()), None);
        }
    }

    #[test]
    fn takes_no_more_than_the_shard() {
        let records: Vec<_> =
            (0..2_000).map(|ms| record(ms, ms.to_le_bytes().repeat(2)[..10].try_into().unwrap())).collect();
        let table = table_of(&records);
        assert!(table.footprint() <= records.len() * RECORD_LEN, "{}", table.footprint());
    }

    /// More than 16 bits can tell.
    #[test]
    fn finds_each_and_no_other_of_very_many() {
        let made = |n: u64| {
            record(
                n / 7,
                (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes().repeat(2)[..10].try_into().unwrap(),
            )
        };
        let table = table_of(&(0..70_000).map(made).collect::<Vec<_>>());
        assert!(matches!(table.starts, Starts::Wide(_)));
        assert!(table.footprint() <= table.len() * RECORD_LEN, "{}", table.footprint());
        for n in 0..71_000 {
            assert_eq!(table.find(made(n).id()), (n < 70_000).then(|| made(n)));
        }
    }

    proptest! {
        #[test]
        fn finds_each_and_no_other(
            ids in proptest::collection::btree_set((0u64..1_000, any::<[u8; 10]>()), 0..300),
            missing in proptest::collection::vec((0u64..1_000, any::<[u8; 10]>()), 0..50),
        ) {
            let records: Vec<_> = ids.iter().map(|(ms, random)| record(*ms, *random)).collect();
            let table = table_of(&records);
            prop_assert_eq!(table.len(), Shard::build(records.clone()).len());
            let shard = Shard::build(records.clone());
            for (ms, random) in ids.into_iter().chain(missing) {
                let id = id::new(ms, &random);
                prop_assert_eq!(table.find(id), shard.find(id));
            }
        }

        /// All in one group.
        #[test]
        fn finds_each_and_no_other_where_the_last_bytes_are_the_same(
            times in proptest::collection::btree_set(0u64..1_000, 0..300),
            last in any::<[u8; 10]>(),
        ) {
            let records: Vec<_> = times.iter().map(|ms| record(*ms, last)).collect();
            let table = table_of(&records);
            for ms in 0..1_000 {
                let found = table.find(id::new(ms, &last));
                prop_assert_eq!(found, times.contains(&ms).then(|| record(ms, last)));
            }
        }
    }
}
