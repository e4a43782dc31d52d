//! All SQL. One file per table; each function takes the connection of the
//! transaction it belongs to. The texts are static and also valid on `PostgreSQL`.

pub mod audit;
pub mod credentials;
pub mod migrate;
pub mod outbox;
pub mod projects;
pub mod providers;
pub mod snapshot;
pub mod tokens;

use shared::id::UnixMs;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

pub use sqlx::Error;

pub type Connection = sqlx::SqliteConnection;

#[derive(Clone, Debug)]
pub struct Store {
    pool: SqlitePool,
    /// Writers of this process queue here, in order, rather than spin on
    /// `SQLite`'s lock, which is neither fair nor patient.
    writer: Arc<Mutex<()>>,
}

/// A transaction; it is undone unless committed.
#[derive(Debug)]
pub struct Tx {
    // Dropped in this order: the transaction ends before the next writer's turn.
    inner: Transaction<'static, Sqlite>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Store {
    /// Opens the database; `url` as in `DATABASE_URL`.
    pub async fn connect(url: &str) -> sqlx::Result<Self> {
        let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options(url)?).await?;
        Ok(Self { pool, writer: Arc::default() })
    }

    /// A transaction that sees one state of the database throughout.
    pub async fn read(&self) -> sqlx::Result<Tx> {
        Ok(Tx { inner: self.pool.begin().await?, _turn: None })
    }

    /// A transaction that may write; it takes the write lock at its start, so
    /// that it cannot fail half-way for having read first.
    pub async fn write(&self) -> sqlx::Result<Tx> {
        let turn = Arc::clone(&self.writer).lock_owned().await;
        Ok(Tx { inner: self.pool.begin_with("BEGIN IMMEDIATE").await?, _turn: Some(turn) })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> sqlx::Result<()> {
        sqlx::query("select 1").execute(&self.pool).await.map(drop)
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Tx {
    pub async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.inner
    }
}

/// Whether a statement failed because `table.column` must be unique.
/// `PostgreSQL` names the constraint, `SQLite` the column.
pub fn is_duplicate(error: &Error, table: &str, column: &str) -> bool {
    error.as_database_error().filter(|error| error.is_unique_violation()).is_some_and(|error| {
        error.constraint() == Some(&format!("{table}_{column}_unique"))
            || error.message().ends_with(&format!("{table}.{column}"))
    })
}

/// As the database keeps a time. Times beyond its range are beyond any calendar.
fn to_db(at: UnixMs) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn from_db(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn options(url: &str) -> sqlx::Result<SqliteConnectOptions> {
    Ok(SqliteConnectOptions::from_str(url)?
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A change that was answered survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(5)))
}
