//! Events: taken in, and counted.

use super::label::values;
use super::{Histograms, counters};
use crate::events::Counted;
use crate::events::ingest::Taken;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Seconds. A pass may count tokens for 5 seconds besides.
const PASS_BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

values! {
    /// How a call of the edge ended.
    Outcome, OutcomeLabels { outcome } = {
        Accepted: "accepted",
        /// Not the edge's, of another time, or made before.
        Refused: "refused",
        /// It was not kept; the edge sends it again.
        Failed: "failed",
    }
}

values! {
    Line, LineLabels { result } = { Accepted: "accepted", SetAside: "set_aside" }
}

/// What the edge sends.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    batches: Family<OutcomeLabels, Counter>,
    lines: Family<LineLabels, Counter>,
    bytes: Counter,
}

impl IngestMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("ingest_batches", "Signed calls of the edge", self.batches.clone());
        let help = "Lines of accepted batches: events, and what is set aside as none";
        registry.register("ingest_lines", help, self.lines.clone());
        let help = "Size of accepted batches";
        registry.register_with_unit("ingest_received", help, Unit::Bytes, self.bytes.clone());
    }

    pub fn accepted(&self, taken: &Taken, bytes: usize) {
        self.batches.get_or_create(&Outcome::Accepted.into()).inc();
        self.lines.get_or_create(&Line::Accepted.into()).inc_by(taken.accepted);
        self.lines.get_or_create(&Line::SetAside.into()).inc_by(taken.set_aside);
        self.bytes.inc_by(bytes as u64);
    }

    pub fn refused(&self) {
        self.batches.get_or_create(&Outcome::Refused.into()).inc();
    }

    pub fn failed(&self) {
        self.batches.get_or_create(&Outcome::Failed.into()).inc();
    }
}

impl Default for IngestMetrics {
    fn default() -> Self {
        Self { batches: counters::<Outcome>(), lines: counters::<Line>(), bytes: Counter::default() }
    }
}

values! {
    /// What became of an event that a consumer was given.
    Fate, FateLabels { result } = {
        Counted: "counted",
        /// It was counted before.
        Duplicate: "duplicate",
        /// It was no event.
        SetAside: "set_aside",
    }
}

/// What every consumer does.
#[derive(Debug)]
pub(super) struct ConsumerFamilies {
    events: Family<(ConsumerLabels, FateLabels), Counter>,
    redeliveries: Family<ConsumerLabels, Counter>,
    failures: Family<ConsumerLabels, Counter>,
    passes: Histograms<ConsumerLabels>,
}

/// One of the consumers that the program has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ConsumerLabels {
    pub consumer: &'static str,
}

/// What one consumer does.
#[derive(Clone, Debug)]
pub struct ConsumerMetrics {
    counted: Counter,
    duplicates: Counter,
    set_aside: Counter,
    redeliveries: Counter,
    failures: Counter,
    passes: Histogram,
}

impl ConsumerFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { events, redeliveries, failures, passes } = self;
        registry.register("consumer_events", "Events that a consumer was given", events.clone());
        let help = "Batches that a consumer was given before and was not done with";
        registry.register("consumer_redeliveries", help, redeliveries.clone());
        registry.register("consumer_failures", "Passes that failed and are tried again", failures.clone());
        let help = "Passes of a consumer that found something, and how long they took";
        registry.register_with_unit("consumer_pass_duration", help, Unit::Seconds, passes.clone());
    }

    pub(super) fn of(&self, name: &'static str) -> ConsumerMetrics {
        let consumer = ConsumerLabels { consumer: name };
        let events = |fate: Fate| self.events.get_or_create_owned(&(consumer.clone(), fate.into()));
        ConsumerMetrics {
            counted: events(Fate::Counted),
            duplicates: events(Fate::Duplicate),
            set_aside: events(Fate::SetAside),
            redeliveries: self.redeliveries.get_or_create_owned(&consumer),
            failures: self.failures.get_or_create_owned(&consumer),
            passes: self.passes.get_or_create_owned(&consumer),
        }
    }
}

impl Default for ConsumerFamilies {
    fn default() -> Self {
        Self {
            events: Family::default(),
            redeliveries: Family::default(),
            failures: Family::default(),
            passes: Histograms::new_with_constructor(|| Histogram::new(PASS_BUCKETS)),
        }
    }
}

impl ConsumerMetrics {
    /// Batches came that had been given out before.
    pub fn redelivered(&self, batches: u64) {
        self.redeliveries.inc_by(batches);
    }

    pub fn passed(&self, counted: &Counted, took: Duration) {
        self.counted.inc_by(counted.events);
        self.duplicates.inc_by(counted.duplicates);
        self.set_aside.inc_by(counted.set_aside);
        self.passes.observe(took.as_secs_f64());
    }

    pub fn failed(&self) {
        self.failures.inc();
    }
}
