//! How `PostgreSQL` is reached, and how long it is waited for.
//!
//! Every wait ends: the server gives up a statement or a lock after the times in
//! [`READ`] and [`WRITE`], and this side gives up a server that says nothing.

use super::Error;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Postgres, Transaction};
use std::future::Future;
use std::io;
use std::time::Duration;

const MAX_CONNECTIONS: u32 = 16;
/// For a connection, an open one or a new one.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Longer than the server's own limit for a statement, so that it is heard.
const ANSWER_LIMIT: Duration = Duration::from_secs(70);
/// For what is left of a transaction when its connection goes back to the pool.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// Sees one state throughout. It may rest long: a compaction uploads between its
/// reads. These read a page by its index, for which starting other processes or
/// compiling the statement costs more than the page.
pub(super) const READ: &str = "begin isolation level repeatable read, read only; \
     set local statement_timeout = '60s'; set local idle_in_transaction_session_timeout = '15min'; \
     set local max_parallel_workers_per_gather = 0; set local jit = off";

/// Holds rows that others wait for, and nothing but the database is waited for
/// while it lasts: the server ends one whose process was stopped or cut off. Its
/// commit is on disk before it is answered, whatever the server's default.
pub(super) const WRITE: &str = "begin isolation level read committed; set local synchronous_commit = on; \
     set local statement_timeout = '60s'; set local lock_timeout = '10s'; \
     set local idle_in_transaction_session_timeout = '15s'; set local jit = off";

pub(super) async fn connect(options: PgConnectOptions) -> Result<PgPool, Error> {
    PgPoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(CONNECT_LIMIT)
        // A connection that was given up in mid-answer may never come to its
        // end: it must not keep its place in the pool.
        .after_release(|connection, _| {
            Box::pin(async {
                let ping = tokio::time::timeout(RELEASE_LIMIT, connection.ping()).await;
                Ok(matches!(ping, Ok(Ok(()))))
            })
        })
        .connect_with(options)
        .await
        .map_err(named)
}

pub(super) async fn begin(pool: &PgPool, how: &'static str) -> Result<Transaction<'static, Postgres>, Error> {
    // Large, as it holds the whole of connecting; and part of every future here.
    in_time(Box::pin(pool.begin_with(how))).await.map_err(named)
}

pub(super) async fn in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(timed_out("PostgreSQL did not answer within 70 s")),
    }
}

fn named(error: Error) -> Error {
    match error {
        Error::PoolTimedOut => timed_out(
            "no connection to PostgreSQL within 5 s: it cannot be reached, or all 16 connections are in use",
        ),
        other => other,
    }
}

fn timed_out(message: &str) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
}
