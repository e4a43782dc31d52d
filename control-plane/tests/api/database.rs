//! Databases that tests have to themselves.

use crate::postgres_server::Postgres as Server;
use tempfile::TempDir;

/// Gone when dropped, at the latest when the tests end.
pub(crate) trait Database {
    /// A new one, without tables.
    fn create() -> Self;

    /// As `DATABASE_URL` has it.
    fn url(&self) -> String;
}

pub(crate) struct Sqlite(TempDir);

pub(crate) struct Postgres(String);

impl Database for Sqlite {
    fn create() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.0.path().join("latchkey.db").display())
    }
}

impl Database for Postgres {
    fn create() -> Self {
        Self(Server::shared().create_database())
    }

    fn url(&self) -> String {
        self.0.clone()
    }
}
