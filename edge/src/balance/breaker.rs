//! Keeps requests away from who fails time and again, and lets one at a time find
//! out whether that is over. It never refuses: it only says who comes later.

use serde::Serialize;
use shared::id::UnixMs;

pub const FAILURES_TO_OPEN: u32 = 5;
const FIRST_OPEN_MS: u64 = 5_000;
const LONGEST_OPEN_MS: u64 = 60_000;
/// A probe of which nothing was heard for so long is over.
const LONGEST_PROBE_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Breaker {
    /// After so many failures in a row.
    Closed { failures: u32 },
    /// For the `times`th time in a row. Once `until` is over, one may probe.
    Open { until: UnixMs, times: u32 },
    /// One has been asked.
    Probing { since: UnixMs, times: u32 },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// None where it is closed, or may be probed.
    pub fn unwell_until(self, now: UnixMs) -> Option<UnixMs> {
        match self {
            Self::Open { until, times: _ } => (until > now).then_some(until),
            // What the probe finds may be known any moment.
            Self::Probing { since, times: _ } => (!is_probe_lost(since, now)).then_some(now),
            Self::Closed { failures: _ } => None,
        }
    }

    /// A request goes there: it is the probe, if one is due.
    pub fn began(&mut self, now: UnixMs) {
        if let Self::Open { times, .. } | Self::Probing { times, .. } = *self
            && self.unwell_until(now).is_none()
        {
            *self = Self::Probing { since: now, times };
        }
    }

    pub fn failed(&mut self, now: UnixMs) {
        *self = match *self {
            Self::Closed { failures } if failures + 1 < FAILURES_TO_OPEN => {
                Self::Closed { failures: failures + 1 }
            }
            Self::Closed { failures: _ } => open(1, now),
            // It was asked before it opened, or for want of another.
            Self::Open { .. } => return,
            Self::Probing { since: _, times } => open(times.saturating_add(1), now),
        };
    }

    /// An answer that had begun broke off, as those before it.
    pub fn broke_off(&mut self, now: UnixMs) {
        *self = match *self {
            Self::Closed { failures: _ } => open(1, now),
            Self::Open { .. } => return,
            Self::Probing { since: _, times } => open(times.saturating_add(1), now),
        };
    }

    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    pub fn answered(&mut self) {
        *self = Self::default();
    }

    /// The request ended before it was known how.
    pub fn given_up(&mut self) {
        if let Self::Probing { since, times } = *self {
            *self = Self::Open { until: since, times };
        }
    }
}

fn open(times: u32, now: UnixMs) -> Breaker {
    let doubled = FIRST_OPEN_MS << (times - 1).min(10);
    Breaker::Open { until: now + doubled.min(LONGEST_OPEN_MS), times }
}

fn is_probe_lost(since: UnixMs, now: UnixMs) -> bool {
    now.saturating_sub(since) >= LONGEST_PROBE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_000_000;

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_TO_OPEN {
            breaker.failed(NOW);
        }
        breaker
    }

    #[test]
    fn opens_after_five_failures_in_a_row() {
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(NOW);
        }
        breaker.answered();
        for _ in 0..4 {
            breaker.failed(NOW);
        }
        assert_eq!(breaker.unwell_until(NOW), None);
        breaker.failed(NOW);
        assert_eq!(breaker.unwell_until(NOW), Some(NOW + 5_000));
        assert_eq!(breaker.unwell_until(NOW + 5_000), None);
    }

    #[test]
    fn failures_of_who_was_asked_before_do_not_prolong_it() {
        let mut breaker = opened();
        breaker.failed(NOW + 4_000);
        assert_eq!(breaker, opened());
    }

    #[test]
    fn one_probes_and_what_it_finds_counts() {
        let mut breaker = opened();
        breaker.began(NOW + 4_999);
        assert_eq!(breaker, opened());
        breaker.began(NOW + 5_000);
        assert_eq!(breaker.unwell_until(NOW + 5_001), Some(NOW + 5_001));
        breaker.began(NOW + 6_000);
        assert_eq!(breaker, Breaker::Probing { since: NOW + 5_000, times: 1 });
        breaker.failed(NOW + 6_000);
        assert_eq!(breaker, Breaker::Open { until: NOW + 16_000, times: 2 });
        breaker.began(NOW + 16_000);
        breaker.answered();
        assert_eq!(breaker, Breaker::default());
    }

    #[test]
    fn is_open_for_twice_as_long_each_time_up_to_a_minute() {
        let (mut breaker, mut now) = (opened(), NOW);
        for expected in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
            let until = breaker.unwell_until(now).unwrap();
            assert_eq!(until - now, expected);
            now = until;
            breaker.began(now);
            breaker.failed(now);
        }
        for _ in 0..100 {
            now += 60_000;
            breaker.began(now);
            breaker.failed(now);
        }
        assert_eq!(breaker.unwell_until(now), Some(now + 60_000));
    }

    #[test]
    fn a_probe_without_a_verdict_makes_room_for_another() {
        let mut breaker = opened();
        breaker.began(NOW + 5_000);
        breaker.given_up();
        assert_eq!(breaker.unwell_until(NOW + 5_000), None);
        breaker.began(NOW + 5_000);
        assert!(breaker.unwell_until(NOW + 64_999).is_some());
        assert_eq!(breaker.unwell_until(NOW + 65_000), None);
        breaker.began(NOW + 65_000);
        assert_eq!(breaker, Breaker::Probing { since: NOW + 65_000, times: 1 });
    }
}
