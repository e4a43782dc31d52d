//! Random histories of the whole snapshot, from changes of rows to answers of
//! isolates, beside a naive model of the rows. The control plane and its
//! publisher, the database and the edge's own decision are real; time, KV as a
//! location sees it, and the edge's platform are made up, so that a history of
//! days takes a second and has faults that no test could wait for.
//!
//! No token is accepted beyond the stated staleness; none that is valid is
//! refused that the fresh rule covers; and what is accepted goes where the
//! provider is, with a key of the token's own project.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it tells what it did, and how long it took"
)]

mod changes;
mod clock;
mod control;
mod database;
mod edges;
mod expect;
mod history;
mod keys;
mod model;
mod named;
mod outages;
mod play;
mod plots;
mod published;
mod requests;
mod rotation;
mod runtime;
mod step;
mod tally;
mod view;
mod world;

use database::Kind;

#[tokio::test]
async fn no_history_on_sqlite_is_beyond_the_rows() {
    history::run_all(Kind::Sqlite).await;
}

#[tokio::test]
async fn no_history_on_postgres_is_beyond_the_rows() {
    history::run_all(Kind::Postgres).await;
}
