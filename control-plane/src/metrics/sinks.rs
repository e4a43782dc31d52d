//! Sinks, as the database knows them.

use crate::sinks::lag::Lag;
use crate::store::sinks::{self, SinkRow};
use crate::store::{self, Store, dead_letters};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use shared::id::UnixMs;
use std::sync::atomic::AtomicU64;

/// There are at most 32 of them: see `domain/sinks.rs`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabels {
    sink: String,
    result: &'static str,
}

#[derive(Clone, Debug)]
pub(super) struct Standing {
    row: SinkRow,
    lag: Lag,
    dead_letters: i64,
}

pub(super) async fn read(store: &Store) -> Result<Vec<Standing>, store::Error> {
    let mut tx = store.read().await?;
    let mut standings = Vec::new();
    for row in sinks::all(&mut tx).await? {
        let lag = Lag::at(&mut tx, row.position).await?;
        let dead_letters = dead_letters::count(&mut tx, row.id).await?;
        standings.push(Standing { row, lag, dead_letters });
    }
    Ok(standings)
}

pub(super) fn register(standings: &[Standing], at: UnixMs, registry: &mut Registry) {
    let active = Family::<SinkLabels, Gauge>::default();
    let failures = Family::<SinkLabels, Gauge>::default();
    let letters = Family::<SinkLabels, Gauge>::default();
    let behind = Family::<SinkLabels, Gauge>::default();
    let age = Family::<SinkLabels, Gauge<f64, AtomicU64>>::default();
    let events = Family::<FateLabels, Counter>::default();
    for Standing { row, lag, dead_letters } in standings {
        let labels = SinkLabels { sink: row.name.clone() };
        active.get_or_create(&labels).set(i64::from(row.is_active));
        failures.get_or_create(&labels).set(row.failures);
        letters.get_or_create(&labels).set(*dead_letters);
        behind.get_or_create(&labels).set(lag.events.cast_signed());
        let oldest = lag.oldest_ended_at.map_or(0, |ended| at.saturating_sub(ended));
        age.get_or_create(&labels).set(super::reading::seconds(oldest));
        for (result, count) in [("delivered", row.delivered), ("skipped", row.skipped)] {
            let labels = FateLabels { sink: row.name.clone(), result };
            events.get_or_create(&labels).inc_by(count.unsigned_abs());
        }
    }
    registry.register("sink_active", "Whether events are delivered to the sink", active);
    registry.register("sink_failures", "Deliveries that failed since the last that did not", failures);
    registry.register("dead_letters", "Events that a sink refused", letters);
    registry.register("sink_lag_events", "Events that a sink was not given yet", behind);
    let help = "How long ago the request ended of which a sink was not given the event";
    registry.register_with_unit("sink_lag", help, Unit::Seconds, age);
    registry.register("sink_events", "Events that a sink was given, or that were removed before", events);
}
