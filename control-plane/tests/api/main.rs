//! The management API through its front door, on real databases and with a real
//! publisher; only KV is a stand-in. `contract` runs on each database: its tests
//! are `sqlite::contract::...` and `postgres::contract::...`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::duplicate_mod, reason = "one contract, two databases")]

#[path = "../../../tests/src/postgres.rs"]
#[expect(dead_code, unreachable_pub, reason = "made for the end-to-end tests, which use more of it")]
mod postgres_server;

#[path = "../../../tests/src/redis.rs"]
#[expect(dead_code, unreachable_pub, reason = "as above")]
mod redis_server;

mod binary;
mod collector;
mod database;
mod edge;
mod logs;
mod receiver;
mod recorder;
mod scrape;
mod world;

mod deploy;
mod full;
mod outage;
mod postgres;
mod redis;
mod sqlite;
mod tls;
mod traces;
