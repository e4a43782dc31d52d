//! What is read from the database when it is asked for. These numbers are the
//! deployment's: every control plane tells the same.

use super::counters;
use super::events::ConsumerLabels;
use super::label::values;
use super::sinks;
use crate::clock;
use crate::domain::Domain;
use crate::domain::events::Lost;
use crate::events::CONSUMERS;
use crate::events::log::{Backlog, LogError};
use crate::events::{Durability, Ingest};
use crate::snapshot::{Status, WhoPublishes};
use crate::store::PoolStatus;
use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};
use shared::id::UnixMs;
use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::time::timeout;

/// Of each part. Less than Prometheus waits for the whole, so that a database
/// that hangs costs a scrape these numbers and no others.
const PATIENCE: Duration = Duration::from_secs(2);

values! {
    /// What is read together, and fails together.
    Part, PartLabels { part } = { Log: "log", Gaps: "gaps", Publisher: "publisher", Sinks: "sinks" }
}

values! {
    Gap, GapLabels { kind } = {
        /// Events that an isolate numbered, and that did not come.
        Missing: "missing",
        /// Requests that were under way at isolates that are silent.
        LostInFlight: "lost_in_flight",
    }
}

values! {
    Connections, ConnectionLabels { state } = { InUse: "in_use", Idle: "idle" }
}

/// A part that could not be read is none.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    log: Option<Log>,
    gaps: Option<Lost>,
    publisher: Option<Status>,
    sinks: Option<Vec<sinks::Standing>>,
    at: UnixMs,
}

#[derive(Clone, Debug)]
struct Log {
    /// Of each consumer.
    backlogs: Vec<(&'static str, Backlog)>,
    /// None where it takes nothing in, which `/readyz` and failed batches tell.
    durability: Option<Durability>,
}

#[derive(Debug)]
pub(super) struct ReadingMetrics {
    errors: Family<PartLabels, Counter>,
}

impl ReadingMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Parts of this page that could not be read in time, and were left out";
        registry.register("scrape_errors", help, self.errors.clone());
    }

    /// What was read; none, and counted, where it failed or took too long.
    async fn bounded<T, E: Debug>(&self, part: Part, read: impl Future<Output = Result<T, E>>) -> Option<T> {
        let reason = match timeout(PATIENCE, read).await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => format!("{error:?}"),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(?part, reason, "metrics are left out");
        self.errors.get_or_create(&part.into()).inc();
        None
    }
}

impl Default for ReadingMetrics {
    fn default() -> Self {
        Self { errors: counters::<Part>() }
    }
}

impl Reading {
    pub(super) async fn take(domain: &Domain, ingest: &Ingest, metrics: &ReadingMetrics) -> Self {
        let at = clock::now();
        let (log, gaps, publisher, sinks) = tokio::join!(
            metrics.bounded(Part::Log, Log::read(ingest)),
            metrics.bounded(Part::Gaps, domain.lost_events(at)),
            metrics.bounded(Part::Publisher, domain.snapshot.status()),
            metrics.bounded(Part::Sinks, sinks::read(&domain.store)),
        );
        Self { log, gaps, publisher, sinks, at }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { log, gaps, publisher, sinks, at } = self;
        if let Some(log) = log {
            register_log(log, *at, registry);
        }
        if let Some(gaps) = gaps {
            register_gaps(*gaps, registry);
        }
        if let Some(publisher) = publisher {
            register_publisher(publisher, registry);
        }
        if let Some(sinks) = sinks {
            sinks::register(sinks, *at, registry);
        }
    }
}

impl Log {
    async fn read(ingest: &Ingest) -> Result<Self, LogError> {
        let mut backlogs = Vec::new();
        for consumer in CONSUMERS {
            backlogs.push((consumer, ingest.backlog(consumer).await?));
        }
        let durability = match ingest.log().check().await {
            Ok(durability) | Err(LogError::Lossy(durability)) => Some(durability),
            Err(_) => None,
        };
        Ok(Self { backlogs, durability })
    }
}

fn register_log(log: &Log, at: UnixMs, registry: &mut Registry) {
    if let Some(durability) = &log.durability {
        let help = "Ways in which the log, as it is set up, may lose what it acknowledged";
        constant(registry, "event_log_risks", help, durability.risks.len() as u64);
    }
    let batches = Family::<ConsumerLabels, Gauge>::default();
    let age = Family::<ConsumerLabels, Gauge<f64, AtomicU64>>::default();
    for (consumer, backlog) in &log.backlogs {
        let labels = ConsumerLabels { consumer };
        batches.get_or_create(&labels).set(backlog.batches.cast_signed());
        let oldest = backlog.oldest.map_or(0, |oldest| at.saturating_sub(oldest));
        age.get_or_create(&labels).set(seconds(oldest));
    }
    registry.register("consumer_lag_batches", "Batches in the log that a consumer is not done with", batches);
    let help = "Age of the oldest batch that a consumer is not done with";
    registry.register_with_unit("consumer_lag", help, Unit::Seconds, age);
}

fn register_gaps(lost: Lost, registry: &mut Registry) {
    let gaps = Family::<GapLabels, Gauge>::default();
    let set = |gap: Gap, count: u64| gaps.get_or_create(&gap.into()).set(count.cast_signed());
    set(Gap::Missing, lost.missing);
    set(Gap::LostInFlight, lost.in_flight);
    registry.register("event_gaps", "Events that isolates made and that did not come", gaps);
}

fn register_publisher(status: &Status, registry: &mut Registry) {
    let Status {
        version: _,
        published_version,
        published_at,
        pending,
        lag_ms,
        size_bytes,
        tokens,
        publisher,
    } = *status;
    let mut gauge = |name: &str, help: &str, value: u64| constant(registry, name, help, value);
    gauge("publisher_pending_changes", "Changes that are not published", pending);
    let is_this = u64::from(publisher == WhoPublishes::This);
    gauge("publisher_leader", "Whether this control plane publishes", is_this);
    gauge("snapshot_version", "The newest version that KV acknowledged", published_version);
    gauge("snapshot_tokens", "Tokens in the snapshot", tokens);
    let help = "Size of the manifest and all objects that it names";
    registry.register_with_unit("snapshot_size", help, Unit::Bytes, ConstGauge::new(size_bytes));
    let help = "Age of the oldest change that is not published";
    registry.register_with_unit("publisher_lag", help, Unit::Seconds, ConstGauge::new(seconds(lag_ms)));
    if let Some(at) = published_at {
        let help = "When KV last acknowledged a manifest, since 1970";
        registry.register_with_unit("snapshot_published", help, Unit::Seconds, ConstGauge::new(seconds(at)));
    }
}

impl PoolStatus {
    pub(super) fn register(self, registry: &mut Registry) {
        let Self { max, open, idle } = self;
        let connections = Family::<ConnectionLabels, Gauge>::default();
        let set = |state: Connections, count: u32| connections.get_or_create(&state.into()).set(count.into());
        set(Connections::InUse, open.saturating_sub(idle));
        set(Connections::Idle, idle);
        registry.register("database_connections", "Open connections to the database", connections);
        constant(registry, "database_connections_max", "How many may be open", max);
    }
}

fn constant<N>(registry: &mut Registry, name: &str, help: &str, value: N)
where
    N: EncodeGaugeValue + Debug + Send + Sync + 'static,
{
    registry.register(name, help, ConstGauge::new(value));
}

pub(super) fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}
