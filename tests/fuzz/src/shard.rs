//! A shard of token records, in whatever order they are.

use crate::memory::bounded;
use shared::snapshot::record::{RECORD_LEN, TokenRecord};
use shared::snapshot::shard::Shard;
use shared::token::Token;
use uuid::Uuid;

pub fn run(data: &[u8]) -> bool {
    let Ok(shard) = bounded(data.len(), || Shard::from_bytes(data.to_vec())) else { return false };
    assert_eq!(shard.as_bytes(), data);
    assert_eq!(data.len(), 8 + shard.len() * RECORD_LEN);
    look_up(&shard);
    sorted_anew(&shard);
    true
}

/// Every id that is in the shard, and some that may not be. The order is not
/// verified: out of order, a record may be missed, but another never found.
pub(crate) fn look_up(shard: &Shard) {
    let ids: Vec<Uuid> = shard.iter().map(|record| record.id()).collect();
    assert_eq!(ids.len(), shard.len());
    let is_sorted = ids.is_sorted_by(|a, b| a < b);
    for record in shard.iter() {
        let found = shard.find(record.id());
        assert!(found == Some(record) || !is_sorted);
        assert!(found.is_none_or(|found| found.id() == record.id()));
        check(&record);
    }
    for id in [Uuid::nil(), Uuid::from_bytes([0x80; 16]), Uuid::max()] {
        assert!(shard.find(id).is_none_or(|found| found.id() == id && ids.contains(&id)));
    }
}

/// Sorted by `build` the same records are all found; of two with one id, the last.
fn sorted_anew(shard: &Shard) {
    let records: Vec<TokenRecord> = shard.iter().collect();
    let sorted = Shard::build(records.clone());
    assert_eq!(Shard::from_bytes(sorted.as_bytes().to_vec()), Ok(sorted.clone()));
    for (at, record) in records.iter().enumerate() {
        let is_last = records[at + 1..].iter().all(|later| later.id() != record.id());
        assert!(!is_last || sorted.find(record.id()) == Some(*record));
    }
}

/// No record is right for a token of which it knows no secret.
pub(crate) fn check(record: &TokenRecord) {
    let token = Token::new(record.id(), [0xa5; 20]);
    for now in [0, u64::MAX] {
        let knows = record.to_bytes()[16..32] == token.secret_hash()[..16];
        assert!(record.check(&token, 0, now).is_err() || knows);
    }
}
