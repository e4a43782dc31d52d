//! Migrations, compiled into the binary. Each has its way back.

use super::Error;
use super::address::Address;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{ConnectOptions, Connection as _, PgConnection, SqliteConnection};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use thiserror::Error as ThisError;

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

#[derive(Debug, ThisError)]
pub enum Failure {
    #[error("the database cannot be opened: {0}; check DATABASE_URL")]
    Open(#[source] Error),
    #[error("the migration lock {0} cannot be taken: {1}; check that its folder can be written to")]
    Lock(PathBuf, #[source] std::io::Error),
    #[error("nothing to undo: no migration is applied")]
    NothingToUndo,
    #[error("{0}; nothing was undone: the migration's way back says why it may refuse")]
    Undo(#[source] MigrateError),
    #[error("{0}; the database was left by another version of latchkey, or a migration was edited")]
    Migration(#[from] MigrateError),
}

impl Failure {
    /// A statement that failed undid nothing; all else is about the migrations themselves.
    fn of_undo(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(_) | MigrateError::ExecuteMigration(..) => Self::Undo(error),
            other => Self::Migration(other),
        }
    }
}

/// One migration, and whether the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub version: i64,
    pub description: String,
    pub is_applied: bool,
}

/// Applies what is missing and says which.
pub async fn up(url: &str) -> Result<Vec<i64>, Failure> {
    let mut session = Session::open(url).await?;
    let before = session.applied().await?;
    match &mut session {
        Session::Sqlite(connection, _) => SQLITE.run_direct(None, connection, false).await?,
        Session::Postgres(connection) => POSTGRES.run_direct(None, connection, false).await?,
    }
    let after = session.applied().await?;
    session.close().await?;
    Ok(after.difference(&before).copied().collect())
}

/// Undoes the last one and says which.
pub async fn down(url: &str) -> Result<i64, Failure> {
    let mut session = Session::open(url).await?;
    let mut applied = session.applied().await?;
    let last = applied.pop_last().ok_or(Failure::NothingToUndo)?;
    let target = applied.last().copied().unwrap_or(0);
    match &mut session {
        Session::Sqlite(connection, _) => SQLITE.undo(connection, target).await,
        Session::Postgres(connection) => POSTGRES.undo(connection, target).await,
    }
    .map_err(Failure::of_undo)?;
    session.close().await?;
    Ok(last)
}

pub async fn status(url: &str) -> Result<Vec<State>, Failure> {
    let mut session = Session::open(url).await?;
    let applied = session.applied().await?;
    let known = session.migrations().iter().filter(|each| each.migration_type.is_up_migration());
    let states = known
        .map(|migration| State {
            version: migration.version,
            description: migration.description.to_string(),
            is_applied: applied.contains(&migration.version),
        })
        .collect();
    session.close().await?;
    Ok(states)
}

/// A connection that alone may migrate, until it ends.
enum Session {
    /// With a lock of our own: sqlx's does nothing here.
    Sqlite(SqliteConnection, Option<File>),
    Postgres(PgConnection),
}

impl Session {
    async fn open(url: &str) -> Result<Self, Failure> {
        match Address::parse(url).map_err(|error| Failure::Open(error.into()))? {
            Address::Sqlite(options) => {
                let file = options.get_filename().to_path_buf();
                let lock = if file.as_os_str().is_empty() || file.starts_with(":memory:") {
                    None
                } else {
                    Some(take_lock(file.with_added_extension("migrate-lock")).await?)
                };
                let connection = options.connect().await.map_err(Failure::Open)?;
                Ok(Self::Sqlite(connection, lock))
            }
            Address::Postgres(options) => {
                let mut connection = options.connect().await.map_err(Failure::Open)?;
                // `create table if not exists` remarks on each table that does.
                let quiet = sqlx::query("set client_min_messages = warning").execute(&mut connection);
                quiet.await.map_err(Failure::Open)?;
                // Before anything is looked at: two that make the table of
                // migrations at once fail, whatever `if not exists` says.
                connection.lock().await?;
                Ok(Self::Postgres(connection))
            }
        }
    }

    fn migrations(&self) -> &'static Migrator {
        match self {
            Self::Sqlite(..) => &SQLITE,
            Self::Postgres(_) => &POSTGRES,
        }
    }

    async fn applied(&mut self) -> Result<BTreeSet<i64>, Failure> {
        let table = &self.migrations().table_name;
        match self {
            Self::Sqlite(connection, _) => applied(connection, table).await,
            Self::Postgres(connection) => applied(connection, table).await,
        }
    }

    async fn close(self) -> Result<(), Failure> {
        match self {
            Self::Sqlite(connection, _lock) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
        .map_err(Failure::Open)
    }
}

async fn applied(connection: &mut impl Migrate, table: &str) -> Result<BTreeSet<i64>, Failure> {
    connection.ensure_migrations_table(table).await?;
    let applied = connection.list_applied_migrations(table).await?;
    Ok(applied.into_iter().map(|migration| migration.version).collect())
}

async fn take_lock(path: PathBuf) -> Result<File, Failure> {
    let shown = path.clone();
    // Waits for another process that migrates, so not on a thread of the runtime.
    let taken = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok(file)
    });
    taken.await.map_err(std::io::Error::other).flatten().map_err(|error| Failure::Lock(shown, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_have_the_same_migrations_and_a_way_back() {
        let list = |migrator: &'static Migrator| {
            migrator
                .iter()
                .map(|each| (each.version, &*each.description, each.migration_type))
                .collect::<Vec<_>>()
        };
        assert_eq!(list(&SQLITE), list(&POSTGRES));
        let (up, down): (Vec<_>, Vec<_>) =
            SQLITE.iter().partition(|each| each.migration_type.is_up_migration());
        assert!(up.iter().map(|each| each.version).eq(down.iter().map(|each| each.version)));
        assert!(up.iter().map(|each| each.version).eq(1..=8));
    }
}
