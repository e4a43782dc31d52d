//! What some request is loading at the moment. Another that needs the same
//! looks again and again, by its own timer, whether it is in memory by now,
//! instead of reading it too: many requests that start together on a cold
//! isolate would fill its memory with copies of one object. It never waits for
//! that request itself, and not for long: that one may have been cancelled.

use super::Source;
use shared::id::UnixMs;
use shared::snapshot::Hash;
use std::cell::RefCell;
use std::collections::HashMap;

/// Milliseconds from one look to the next, and for how long.
pub(super) const STEP: u64 = 5;
const PATIENCE: u64 = 250;

/// When each load began.
#[derive(Debug, Default)]
pub struct UnderWay(RefCell<HashMap<Hash, UnixMs>>);

/// A load of this request's; over when dropped.
#[derive(Debug)]
pub(super) struct Load<'a>(&'a UnderWay, Hash);

impl UnderWay {
    /// Waits while another request loads the object and `is_there` does not
    /// say so. Whether it is there or not, this one goes on with its own.
    pub(super) async fn begin<S: Source>(
        &self,
        hash: Hash,
        source: &S,
        is_there: impl Fn() -> bool,
    ) -> Load<'_> {
        let last = source.now() + PATIENCE;
        while self.is_loading(hash, source.now()) && !is_there() && source.now() < last {
            source.sleep(STEP).await;
        }
        self.0.borrow_mut().insert(hash, source.now());
        Load(self, hash)
    }

    fn is_loading(&self, hash: Hash, now: UnixMs) -> bool {
        self.0.borrow().get(&hash).is_some_and(|began| now.saturating_sub(*began) < PATIENCE)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.0.borrow_mut().remove(&self.1);
    }
}
