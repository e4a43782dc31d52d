//! One request's way from candidate to candidate, as long as nothing of an answer has
//! reached the client.

use super::happened::{Fault, Happened};
use super::key::Named;
use super::order::Order;
use super::signs::Signs;
use super::standings::Standings;
use super::strategy::Deal;
use super::{Candidate, chance};
use shared::id::UnixMs;
use shared::route::{Retry, Strategy};

const FIRST_BACK_OFF_MS: u32 = 250;
const LONGEST_BACK_OFF_MS: u32 = 8_000;
/// Apart from those of targets and credentials.
const JITTER_SALT: u64 = 1 << 32;

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub strategy: Strategy,
    pub retry: Retry,
    /// When the request came.
    pub started_at: UnixMs,
    /// When all of it must be over.
    pub deadline: UnixMs,
}

/// How the one that was asked last fared.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    pub named: Named<'a>,
    pub happened: Happened,
    pub signs: Signs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// This one of the candidates, after that time.
    Ask { candidate: usize, after_ms: u64 },
    /// What happened is what the client gets.
    PassOn,
}

/// By default nobody is asked.
#[derive(Debug, Default)]
pub struct Attempts {
    strategy: Strategy,
    deal: Deal,
    /// None is asked from then on.
    until: UnixMs,
    deadline: UnixMs,
    budget_ms: u32,
    after_reset: bool,
    left: u32,
    asked: usize,
    /// Those that failed. Allocates when one does.
    tried: Vec<Tried>,
    waits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Tried {
    at: usize,
    target: usize,
    credential: usize,
    fault: Fault,
}

impl Attempts {
    pub fn new(rules: &Rules, deal: Deal) -> Self {
        let Retry { attempts, budget_ms, after_reset } = rules.retry;
        Self {
            strategy: rules.strategy,
            deal,
            until: rules.deadline.min(rules.started_at + u64::from(budget_ms)),
            deadline: rules.deadline,
            budget_ms,
            after_reset,
            left: attempts,
            asked: 0,
            tried: Vec::new(),
            waits: 0,
        }
    }

    /// Who is asked first, at once. None where there is nobody at all.
    pub fn first(
        &mut self,
        candidates: &[Candidate],
        standings: &mut Standings,
        now: UnixMs,
    ) -> Option<usize> {
        let first = self.pick(candidates, standings, now, |_| true)?;
        self.ask(first, candidates, standings, now);
        Some(first)
    }

    /// Who is asked after the last one `ended`. `standings` learn of that, whatever
    /// follows. `candidates` are the same at each call.
    pub fn next(
        &mut self,
        candidates: &[Candidate],
        standings: &mut Standings,
        ended: &Ended<'_>,
        now: UnixMs,
    ) -> Next {
        let Some(candidate) = candidates.get(self.asked) else { return Next::PassOn };
        let Ended { named, happened, signs } = *ended;
        standings.ended(candidate.key, named, happened, signs, now);
        let Some(fault) = happened.fault() else { return Next::PassOn };
        if happened == Happened::Reset && !self.after_reset {
            return Next::PassOn;
        }
        if happened == Happened::Unusable {
            // Nobody was asked.
            self.left += 1;
        }
        let Candidate { target, credential, .. } = *candidate;
        self.tried.push(Tried { at: self.asked, target, credential, fault });
        let Some((candidate, after_ms)) = self.after_failure(candidates, standings, now) else {
            return Next::PassOn;
        };
        self.ask(candidate, candidates, standings, now + after_ms);
        Next::Ask { candidate, after_ms }
    }

    /// An answer that had begun broke off: the time to look for another begins again.
    pub fn begin_again(&mut self, now: UnixMs) {
        self.until = self.deadline.min(now + u64::from(self.budget_ms));
    }

    fn after_failure(
        &mut self,
        candidates: &[Candidate],
        standings: &Standings,
        now: UnixMs,
    ) -> Option<(usize, u64)> {
        if self.left == 0 || now >= self.until {
            return None;
        }
        let is_new = |at: usize| self.tried.iter().all(|tried| tried.at != at);
        if let Some(another) = self.pick(candidates, standings, now, is_new) {
            return Some((another, 0));
        }
        let again = self.pick(candidates, standings, now, |_| true)?;
        let cools_until = standings.look(candidates[again].key, now).cools_until;
        let after_ms = self.back_off_ms().max(cools_until.saturating_sub(now));
        self.waits += 1;
        (now + after_ms < self.until).then_some((again, after_ms))
    }

    fn pick(
        &self,
        candidates: &[Candidate],
        standings: &Standings,
        now: UnixMs,
        is_wanted: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let order = Order { candidates, standings, strategy: self.strategy, deal: self.deal, now };
        order.first(
            |at, candidate| is_wanted(at) && self.may_ask(candidate),
            |candidate| self.has_failed(candidate.target),
        )
    }

    /// Whether it could fare better than those before.
    fn may_ask(&self, candidate: &Candidate) -> bool {
        self.tried.iter().all(|tried| match tried.fault {
            Fault::Key => tried.credential != candidate.credential,
            Fault::Silence => tried.target != candidate.target,
            Fault::Length => candidate.larger_context && tried.target != candidate.target,
            Fault::Limit | Fault::Moment | Fault::Provider => true,
        })
    }

    /// With another key it would fail as well, more likely than another target.
    fn has_failed(&self, target: usize) -> bool {
        self.tried.iter().any(|tried| tried.fault == Fault::Provider && tried.target == target)
    }

    fn ask(&mut self, candidate: usize, candidates: &[Candidate], standings: &mut Standings, now: UnixMs) {
        self.asked = candidate;
        self.left = self.left.saturating_sub(1);
        standings.began(candidates[candidate].key, now);
    }

    /// With full jitter: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
    fn back_off_ms(&self) -> u64 {
        let most = FIRST_BACK_OFF_MS << self.waits.min(10);
        let chance = chance::mixed(self.deal.chance, JITTER_SALT + u64::from(self.waits));
        chance::up_to(most.min(LONGEST_BACK_OFF_MS), chance)
    }
}

#[cfg(test)]
mod tests;
