//! How many requests have begun and not ended.

use shared::event::MAX_IN_FLIGHT;
use std::cell::Cell;
use std::rc::Rc;

#[derive(Clone, Debug, Default)]
pub struct InFlight(Rc<Cell<u32>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Begun(InFlight);

impl InFlight {
    pub fn begin(&self) -> Begun {
        self.0.set(self.0.get().saturating_add(1));
        Begun(self.clone())
    }

    /// As many as an event may tell.
    pub fn count(&self) -> u32 {
        self.0.get().min(MAX_IN_FLIGHT)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Self(InFlight(count)) = self;
        count.set(count.get().saturating_sub(1));
    }
}
