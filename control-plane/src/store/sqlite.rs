//! How `SQLite` is opened.

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::fs::{File, OpenOptions};
use std::io;
use std::time::Duration;

pub(super) async fn connect(options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    SqlitePoolOptions::new().max_connections(8).connect_with(options).await
}

pub(super) fn tuned(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A change that was answered survives a power cut.
        .synchronous(SqliteSynchronous::Full)
        // 16 MiB: a page that changes often is copied into the file once.
        .pragma("wal_autocheckpoint", "4096")
        .busy_timeout(Duration::from_secs(5))
}

/// Takes the file `<database>.<name>` for this process, if it is free. A
/// database in memory has none.
pub(super) fn lock(options: &SqliteConnectOptions, name: &str) -> Option<io::Result<File>> {
    let database = options.get_filename();
    if database.as_os_str().is_empty() || database.starts_with(":memory:") {
        return None;
    }
    let path = database.with_added_extension(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    Some(file.and_then(|file| {
        file.try_lock()?;
        Ok(file)
    }))
}
