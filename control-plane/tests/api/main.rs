//! The management API through its front door, on a real database in a file and
//! a real publisher; only KV is a stand-in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod credentials;
mod migrate;
mod process;
mod projects;
mod protocol;
mod providers;
mod service;
mod tokens;
mod world;
