//! The publisher against real databases and a KV that fails on demand: from
//! whatever state, it converges to what the database says. `contract` runs on
//! each database: its tests are `sqlite::contract::...` and `postgres::contract::...`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
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

mod postgres;
mod sqlite;
