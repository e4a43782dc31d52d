//! What the end-to-end tests and benchmarks start: real servers on free
//! loopback ports, in temporary folders, stopped when dropped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a harness for tests: a failure to start is a failed test, and it has to know the time"
)]

pub mod bench;
pub mod cache;
pub mod crowd;
pub mod edge;
pub mod events;
pub mod fixture;
pub mod keys;
pub mod kv;
pub mod local;
pub mod page;
pub mod postgres;
pub mod process;
pub mod queue;
pub mod redis;
pub mod soak;
pub mod stack;
pub mod synced;
pub mod workerd;
