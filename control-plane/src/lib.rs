//! Latchkey's control plane: owns the database, answers the management API,
//! publishes snapshots to the edge.

pub mod api;
pub mod app;
pub mod back_off;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod events;
pub mod metrics;
pub mod money;
pub mod secret;
pub mod sinks;
pub mod snapshot;
pub mod store;
pub mod telemetry;
pub mod timestamp;
pub mod vault;
