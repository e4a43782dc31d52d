//! A fresh record: as an object that anyone could have put into KV, and as a
//! payload that was signed.

use crate::keys::{SIGNER, VERIFIER};
use crate::memory::bounded;
use crate::{projects, shard};
use shared::snapshot::fresh::Fresh;
use shared::snapshot::signed::Kind;

pub fn run(data: &[u8]) -> bool {
    read(data) | read(&SIGNER.sign(Kind::Fresh, data))
}

fn read(object: &[u8]) -> bool {
    let Ok(fresh) = bounded(object.len(), || Fresh::decode(object, &VERIFIER)) else { return false };
    shard::check(&fresh.record);
    projects::open_all(&fresh.project);
    let again = fresh.encode(&SIGNER).unwrap();
    assert_eq!(Fresh::decode(&again, &VERIFIER).unwrap(), fresh);
    true
}
