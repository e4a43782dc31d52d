//! The table `prices`. Amounts are nano-dollars per million tokens.

use super::sql::{Query, query};
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PriceRow {
    pub id: Uuid,
    pub provider: String,
    /// A pattern.
    pub model: String,
    pub valid_from: i64,
    pub input: i64,
    pub cached_input: Option<i64>,
    pub output: i64,
    pub source: String,
    pub created_at: i64,
}

pub async fn insert(conn: &mut Connection, row: &PriceRow) -> Result<(), Error> {
    let statement = query(
        "insert into prices (id, provider, model, valid_from, input, cached_input, output, source, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    );
    bound(statement, row).execute(conn).await.map(drop)
}

/// Whether it was new; a price for the same models from the same time on is left as it is.
pub async fn insert_if_absent(conn: &mut Connection, row: &PriceRow) -> Result<bool, Error> {
    let statement = query(
        "insert into prices (id, provider, model, valid_from, input, cached_input, output, source, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (provider, model, valid_from) do nothing",
    );
    Ok(bound(statement, row).execute(conn).await? == 1)
}

fn bound(statement: Query, row: &PriceRow) -> Query {
    statement
        .bind(row.id)
        .bind(&row.provider)
        .bind(&row.model)
        .bind(row.valid_from)
        .bind(row.input)
        .bind(row.cached_input)
        .bind(row.output)
        .bind(&row.source)
        .bind(row.created_at)
}

pub async fn all(conn: &mut Connection) -> Result<Vec<PriceRow>, Error> {
    query(
        "select id, provider, model, valid_from, input, cached_input, output, source, created_at from prices",
    )
    .fetch_all(conn)
    .await
}

/// Newest first, made before `before`; an empty `provider` means any.
pub async fn list(
    conn: &mut Connection,
    provider: &str,
    before: Uuid,
    limit: i64,
) -> Result<Vec<PriceRow>, Error> {
    if provider.contains('\0') {
        return Ok(Vec::new());
    }
    query(
        "select id, provider, model, valid_from, input, cached_input, output, source, created_at from prices \
         where id < $1 and ($2 = '' or provider = $2) order by id desc limit $3",
    )
    .bind(before)
    .bind(provider)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Reads a price and holds it until the transaction ends, as `projects::lock` does.
pub async fn lock(conn: &mut Connection, id: Uuid) -> Result<Option<PriceRow>, Error> {
    query(
        "update prices set source = source where id = $1 \
         returning id, provider, model, valid_from, input, cached_input, output, source, created_at",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

pub async fn delete(conn: &mut Connection, id: Uuid) -> Result<(), Error> {
    query("delete from prices where id = $1").bind(id).execute(conn).await.map(drop)
}
