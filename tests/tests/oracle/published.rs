//! What KV was told, and when: the other half of the staleness bound.

use crate::clock::Time;

/// From a time on, KV has a manifest that says everything up to another.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// None where it has no manifest.
    told: Vec<(Time, Option<Time>)>,
    /// When a manifest was last written, or may have been.
    pub(crate) tried_at: Option<Time>,
}

impl Published {
    pub(crate) fn told(&mut self, now: Time, through: Option<Time>) {
        self.told.push((now, through));
    }

    /// What every manifest says at least that KV had at some moment from `from`
    /// to `to`; None if there was a moment when it had none.
    pub(crate) fn floor(&self, from: Time, to: Time) -> Option<Time> {
        let first = self.told.partition_point(|(at, _)| *at <= from).checked_sub(1)?;
        let within = self.told[first..].iter().take_while(|(at, _)| *at <= to);
        within.map(|(_, through)| *through).min().flatten()
    }
}
