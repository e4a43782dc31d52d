//! The one whose last failure is longest ago; among those that never failed, in
//! proportion to weights.

use super::{Candidate, Place, draw};
use shared::id::UnixMs;

pub(super) fn place(candidate: &Candidate, failed_at: UnixMs, chance: u64) -> Place {
    Place { tier: failed_at, draw: draw(candidate, chance) }
}
