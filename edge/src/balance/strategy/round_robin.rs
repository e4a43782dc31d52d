//! One after another, each from the next on.

use super::{Candidate, Place};

pub(super) fn place(candidate: &Candidate, turn: u64, targets: usize) -> Place {
    let targets = targets.max(1) as u64;
    let behind = targets - turn % targets;
    Place { tier: (candidate.target as u64 + behind) % targets, draw: 0 }
}
