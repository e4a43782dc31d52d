//! The whole system: control plane, KV, the built worker on workerd, upstream.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod capture;
mod changes;
mod disk;
mod events;
mod failover;
mod faults;
mod kill;
mod load;
mod policy_check;
mod restore;
mod rotation;
mod secrets;
mod several;
mod snapshot;
mod traffic;
