//! The lowest priority number first; among equals, in proportion to weights.

use super::{Candidate, Place, draw};

pub(super) fn place(candidate: &Candidate, chance: u64) -> Place {
    Place { tier: candidate.target_priority.into(), draw: draw(candidate, chance) }
}
