//! Logs, to standard error, and traces, to an OpenTelemetry collector.

mod client;
mod exporter;
pub mod span;
mod traces;

use crate::config::{Log, LogFormat, Traces};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::time::Duration;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// What the last spans may take when the process is about to end.
const LAST_EXPORT: Duration = Duration::from_secs(3);

/// What runs to take spans out.
#[derive(Debug)]
#[must_use = "the last spans are sent by `end`"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("traces cannot be exported: {0}; check the variables that begin with OTEL_EXPORTER_OTLP")]
    Exporter(#[from] ExporterBuildError),
    #[error("traces cannot be exported: {0}")]
    Client(#[source] reqwest::Error),
}

/// Within a runtime, on which spans are sent. A second call has no effect.
pub fn start(log: &Log, traces: Option<Traces>) -> Result<Telemetry, StartError> {
    let provider = traces.map(traces::provider).transpose()?;
    // The configuration was read only because this parses.
    let filter = log.level.parse::<Targets>().unwrap_or_default();
    let filter = filter.with_target(span::TARGET, LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let spans = provider.as_ref().map(traces::layer);
    let result = tracing_subscriber::registry().with(lines).with(spans).try_init();
    drop(result);
    Ok(Telemetry { traces: provider })
}

impl Telemetry {
    /// Sends the last spans, for a few seconds at most.
    pub async fn end(self) {
        let Some(provider) = self.traces else { return };
        let end = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST_EXPORT));
        if !matches!(end.await, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be exported");
        }
    }
}
