//! The publisher on `PostgreSQL`.

pub(crate) type Database = crate::database::Postgres;

#[path = "contract.rs"]
mod contract;
