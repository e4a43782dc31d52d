//! One answer of `/metrics`: what was counted, and what the database says now.

use super::Metrics;
use super::reading::Reading;
use crate::domain::Domain;
use crate::events::Ingest;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Of the text that [`Scraper::scrape`] makes.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The database is read at most this often, however many ask.
const FRESH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Scraper {
    metrics: Arc<Metrics>,
    domain: Domain,
    ingest: Arc<Ingest>,
    /// Held while it is read anew, so that those who ask meanwhile get the same.
    last: Mutex<Option<(Instant, Reading)>>,
}

impl Scraper {
    pub fn new(metrics: Arc<Metrics>, domain: Domain, ingest: Arc<Ingest>) -> Self {
        Self { metrics, domain, ingest, last: Mutex::default() }
    }

    /// All metrics, in Prometheus' text format. Those that cannot be read in
    /// time are not in it.
    pub async fn scrape(&self) -> Result<String, fmt::Error> {
        let mut now = Registry::with_prefix(super::PREFIX);
        self.reading().await.register(&mut now);
        self.domain.store.pool_status().register(&mut now);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.metrics.registry)?;
        prometheus_text::encode(&mut text, &now)?;
        Ok(text)
    }

    async fn reading(&self) -> Reading {
        let mut last = self.last.lock().await;
        if let Some((_, reading)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return reading.clone();
        }
        let reading = Reading::take(&self.domain, &self.ingest, &self.metrics.readings).await;
        *last = Some((Instant::now(), reading.clone()));
        reading
    }
}
