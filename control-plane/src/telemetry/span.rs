//! Spans that traces are made of. They have a target of their own: the log does
//! not show them, and where no traces are exported they are disabled.

use opentelemetry::trace::Status;
use std::fmt::Display;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub const TARGET: &str = "latchkey::trace";

/// As spans have numbers: others would be texts.
pub fn number(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Marks what `span` stands for as failed, for a reason that the log may have too.
pub fn fail(span: &Span, error: &dyn Display) {
    span.set_status(Status::error(error.to_string()));
}

/// Whether what is under way belongs to a trace.
pub fn is_within() -> bool {
    Span::current().metadata().is_some_and(|metadata| metadata.target() == TARGET)
}
