//! Runs one statement on either database.
//!
//! A statement is a static text with `$1`, `$2`, ... and the values for them;
//! both databases take the same. Rows come as any `#[derive(FromRow)]` struct or
//! tuple of [`Row`] types.

use super::postgres::in_time;
use super::{Connection, Error};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{Arguments, Database, Encode, FromRow, Postgres, Sqlite, Type};
use uuid::Uuid;

/// What both databases can read a row into.
pub trait Row: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl<T> Row for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A statement and its values.
#[derive(Debug)]
#[must_use = "a statement does nothing until it is run"]
pub struct Query {
    sqlite: &'static str,
    postgres: &'static str,
    values: Vec<Value>,
}

pub fn query(text: &'static str) -> Query {
    query_each(text, text)
}

/// For the bulk paths where one text cannot serve both databases.
pub fn query_each(sqlite: &'static str, postgres: &'static str) -> Query {
    Query { sqlite, postgres, values: Vec::new() }
}

/// For many rows in one statement: `$1` is a JSON array of arrays. `$text` is a
/// macro that makes the text from what differs, the rows (`r.value ->> 0` is the
/// first field of one) and the function that reads an id.
macro_rules! bulk {
    ($text:ident) => {
        $crate::store::sql::query_each(
            $text!("jsonb_each($1)", "unhex"),
            $text!("jsonb_array_elements($1::jsonb)", "uuid"),
        )
    };
}
pub(super) use bulk;

/// One value; nulls keep their type, which `PostgreSQL` wants to know.
#[derive(Debug)]
pub enum Value {
    Uuid(Option<Uuid>),
    Integer(Option<i64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

impl Query {
    /// Gives the next `$n` its value.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// How many rows it changed.
    pub async fn execute(self, conn: &mut Connection) -> Result<u64, Error> {
        match conn {
            Connection::Sqlite(tx) => {
                let query = sqlx::query_with::<Sqlite, _>(self.sqlite, arguments::<Sqlite>(self.values)?);
                Ok(query.execute(&mut **tx).await?.rows_affected())
            }
            Connection::Postgres(tx) => {
                let query =
                    sqlx::query_with::<Postgres, _>(self.postgres, arguments::<Postgres>(self.values)?);
                Ok(in_time(query.execute(&mut **tx)).await?.rows_affected())
            }
        }
    }

    pub async fn fetch_all<T: Row>(self, conn: &mut Connection) -> Result<Vec<T>, Error> {
        match conn {
            Connection::Sqlite(tx) => {
                let query =
                    sqlx::query_as_with::<Sqlite, T, _>(self.sqlite, arguments::<Sqlite>(self.values)?);
                query.fetch_all(&mut **tx).await
            }
            Connection::Postgres(tx) => {
                let query =
                    sqlx::query_as_with::<Postgres, T, _>(self.postgres, arguments::<Postgres>(self.values)?);
                in_time(query.fetch_all(&mut **tx)).await
            }
        }
    }

    /// The first row, if there is one.
    pub async fn fetch_optional<T: Row>(self, conn: &mut Connection) -> Result<Option<T>, Error> {
        match conn {
            Connection::Sqlite(tx) => {
                let query =
                    sqlx::query_as_with::<Sqlite, T, _>(self.sqlite, arguments::<Sqlite>(self.values)?);
                query.fetch_optional(&mut **tx).await
            }
            Connection::Postgres(tx) => {
                let query =
                    sqlx::query_as_with::<Postgres, T, _>(self.postgres, arguments::<Postgres>(self.values)?);
                in_time(query.fetch_optional(&mut **tx)).await
            }
        }
    }

    /// The first row, which there must be.
    pub async fn fetch_one<T: Row>(self, conn: &mut Connection) -> Result<T, Error> {
        self.fetch_optional(conn).await?.ok_or(Error::RowNotFound)
    }

    /// The one column of the first row, which there must be.
    pub async fn scalar<T>(self, conn: &mut Connection) -> Result<T, Error>
    where
        (T,): Row,
    {
        self.fetch_one::<(T,)>(conn).await.map(|(value,)| value)
    }

    /// The one column of the first row, if there is one.
    pub async fn scalar_optional<T>(self, conn: &mut Connection) -> Result<Option<T>, Error>
    where
        (T,): Row,
    {
        Ok(self.fetch_optional::<(T,)>(conn).await?.map(|(value,)| value))
    }

    /// The one column of every row.
    pub async fn scalars<T>(self, conn: &mut Connection) -> Result<Vec<T>, Error>
    where
        (T,): Row,
    {
        Ok(self.fetch_all::<(T,)>(conn).await?.into_iter().map(|(value,)| value).collect())
    }
}

fn arguments<DB: Database>(values: Vec<Value>) -> Result<DB::Arguments, Error>
where
    Option<Uuid>: for<'q> Encode<'q, DB> + Type<DB>,
    Option<i64>: for<'q> Encode<'q, DB> + Type<DB>,
    Option<bool>: for<'q> Encode<'q, DB> + Type<DB>,
    Option<String>: for<'q> Encode<'q, DB> + Type<DB>,
    Option<Vec<u8>>: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    for value in values {
        match value {
            Value::Uuid(value) => arguments.add(value),
            Value::Integer(value) => arguments.add(value),
            Value::Bool(value) => arguments.add(value),
            Value::Text(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
        }
        .map_err(Error::Encode)?;
    }
    Ok(arguments)
}

/// From the type itself and from its `Option`.
macro_rules! values {
    ($($variant:ident: $type:ty),+ $(,)?) => {$(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(Some(value))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(value: Option<$type>) -> Self {
                Self::$variant(value)
            }
        }
    )+};
}

values! { Uuid: Uuid, Integer: i64, Bool: bool, Text: String, Bytes: Vec<u8> }

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        Self::Text(value.clone())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}
