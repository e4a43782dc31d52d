//! Migrations, compiled into the binary. Each has its way back.

use super::options;
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use thiserror::Error;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

#[derive(Debug, Error)]
pub enum Failure {
    #[error("the database cannot be opened: {0}; check DATABASE_URL")]
    Open(#[source] sqlx::Error),
    #[error("the migration lock {0} cannot be taken: {1}; check that its folder can be written to")]
    Lock(PathBuf, #[source] std::io::Error),
    #[error("nothing to undo: no migration is applied")]
    NothingToUndo,
    #[error("{0}; the database was left by another version of latchkey, or a migration was edited")]
    Migration(#[from] MigrateError),
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
    MIGRATIONS.run_direct(None, &mut session.connection, false).await?;
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
    MIGRATIONS.undo(&mut session.connection, target).await?;
    session.close().await?;
    Ok(last)
}

pub async fn status(url: &str) -> Result<Vec<State>, Failure> {
    let mut session = Session::open(url).await?;
    let applied = session.applied().await?;
    session.close().await?;
    let known = MIGRATIONS.iter().filter(|migration| migration.migration_type.is_up_migration());
    Ok(known
        .map(|migration| State {
            version: migration.version,
            description: migration.description.to_string(),
            is_applied: applied.contains(&migration.version),
        })
        .collect())
}

struct Session {
    connection: SqliteConnection,
    /// Held until the session ends. sqlx's own lock does nothing on `SQLite`.
    _lock: Option<File>,
}

impl Session {
    async fn open(url: &str) -> Result<Self, Failure> {
        let options = options(url).map_err(Failure::Open)?;
        let file = options.get_filename().to_path_buf();
        let lock = if file.as_os_str().is_empty() || file.starts_with(":memory:") {
            None
        } else {
            Some(take_lock(file.with_added_extension("migrate-lock")).await?)
        };
        let connection = options.connect().await.map_err(Failure::Open)?;
        Ok(Self { connection, _lock: lock })
    }

    async fn applied(&mut self) -> Result<BTreeSet<i64>, Failure> {
        let table = &MIGRATIONS.table_name;
        self.connection.ensure_migrations_table(table).await?;
        let applied = self.connection.list_applied_migrations(table).await?;
        Ok(applied.into_iter().map(|migration| migration.version).collect())
    }

    async fn close(self) -> Result<(), Failure> {
        self.connection.close().await.map_err(Failure::Open)
    }
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
