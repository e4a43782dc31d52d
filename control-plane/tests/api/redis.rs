//! The event log in Redis, on real servers.

pub(crate) type Log = crate::logs::Redis;

#[path = "log.rs"]
mod log;

mod faults;
mod process;
mod setups;
