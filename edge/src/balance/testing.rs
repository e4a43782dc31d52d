//! Candidates for tests.

use super::Candidate;
use super::happened::Happened;
use super::key::{Key, Named};
use super::signs::Signs;
use super::standings::Standings;
use shared::id::UnixMs;
use uuid::Uuid;

pub(crate) const NOW: UnixMs = 1_700_000_000_000;
pub(crate) const NAMED: Named<'_> = Named { provider: "openai", model: Some("gpt-4o") };
pub(crate) const OK: Happened = answered(200);

pub(crate) const fn answered(status: u16) -> Happened {
    Happened::Answered { status, kind: None }
}

pub(crate) fn key(number: usize) -> Key {
    Key::of(Uuid::from_u128(number as u128), NAMED.model)
}

/// Its key is of its own, whatever else has the same credential.
pub(crate) fn candidate(target: usize, credential: usize) -> Candidate {
    Candidate {
        target,
        credential,
        target_priority: 0,
        target_weight: 1,
        larger_context: false,
        credential_priority: 0,
        credential_weight: 1,
        key: key(target * 100 + credential),
    }
}

/// Has it cool down.
pub(crate) fn cool(standings: &mut Standings, candidate: &Candidate, ms: u64) {
    let signs = Signs { retry_after_ms: Some(ms), ..Signs::default() };
    standings.ended(candidate.key, NAMED, answered(429), signs, NOW);
}
