//! What holds on either database. Loaded once for each, by `sqlite.rs` and `postgres.rs`.

use super::Database;

type World = crate::world::World<Database>;

mod announce;
mod compaction;
mod convergence;
mod garbage;
mod inspect;
mod pages;
mod profiles;
mod rebuild;
mod several;
mod verify;
