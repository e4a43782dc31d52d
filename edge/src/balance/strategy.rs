//! In which order a route's targets come, were all of them well. A file for each way.

mod least_recently_failing;
mod priority;
mod round_robin;
mod weighted;

use super::{Candidate, chance};
use shared::id::UnixMs;
use shared::route::Strategy;

/// Where a target comes: the lowest first, and among equals the lower draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    tier: u64,
    draw: u64,
}

/// What one request was dealt.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deal {
    pub chance: u64,
    /// From [`super::turns::Turns`], where the strategy goes by it.
    pub turn: u64,
}

/// `targets` is how many there are; `failed_at`, when it last failed, 0 if never.
pub(super) fn place(
    strategy: Strategy,
    candidate: &Candidate,
    deal: Deal,
    targets: usize,
    failed_at: UnixMs,
) -> Place {
    match strategy {
        Strategy::Priority => priority::place(candidate, deal.chance),
        Strategy::Weighted => weighted::place(candidate, deal.chance),
        Strategy::RoundRobin => round_robin::place(candidate, deal.turn, targets),
        Strategy::LeastRecentlyFailing => least_recently_failing::place(candidate, failed_at, deal.chance),
    }
}

/// In proportion to weights; the same for all candidates of a target.
fn draw(candidate: &Candidate, chance: u64) -> u64 {
    chance::place(candidate.target_weight, chance::mixed(chance, 2 * candidate.target as u64))
}

/// The same among credentials, on its own: which target it was does not matter.
pub(super) fn credential_place(candidate: &Candidate, chance: u64) -> Place {
    let chance = chance::mixed(chance, 2 * candidate.credential as u64 + 1);
    Place {
        tier: candidate.credential_priority.into(),
        draw: chance::place(candidate.credential_weight, chance),
    }
}
