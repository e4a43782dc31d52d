//! The nonces of signed calls, remembered for longer than a call is good.

use shared::signed_call::WINDOW_SECS;
use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, PoisonError};

/// Of one generation. Beyond it the oldest are forgotten early, which lets a
/// call be replayed within its window: its events count once all the same.
const MAX_NONCES: usize = 100_000;

/// A call may be sent up to one window before its time and after it.
const GENERATION_SECS: u64 = 2 * WINDOW_SECS;

/// Two generations: a nonce is kept for one at least, and for two at most.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    since: u64,
    present: HashSet<String>,
    past: HashSet<String>,
}

impl Nonces {
    /// Whether it is new; `now` in seconds.
    pub(super) fn insert(&self, nonce: &str, now: u64) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(kept.since) >= GENERATION_SECS || kept.present.len() >= MAX_NONCES {
            kept.past = mem::take(&mut kept.present);
            kept.since = now;
        }
        !kept.past.contains(nonce) && kept.present.insert(nonce.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_remembered_for_the_whole_time_that_its_call_is_good() {
        let nonces = Nonces::default();
        assert!(nonces.insert("a", 10_000));
        for later in [0, 1, GENERATION_SECS - 1, GENERATION_SECS] {
            assert!(!nonces.insert("a", 10_000 + later), "{later}");
        }
        assert!(nonces.insert("b", 10_000 + GENERATION_SECS));
        assert!(nonces.insert("a", 10_000 + 2 * GENERATION_SECS));
    }

    #[test]
    fn they_are_bounded() {
        let nonces = Nonces::default();
        for number in 0..3 * MAX_NONCES {
            assert!(nonces.insert(&number.to_string(), 1));
        }
        let kept = nonces.0.lock().unwrap();
        assert!(kept.present.len() + kept.past.len() <= 2 * MAX_NONCES);
    }
}
