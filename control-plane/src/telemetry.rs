//! Logs.

use crate::config::{Log, LogFormat};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Sends logs to standard error. A second call has no effect.
pub fn start(log: &Log) {
    // The configuration was read only because this parses.
    let filter: Targets = log.level.parse().unwrap_or_default();
    let registry = tracing_subscriber::registry();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let result = match log.format {
        LogFormat::Text => registry.with(lines.with_ansi(false).with_filter(filter)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    drop(result);
}
