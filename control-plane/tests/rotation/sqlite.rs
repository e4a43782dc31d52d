//! The contract on `SQLite`.

pub(crate) type Database = crate::database::Sqlite;

#[path = "contract.rs"]
mod contract;
