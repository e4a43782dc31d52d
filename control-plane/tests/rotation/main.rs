//! Rotation of keys: what needs which, and credentials sealed anew, on real
//! databases. `contract` runs on each.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::duplicate_mod, reason = "one contract, two databases")]

#[path = "../api/database.rs"]
mod database;
#[path = "../../../tests/src/kv.rs"]
#[expect(dead_code, unreachable_pub, reason = "made for the end-to-end tests, which use more of it")]
mod kv;
#[path = "../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "made for the end-to-end tests, which use more of it")]
mod postgres_server;
mod world;

mod keygen;
mod postgres;
mod sqlite;
