//! Requests, by what they asked for and how they ended.

use super::Histograms;
use crate::clock;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::time::Instant;

/// Seconds. A read takes a millisecond or two; 30 is a request's time limit.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// The route of a path that there is not: what was asked for may be anything.
const UNKNOWN: &str = "unknown";

#[derive(Clone, Debug)]
pub struct HttpMetrics {
    durations: Histograms<Labels>,
    in_flight: Gauge,
}

/// A request under way; it is counted when this is dropped.
#[derive(Debug)]
pub struct Timed {
    metrics: HttpMetrics,
    labels: Labels,
    started: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: Method,
    /// As the route table has it, `/manage/tokens/{id}`.
    route: String,
    status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Method(&'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Status(&'static str);

/// Of a request whose client left before its answer.
const ABORTED: Status = Status("aborted");

impl HttpMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Requests and how long they took, until the head of the answer";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.durations.clone());
        registry.register("http_requests_in_flight", "Requests under way", self.in_flight.clone());
    }

    /// `route` is the pattern that matched, if one did.
    pub fn begin(&self, method: &str, route: Option<&str>) -> Timed {
        self.in_flight.inc();
        let route = route.unwrap_or(UNKNOWN).to_owned();
        let labels = Labels { method: Method::of(method), route, status: ABORTED };
        Timed { metrics: self.clone(), labels, started: clock::start() }
    }
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            durations: Histograms::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        }
    }
}

impl Timed {
    pub fn end(mut self, status: u16) {
        self.labels.status = Status::of(status);
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let seconds = self.started.elapsed().as_secs_f64();
        self.metrics.durations.get_or_create(&self.labels).observe(seconds);
    }
}

impl Method {
    /// A client may send any word: those that no route has are one.
    fn of(method: &str) -> Self {
        const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        Self(KNOWN.into_iter().find(|known| *known == method).unwrap_or("other"))
    }
}

impl Status {
    fn of(status: u16) -> Self {
        Self(match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        })
    }
}

impl EncodeLabelValue for Method {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}
