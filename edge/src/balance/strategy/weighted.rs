//! In proportion to weights, whatever the priority.

use super::{Candidate, Place, draw};

pub(super) fn place(candidate: &Candidate, chance: u64) -> Place {
    Place { tier: 0, draw: draw(candidate, chance) }
}
