//! The publisher against a real database and a KV that fails on demand: from
//! whatever state, it converges to what the database says.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../tests/src/kv.rs"]
#[expect(dead_code, unreachable_pub, reason = "made for the end-to-end tests, which use more of it")]
mod kv;
mod world;

mod announce;
mod compaction;
mod convergence;
