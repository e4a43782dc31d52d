//! `DATABASE_URL`. What is wrong with one is said without showing it: it may
//! hold a password.

use super::{Error, sqlite};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::str::FromStr;
use thiserror::Error as ThisError;
use url::Url;

/// Where the database is.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

#[derive(Debug, ThisError)]
pub enum AddressError {
    #[error("must be sqlite://latchkey.db?mode=rwc or postgres://user:password@host:5432/database")]
    Scheme,
    #[error("is not a usable SQLite address; an example is sqlite://latchkey.db?mode=rwc")]
    Sqlite,
    #[error("is not a usable PostgreSQL address; an example is postgres://user:password@host:5432/database")]
    Postgres,
    #[error("has a parameter `{0}`, which is unknown; known are {known}", known = PARAMETERS.join(", "))]
    Parameter(String),
}

/// What may follow the `?` of a `PostgreSQL` address. sqlx would ignore any
/// other, so a mistyped `sslmode` would leave the connection open to all.
const PARAMETERS: [&str; 12] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "statement-cache-capacity",
];

/// Says what is wrong with `url`, without opening the database.
pub fn check(url: &str) -> Result<(), AddressError> {
    Address::parse(url).map(drop)
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, AddressError> {
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(|_| AddressError::Sqlite)?;
            Ok(Self::Sqlite(Box::new(sqlite::tuned(options))))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            postgres(url).map(Box::new).map(Self::Postgres)
        } else {
            Err(AddressError::Scheme)
        }
    }
}

fn postgres(url: &str) -> Result<PgConnectOptions, AddressError> {
    let parsed = Url::parse(url).map_err(|_| AddressError::Postgres)?;
    for (name, _) in parsed.query_pairs() {
        if !PARAMETERS.contains(&&*name) && !name.starts_with("options[") {
            return Err(AddressError::Parameter(name.into_owned()));
        }
    }
    let options = PgConnectOptions::from_str(url).map_err(|_| AddressError::Postgres)?;
    // So that the server's lists of connections tell whose they are.
    Ok(match options.get_application_name() {
        None => options.application_name("latchkey"),
        Some(_) => options,
    })
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        Self::Configuration(format!("DATABASE_URL {error}").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_are_known() {
        for good in [
            "sqlite://latchkey.db?mode=rwc",
            "sqlite::memory:",
            "postgres://user:secret@host:5432/latchkey",
            "postgresql://user@host/latchkey?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres:///latchkey?host=/var/run/postgresql&options[search_path]=gate",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_wrong_address_is_not_shown() {
        for bad in [
            "",
            "latchkey.db",
            "mysql://user:hush@host/db",
            "sqlite://hush.db?mode=hush",
            "postgres://user:hush@host:port/db",
            "postgres://user:hush@[::/db",
            "postgres://user:hush@host/db?sslmode=hush",
            "postgres://user:hush@host/db?port=hush",
            "postgres://user@host/db?sslmod=hush",
        ] {
            let message = check(bad).unwrap_err().to_string();
            assert!(!message.contains("hush"), "{bad}: {message}");
        }
    }
}
