//! Of several candidates, the next: the well before the unwell, then as the route's
//! strategy says, then by the credentials' priority and weight.

use super::Candidate;
use super::standings::{Health, Standings};
use super::strategy::{self, Deal, Place};
use shared::id::UnixMs;
use shared::route::Strategy;

#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub candidates: &'a [Candidate],
    pub standings: &'a Standings,
    pub strategy: Strategy,
    pub deal: Deal,
    pub now: UnixMs,
}

/// Compared field by field.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    health: Health,
    is_shunned: bool,
    target: Place,
    credential: Place,
}

impl Order<'_> {
    /// The first of those that may be asked; of equally well ones, none that is shunned
    /// before one that is not. Who is alone costs nothing.
    pub fn first(
        &self,
        may_ask: impl Fn(usize, &Candidate) -> bool,
        is_shunned: impl Fn(&Candidate) -> bool,
    ) -> Option<usize> {
        let mut left = self.candidates.iter().enumerate().filter(|(at, candidate)| may_ask(*at, candidate));
        let first = left.next()?;
        let Some(second) = left.next() else { return Some(first.0) };
        let targets = self.candidates.iter().map(|candidate| candidate.target + 1).max().unwrap_or(0);
        [first, second]
            .into_iter()
            .chain(left)
            .min_by_key(|(_, candidate)| self.rank(candidate, targets, is_shunned(candidate)))
            .map(|(at, _)| at)
    }

    fn rank(&self, candidate: &Candidate, targets: usize, is_shunned: bool) -> Rank {
        let look = self.standings.look(candidate.key, self.now);
        Rank {
            health: look.health,
            is_shunned,
            target: strategy::place(self.strategy, candidate, self.deal, targets, look.failed_at),
            credential: strategy::credential_place(candidate, self.deal.chance),
        }
    }
}

#[cfg(test)]
mod tests;
