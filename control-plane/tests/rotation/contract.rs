//! What holds on either database. Loaded once for each, by `sqlite.rs` and `postgres.rs`.

use super::Database;

type World = crate::world::World<Database>;

mod command;
mod pace;
mod reseal;
mod sinks;
