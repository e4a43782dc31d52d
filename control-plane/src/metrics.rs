//! What `/metrics` tells, in Prometheus' terms.
//!
//! Each part of the program is handed the struct of what it counts, and counts
//! where it happens. What the database knows is read when it is asked for
//! ([`Scraper`]). Nothing is global: an app has its own numbers.

mod database;
mod events;
mod http;
mod label;
mod publisher;
mod reading;
mod scrape;
mod sinks;

pub use database::{Access, DatabaseMetrics};
pub use events::{ConsumerMetrics, IngestMetrics};
pub use http::{HttpMetrics, Timed};
pub use publisher::PublisherMetrics;
pub use scrape::{CONTENT_TYPE, Scraper};

use events::ConsumerFamilies;
use label::Label;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use reading::ReadingMetrics;
use shared::id::UnixMs;

/// What every name begins with.
const PREFIX: &str = "latchkey";

/// A histogram for every set of labels.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All that is counted, by who counts it.
#[derive(Debug)]
pub struct Metrics {
    pub http: HttpMetrics,
    pub ingest: IngestMetrics,
    pub publisher: PublisherMetrics,
    pub database: DatabaseMetrics,
    consumers: ConsumerFamilies,
    readings: ReadingMetrics,
    registry: Registry,
}

impl Metrics {
    /// `started_at` is when the process began.
    pub fn new(started_at: UnixMs) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What runs", version);
        let started_at = ConstGauge::new(started_at / 1000);
        registry.register_with_unit(
            "process_start_time",
            "When the process began, since 1970",
            Unit::Seconds,
            started_at,
        );
        let metrics = Self {
            http: HttpMetrics::default(),
            ingest: IngestMetrics::default(),
            publisher: PublisherMetrics::default(),
            database: DatabaseMetrics::default(),
            consumers: ConsumerFamilies::default(),
            readings: ReadingMetrics::default(),
            registry: Registry::default(),
        };
        metrics.http.register(&mut registry);
        metrics.ingest.register(&mut registry);
        metrics.consumers.register(&mut registry);
        metrics.publisher.register(&mut registry);
        metrics.database.register(&mut registry);
        metrics.readings.register(&mut registry);
        Self { registry, ..metrics }
    }

    /// For the consumer of this name.
    pub fn consumer(&self, name: &'static str) -> ConsumerMetrics {
        self.consumers.of(name)
    }
}

/// Counters by one label. Each value is there from the start, at zero, so that
/// a first failure is seen as an increase.
fn counters<L: Label>() -> Family<L::Set, Counter> {
    let family = Family::default();
    for &label in L::ALL {
        drop(family.get_or_create(&label.into()));
    }
    family
}
