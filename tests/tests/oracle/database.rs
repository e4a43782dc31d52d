//! A real database for one history, and a backup of it. Both ways of taking
//! one want that nobody is connected.

use control_plane::store::migrate;
use latchkey_tests::postgres::Postgres;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::sync::OnceCell;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Gone when dropped.
pub(crate) enum Database {
    Sqlite(TempDir),
    Postgres(String),
}

impl Kind {
    /// So many histories in `make test`: about half a minute on two cores.
    pub(crate) fn cases(self) -> usize {
        match self {
            Self::Sqlite => 24,
            Self::Postgres => 8,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Database {
    /// With tables, and nothing in them.
    pub(crate) async fn create(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => {
                // In memory where there is such a folder.
                let memory = Path::new("/dev/shm");
                let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
                let database = Self::Sqlite(folder.unwrap());
                migrate::up(&database.url()).await.unwrap();
                database
            }
            Kind::Postgres => {
                static COUNT: AtomicU32 = AtomicU32::new(0);
                let name = format!("oracle_{}", COUNT.fetch_add(1, Ordering::Relaxed));
                copy_database(template().await, &name);
                Self::Postgres(name)
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", file(folder, "latchkey.db").display()),
            Self::Postgres(name) => Postgres::shared().url(name),
        }
    }

    pub(crate) fn back_up(&self) {
        match self {
            Self::Sqlite(folder) => copy(folder, "latchkey.db", "backup.db"),
            Self::Postgres(name) => copy_database(name, &format!("{name}_backup")),
        }
    }

    pub(crate) fn restore(&self) {
        match self {
            Self::Sqlite(folder) => copy(folder, "backup.db", "latchkey.db"),
            Self::Postgres(name) => copy_database(&format!("{name}_backup"), name),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::Postgres(name) = self {
            run_sql(&[&drop_database(name), &drop_database(&format!("{name}_backup"))]);
        }
    }
}

/// A database with tables, made once, by a server that waits for no disk: no
/// test here cuts the power.
async fn template() -> &'static str {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let make = || async {
        let url = Postgres::shared().create_database();
        run_sql(&[
            "alter system set fsync = off",
            "alter system set synchronous_commit = off",
            "select pg_reload_conf()",
        ]);
        migrate::up(&url).await.unwrap();
        url.rsplit('/').next().unwrap().to_owned()
    };
    TEMPLATE.get_or_init(make).await
}

fn copy_database(from: &str, to: &str) {
    run_sql(&[&drop_database(to), &format!("create database {to} template {from}")]);
}

fn drop_database(name: &str) -> String {
    format!("drop database if exists {name} with (force)")
}

/// Each statement by itself, over one connection.
fn run_sql(statements: &[&str]) {
    let database = ["-d", "postgres", "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1"];
    let commands = statements.iter().flat_map(|statement| ["-c", statement]);
    Postgres::shared().run("psql", &database.into_iter().chain(commands).collect::<Vec<_>>());
}

fn copy(folder: &TempDir, from: &str, to: &str) {
    for journal in ["-wal", "-shm"] {
        let left = file(folder, &format!("{to}{journal}"));
        assert!(!left.exists() || fs::remove_file(left).is_ok());
    }
    fs::copy(file(folder, from), file(folder, to)).unwrap();
}

fn file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}
