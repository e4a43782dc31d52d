//! From the spans of `tracing` to OpenTelemetry's, and out.

use super::client::Client;
use super::exporter::Exporter;
use super::{StartError, span};
use crate::config::{Sampling, Traces};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use std::sync::Arc;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// Spans wait in a bounded queue and are sent in batches, by a thread of its own.
pub(super) fn provider(traces: Traces) -> Result<SdkTracerProvider, StartError> {
    let Traces { endpoint, headers, timeout, service_name, sampling } = traces;
    let client = Arc::new(Client::new(&endpoint, headers, timeout).map_err(StartError::Client)?);
    let otlp = SpanExporter::builder()
        .with_http()
        .with_shared_http_client(client.clone())
        .with_endpoint(endpoint.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(timeout)
        .build()?;
    Ok(SdkTracerProvider::builder()
        .with_resource(resource(service_name))
        .with_sampler(sampler(sampling))
        .with_batch_exporter(Exporter::new(otlp, client))
        .build())
}

pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(provider: &SdkTracerProvider) -> impl Layer<S> {
    OpenTelemetryLayer::new(provider.tracer("latchkey"))
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target(span::TARGET, LevelFilter::INFO))
}

/// Who the spans are of; `OTEL_RESOURCE_ATTRIBUTES` is heeded by the SDK.
fn resource(service_name: Option<String>) -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().with_attribute(version.clone()).build();
    let is_named = found
        .get(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with("unknown_service"));
    let name = service_name.or_else(|| (!is_named).then(|| "latchkey".to_owned()));
    match name {
        Some(name) => Resource::builder().with_attribute(version).with_service_name(name).build(),
        None => found,
    }
}

fn sampler(Sampling { share, is_parent_based }: Sampling) -> Sampler {
    let root = Sampler::TraceIdRatioBased(share);
    if is_parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
}
