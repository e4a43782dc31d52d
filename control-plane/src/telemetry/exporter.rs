//! Hands batches of spans to the OTLP exporter, and tells the log once that it
//! fails, and once that this is over.

use super::client::Client;
use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Exporter {
    otlp: Otlp,
    client: Arc<Client>,
    is_failing: AtomicBool,
}

impl Exporter {
    pub(super) fn new(otlp: Otlp, client: Arc<Client>) -> Self {
        Self { otlp, client, is_failing: AtomicBool::new(false) }
    }

    fn tell(&self, outcome: &OTelSdkResult) {
        let was_failing = self.is_failing.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(()) if was_failing => tracing::info!("traces are exported again"),
            Err(error) if !was_failing => {
                let reason = self.client.failure().unwrap_or_else(|| error.to_string());
                tracing::warn!(reason, "traces cannot be exported; spans are dropped until they can");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let outcome = self.otlp.export(batch).await;
        self.tell(&outcome);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}
