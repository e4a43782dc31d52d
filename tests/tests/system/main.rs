//! The whole system: control plane, KV, the built worker on workerd, upstream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod changes;
mod faults;
mod secrets;
mod snapshot;
