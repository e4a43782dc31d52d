//! Events: taken in from the edge, kept in a durable log, and counted.
//!
//! [`Ingest`] answers the edge once the log has a batch. The consumer reads the
//! log and counts: each event once, however often it comes.

pub mod batch;
mod complaint;
pub mod consume;
pub mod cost;
mod count;
mod estimate;
pub mod form;
pub mod ingest;
pub mod log;
mod nonces;
mod pass;
pub mod retain;
mod tally;

use crate::domain::events::Listed;

pub use consume::{Consumer, ConsumerSettings, Duty};
pub use ingest::Ingest;
pub use log::EventLog;
pub use log::durability::Durability;
pub use log::redis::RedisLog;
pub use pass::Counted;

/// Who reads the log, by name.
pub const CONSUMERS: [&str; 1] = [consume::CONSUMER];

/// An event as it will be listed, by prices.
pub fn listed(event: shared::event::Event, prices: &cost::Prices) -> serde_json::Result<Listed> {
    tally::listed(event, prices)
}
