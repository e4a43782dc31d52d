//! How often each kind of step was done, each verdict was given, and each kind
//! of expectation was put to the test, so that a test that excuses everything,
//! or does nothing, is seen.

use crate::expect::Strictness;
use crate::model::Verdict;
use crate::step::Action;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    strictness: BTreeMap<Strictness, usize>,
    verdicts: BTreeMap<Verdict, usize>,
    steps: BTreeMap<String, usize>,
}

impl Tally {
    pub(crate) fn count(&mut self, strictness: Strictness, verdict: Verdict) {
        *self.strictness.entry(strictness).or_default() += 1;
        *self.verdicts.entry(verdict).or_default() += 1;
    }

    /// A step that had an effect.
    pub(crate) fn did(&mut self, action: Action) {
        *self.steps.entry(action.kind()).or_default() += 1;
    }

    pub(crate) fn of(&self, strictness: Strictness) -> usize {
        self.strictness.get(&strictness).copied().unwrap_or_default()
    }

    pub(crate) fn has_given(&self, verdict: Verdict) -> bool {
        self.verdicts.contains_key(&verdict)
    }

    pub(crate) fn has_done(&self, kind: &str) -> bool {
        self.steps.contains_key(kind)
    }

    pub(crate) fn add(&mut self, other: Self) {
        let Self { strictness, verdicts, steps } = other;
        add(&mut self.strictness, strictness);
        add(&mut self.verdicts, verdicts);
        add(&mut self.steps, steps);
    }

    pub(crate) fn total(&self) -> usize {
        self.strictness.values().sum()
    }
}

fn add<K: Ord>(to: &mut BTreeMap<K, usize>, counts: BTreeMap<K, usize>) {
    for (key, count) in counts {
        *to.entry(key).or_default() += count;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.total())?;
        self.strictness.iter().try_for_each(|(strictness, count)| write!(f, ", {count} {strictness:?}"))?;
        write!(f, "\n    verdicts: {:?}\n    steps: {:?}", self.verdicts, self.steps)
    }
}
