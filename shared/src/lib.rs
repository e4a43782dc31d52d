//! What the edge worker and the control plane agree on.
//!
//! Everything here is a function of its arguments: no I/O, no clock, no
//! randomness, no async. The same code runs natively and in Wasm.

pub mod asked;
pub mod event;
#[cfg(test)]
mod golden;
pub mod header;
pub mod id;
pub mod json;
pub mod key;
pub mod path;
pub mod policy;
pub mod provider;
pub mod redaction;
pub mod route;
pub mod sealed;
pub mod signed_call;
pub mod snapshot;
pub mod token;
