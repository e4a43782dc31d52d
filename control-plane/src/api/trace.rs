//! The span of a request, named as OpenTelemetry's conventions for HTTP servers say.

use crate::telemetry::span;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::Status;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

/// Asked every few seconds, by machines.
const UNTRACED: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// A part of the caller's trace, where it sent `traceparent`.
pub(super) fn begin(request: &Request, route: Option<&str>, path: &str, id: Uuid) -> Span {
    if route.is_some_and(|route| UNTRACED.contains(&route)) {
        return Span::none();
    }
    let method = known(request.method());
    let span = tracing::info_span!(
        target: span::TARGET,
        "request",
        otel.name = name(method, route),
        otel.kind = "server",
        http.request.method = method.unwrap_or("_OTHER"),
        http.route = route,
        url.scheme = "http",
        url.path = path,
        latchkey.request.id = %id,
        http.response.status_code = Empty,
        error.type = Empty,
    );
    if !span.is_disabled() {
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // Fails where no traces are exported.
        span.set_parent(caller).ok();
    }
    span
}

/// `code` is the error's, if it ended with one.
pub(super) fn end(span: &Span, status: StatusCode, code: Option<&str>) {
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.record("error.type", code.unwrap_or(status.as_str()));
        span.set_status(Status::error(""));
    }
}

fn name(method: Option<&str>, route: Option<&str>) -> String {
    let method = method.unwrap_or("HTTP");
    route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
}

/// A client may send any word.
fn known(method: &Method) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str())
}
