//! What holds on either database. Loaded once for each, by `sqlite.rs` and `postgres.rs`.

use super::Database;

type World = crate::world::World<Database>;
type Log = crate::logs::Table<Database>;

mod audit;
mod clocks;
mod concurrency;
mod credentials;
mod dead_letters;
mod delivery;
mod events;
mod ingest;
mod log;
mod metrics;
mod migrate;
mod policies;
mod policy_check;
mod prices;
mod process;
mod projects;
mod protocol;
mod providers;
mod reports;
mod route_commands;
mod routes;
mod served;
mod service;
mod sink_commands;
mod sinks;
mod supervisor;
mod tokens;
mod usage;
