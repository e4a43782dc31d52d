//! How often each client has met a fault, for faults that play a few times or for a while.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// More than any test needs. Who comes after takes the place of who was seen least recently.
const KEPT: NonZeroUsize = NonZeroUsize::new(4_096).unwrap();

/// A digest: names and credentials may be long.
type Key = [u8; 32];

#[derive(Clone)]
pub(crate) struct Tallies(Arc<Mutex<LruCache<Key, Tally, std::hash::RandomState>>>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) first: Instant,
}

impl Default for Tallies {
    fn default() -> Self {
        let cache = LruCache::with_hasher(KEPT, std::hash::RandomState::new());
        Self(Arc::new(Mutex::new(cache)))
    }
}

impl Tallies {
    /// Counts a request, this one included. `model` is the name with its options.
    pub(crate) fn count(&self, model: &str, credential: &str, now: Instant) -> Tally {
        let mut tallies = self.lock();
        let tally = tallies.get_or_insert_mut(key(model, credential), || Tally { count: 0, first: now });
        tally.count += 1;
        *tally
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Key, Tally, std::hash::RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(model: &str, credential: &str) -> Key {
    let mut hash = Sha256::new();
    hash.update(model);
    hash.update([0]);
    hash.update(credential);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_seen_least_recently_is_forgotten() {
        let tallies = Tallies::default();
        let now = Instant::now();
        let count = |model: &str| tallies.count(model, "k", now).count;
        assert_eq!((count("a"), count("b"), count("a")), (1, 1, 2));
        for index in 1..KEPT.get() {
            count(&format!("m{index}"));
        }
        assert_eq!((count("a"), count("b")), (3, 1));
        assert_eq!(tallies.count("a", "other", now).count, 1);
        assert_eq!(tallies.lock().len(), KEPT.get());
    }
}
