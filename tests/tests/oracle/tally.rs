//! How often each kind of expectation was put to the test, so that a test that
//! excuses everything is seen.

use crate::expect::Strictness;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<Strictness, usize>);

impl Tally {
    pub(crate) fn count(&mut self, strictness: Strictness) {
        *self.0.entry(strictness).or_default() += 1;
    }

    pub(crate) fn of(&self, strictness: Strictness) -> usize {
        self.0.get(&strictness).copied().unwrap_or_default()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (strictness, count) in &other.0 {
            *self.0.entry(*strictness).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.total())?;
        self.0.iter().try_for_each(|(strictness, count)| write!(f, ", {count} {strictness:?}"))
    }
}
