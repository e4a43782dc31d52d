//! A shard as an isolate holds it: laid out for look-ups.
//!
//! Binary search in a shard touches a line of memory at each of its last steps,
//! and among a million tokens each of them is far away. Here records are in
//! groups by the last bytes of their id, which in a `UUIDv7` are random, as many
//! groups as records; so a look-up touches one line that says where the group
//! is, and the record. Records are kept without their reserved end, which makes
//! room for that: 56 bytes a token in all.

use super::record::{MEANING_LEN, RECORD_LEN, TokenRecord};
use super::shard::Shard;
use uuid::Uuid;

type Kept = [u8; MEANING_LEN];

/// Up to so many records, to compare each is faster than to search.
const FEW: usize = 8;

#[derive(Clone, Debug, Default)]
pub struct Table {
    /// Where each group begins, and where the last one ends.
    starts: Box<[u32]>,
    /// By group, and by id within one.
    records: Box<[Kept]>,
}

impl From<&Shard> for Table {
    fn from(shard: &Shard) -> Self {
        let count = shard.len();
        // One place further than in the end: each is where its group's next
        // record goes, and so comes to be where that group ends.
        let mut ends = vec![0_u32; count + 2];
        for record in shard.iter() {
            ends[group_of(record.id(), count) + 2] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        let mut records = vec![[0; MEANING_LEN]; count].into_boxed_slice();
        for record in shard.iter() {
            let next = &mut ends[group_of(record.id(), count) + 1];
            records[*next as usize] = *record.meaning();
            *next += 1;
        }
        ends.pop();
        Self { starts: ends.into_boxed_slice(), records }
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
        size_of::<Self>() + size_of_val(&*self.starts) + size_of_val(&*self.records)
    }

    /// The record of token `id`. Where the ids' last bytes are not random after
    /// all, a group is long, and searched by halves.
    pub fn find(&self, id: Uuid) -> Option<TokenRecord> {
        let group = group_of(id, self.records.len());
        let (start, end) = (*self.starts.get(group)?, *self.starts.get(group + 1)?);
        let group = &self.records[start as usize..end as usize];
        let found = if group.len() <= FEW {
            group.iter().find(|record| record[..16] == *id.as_bytes())?
        } else {
            &group[group.binary_search_by(|record| record[..16].cmp(id.as_bytes())).ok()?]
        };
        Some(TokenRecord::of_meaning(found))
    }
}

/// Of `count` groups the one of `id`: its last bytes, scaled.
fn group_of(id: Uuid, count: usize) -> usize {
    let [.., a, b, c, d] = *id.as_bytes();
    let scaled = (u64::from(u32::from_le_bytes([a, b, c, d])) * count as u64) >> 32;
    // Below `count`, which is a `usize`.
    usize::try_from(scaled).unwrap_or_default()
}

const _: () = assert!(MEANING_LEN + size_of::<u32>() <= RECORD_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id;
    use proptest::prelude::*;

    fn record(ms: u64, random: [u8; 10]) -> TokenRecord {
        TokenRecord::new(id::new(ms, &random), &[2; 32], Some(ms + 9), 7, ms % 2 == 0)
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
