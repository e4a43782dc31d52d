//! How long transactions wait to begin.

use super::Histograms;
use super::label::{Label, values};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Seconds; a connection is waited for 5 of them.
const BUCKETS: [f64; 9] = [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

values! {
    /// What a transaction is for.
    pub Access, AccessLabels { access } = { Read: "read", Write: "write" }
}

#[derive(Clone, Debug)]
pub struct DatabaseMetrics {
    waits: Histograms<AccessLabels>,
}

impl DatabaseMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "How long transactions waited for a connection, and on SQLite for their turn to write";
        registry.register_with_unit("database_wait", help, Unit::Seconds, self.waits.clone());
    }

    pub fn waited(&self, access: Access, time: Duration) {
        self.waits.get_or_create(&access.into()).observe(time.as_secs_f64());
    }
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        let waits = Histograms::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        for &access in Access::ALL {
            drop(waits.get_or_create(&access.into()));
        }
        Self { waits }
    }
}
