//! Publications of the snapshot.

use super::counters;
use super::label::values;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

values! {
    Publication, PublicationLabels { outcome } = {
        Published: "published",
        /// It is tried again.
        Failed: "failed",
    }
}

#[derive(Clone, Debug)]
pub struct PublisherMetrics {
    publications: Family<PublicationLabels, Counter>,
}

impl PublisherMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Attempts of this process to write the manifest to KV";
        registry.register("publisher_publications", help, self.publications.clone());
    }

    pub fn published(&self) {
        self.publications.get_or_create(&Publication::Published.into()).inc();
    }

    pub fn failed(&self) {
        self.publications.get_or_create(&Publication::Failed.into()).inc();
    }
}

impl Default for PublisherMetrics {
    fn default() -> Self {
        Self { publications: counters::<Publication>() }
    }
}
