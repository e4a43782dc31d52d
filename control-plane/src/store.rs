//! All SQL. One file per table; each function takes the connection of the
//! transaction it belongs to. The texts are static, and the same for `SQLite`
//! and `PostgreSQL`.
//!
//! On `PostgreSQL` transactions run beside each other. What one reads in order to
//! change it, it locks first (`lock` beside `get`), always in this order:
//! providers, `project_numbers`, projects, then credentials or tokens, and at
//! most one of each, except that a provider's change takes its credentials; a route's
//! change takes its providers, by name; who holds a project holds its profiles and
//! routes. So
//! no two wait for each other (40P01), and as a transaction that writes is never
//! isolated beyond `read committed`, none fails for what another did (40001).
//! The tables of events come after all others, in the order of `events/consume`,
//! each with its rows sorted by their key; and a sink before its dead letters.

pub mod address;
pub mod audit;
pub mod credentials;
pub mod dead_letters;
pub mod event_bodies;
pub mod event_isolates;
pub mod event_ledger;
pub mod event_log;
pub mod event_set_aside;
pub mod events;
pub mod lease;
pub mod migrate;
pub mod orders;
pub mod outbox;
mod postgres;
pub mod prices;
pub mod profiles;
pub mod projects;
pub mod providers;
pub mod routes;
pub mod sinks;
pub mod snapshot;
pub mod sql;
mod sqlite;
pub mod token_usage;
pub mod tokens;
pub mod unreferenced;
pub mod usage;

use crate::clock;
use crate::metrics::{Access, DatabaseMetrics};
use crate::telemetry::span;
use address::Address;
use shared::id::UnixMs;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Span;

pub use sqlx::Error;

/// The connection of a transaction.
#[derive(Debug)]
pub enum Connection {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    metrics: DatabaseMetrics,
}

/// Connections to the database.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    pub max: u32,
    /// Idle or in use.
    pub open: u32,
    pub idle: u32,
}

#[derive(Clone, Debug)]
enum Pool {
    Sqlite {
        pool: SqlitePool,
        /// Writers of this process queue here, in order, rather than spin on
        /// `SQLite`'s lock, which is neither fair nor patient.
        writer: Arc<Mutex<()>>,
    },
    Postgres(PgPool),
}

/// A transaction; it is undone unless committed.
#[derive(Debug)]
pub struct Tx {
    // Dropped in this order: the transaction ends before the next writer's turn.
    inner: Connection,
    _turn: Turn,
    span: Span,
}

impl Store {
    /// Opens the database; `url` as in `DATABASE_URL`.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        let pool = match Address::parse(url)? {
            Address::Sqlite(options) => {
                Pool::Sqlite { pool: sqlite::connect(*options).await?, writer: Arc::default() }
            }
            Address::Postgres(options) => Pool::Postgres(postgres::connect(*options).await?),
        };
        Ok(Self { pool, metrics: DatabaseMetrics::default() })
    }

    /// The same, which tells `metrics` how long transactions wait.
    #[must_use]
    pub fn measured(self, metrics: DatabaseMetrics) -> Self {
        Self { metrics, ..self }
    }

    /// A transaction that sees one state of the database throughout.
    pub async fn read(&self) -> Result<Tx, Error> {
        self.begin(Access::Read).await
    }

    /// A transaction that may write. On `SQLite` it is the only one, from its
    /// start, so that it cannot fail half-way for having read first. On
    /// `PostgreSQL` others write too: see above.
    pub async fn write(&self) -> Result<Tx, Error> {
        self.begin(Access::Write).await
    }

    async fn begin(&self, access: Access) -> Result<Tx, Error> {
        let asked = clock::start();
        let span = self.pool.span(access);
        let begun = match access {
            Access::Read => self.pool.read().await,
            Access::Write => self.pool.write().await,
        };
        self.metrics.waited(access, asked.elapsed());
        match begun {
            Ok((inner, turn)) => Ok(Tx { inner, _turn: turn, span }),
            Err(error) => {
                span::fail(&span, &error);
                Err(error)
            }
        }
    }

    /// Whether others cannot write while one does.
    pub fn has_one_writer(&self) -> bool {
        matches!(self.pool, Pool::Sqlite { .. })
    }

    /// Whether it is another's turn to write now, where only one can.
    pub fn is_others_turn(&self) -> bool {
        match &self.pool {
            Pool::Sqlite { writer, .. } => writer.try_lock().is_err(),
            Pool::Postgres(_) => false,
        }
    }

    /// Where the database is a file, the lock beside it that one process has,
    /// and that its death releases; an error if another has it.
    pub fn lock_publisher(&self) -> Option<io::Result<File>> {
        match &self.pool {
            Pool::Sqlite { pool, .. } => sqlite::lock(&pool.connect_options(), "publisher-lock"),
            Pool::Postgres(_) => None,
        }
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut tx = self.read().await?;
        sql::query("select 1").execute(&mut tx).await.map(drop)
    }

    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { pool, .. } => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
    }

    /// As it is now; asks nothing of the database.
    pub fn pool_status(&self) -> PoolStatus {
        let (max, open, idle) = match &self.pool {
            Pool::Sqlite { pool, .. } => (pool.options().get_max_connections(), pool.size(), pool.num_idle()),
            Pool::Postgres(pool) => (pool.options().get_max_connections(), pool.size(), pool.num_idle()),
        };
        PoolStatus { max, open, idle: u32::try_from(idle).unwrap_or(open) }
    }
}

type Turn = Option<OwnedMutexGuard<()>>;

impl Pool {
    async fn read(&self) -> Result<(Connection, Turn), Error> {
        let inner = match self {
            Pool::Sqlite { pool, .. } => Connection::Sqlite(pool.begin().await?),
            Pool::Postgres(pool) => Connection::Postgres(postgres::begin(pool, postgres::READ).await?),
        };
        Ok((inner, None))
    }

    async fn write(&self) -> Result<(Connection, Turn), Error> {
        match self {
            Pool::Sqlite { pool, writer } => {
                let turn = Arc::clone(writer).lock_owned().await;
                let inner = Connection::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?);
                Ok((inner, Some(turn)))
            }
            Pool::Postgres(pool) => {
                let inner = Connection::Postgres(postgres::begin(pool, postgres::WRITE).await?);
                Ok((inner, None))
            }
        }
    }

    /// Only within a trace: there are some each second that nobody asked for.
    fn span(&self, access: Access) -> Span {
        if !span::is_within() {
            return Span::none();
        }
        let (name, system) = match (access, self) {
            (Access::Read, Pool::Sqlite { .. }) => ("read transaction", "sqlite"),
            (Access::Read, Pool::Postgres(_)) => ("read transaction", "postgresql"),
            (Access::Write, Pool::Sqlite { .. }) => ("write transaction", "sqlite"),
            (Access::Write, Pool::Postgres(_)) => ("write transaction", "postgresql"),
        };
        tracing::info_span!(
            target: span::TARGET,
            "transaction",
            otel.name = name,
            otel.kind = "client",
            db.system.name = system,
        )
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), Error> {
        let committed = match self.inner {
            Connection::Sqlite(inner) => inner.commit().await,
            Connection::Postgres(inner) => postgres::in_time(inner.commit()).await,
        };
        if let Err(error) = &committed {
            span::fail(&self.span, error);
        }
        committed
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

/// Whether a statement failed for the values it was given, as it would again.
pub fn is_unfit(error: &Error) -> bool {
    let Some(error) = error.as_database_error() else { return matches!(error, Error::Encode(_)) };
    let code = error.code().unwrap_or_default();
    match code.parse::<u32>() {
        // SQLite: too big, constraint, mismatch; the lowest byte of an extended code.
        Ok(number) if code.len() < 5 => matches!(number & 0xff, 18..=20),
        // PostgreSQL: data exception, integrity constraint violation.
        Ok(_) | Err(_) => code.starts_with("22") || code.starts_with("23"),
    }
}

/// As the database keeps a time. Times beyond its range are beyond any calendar.
fn to_db(at: UnixMs) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

fn from_db(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
