//! The table `providers`.

use super::sql::query;
use super::{Connection, Error};
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow)]
pub struct ProviderRow {
    pub name: String,
    /// A provider as the edge needs it, JSON.
    pub definition: String,
    pub is_built_in: bool,
    pub created_at: i64,
    pub updated_at: i64,
}

/// Whether it was new; a provider of that name is left as it is.
pub async fn insert_if_absent(conn: &mut Connection, row: &ProviderRow) -> Result<bool, Error> {
    let inserted = query(
        "insert into providers (name, definition, is_built_in, created_at, updated_at) \
         values ($1, $2, $3, $4, $5) on conflict (name) do nothing",
    )
    .bind(&row.name)
    .bind(&row.definition)
    .bind(row.is_built_in)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await?;
    Ok(inserted == 1)
}

/// Stores what may change of a provider.
pub async fn update(conn: &mut Connection, row: &ProviderRow) -> Result<(), Error> {
    query("update providers set definition = $2, updated_at = $3 where name = $1")
        .bind(&row.name)
        .bind(&row.definition)
        .bind(row.updated_at)
        .execute(conn)
        .await
        .map(drop)
}

pub async fn get(conn: &mut Connection, name: &str) -> Result<Option<ProviderRow>, Error> {
    if is_impossible(name) {
        return Ok(None);
    }
    query("select name, definition, is_built_in, created_at, updated_at from providers where name = $1")
        .bind(name)
        .fetch_optional(conn)
        .await
}

/// Reads a provider and holds it until the transaction ends, as `projects::lock` does.
pub async fn lock(conn: &mut Connection, name: &str) -> Result<Option<ProviderRow>, Error> {
    if is_impossible(name) {
        return Ok(None);
    }
    query(
        "update providers set definition = definition where name = $1 \
         returning name, definition, is_built_in, created_at, updated_at",
    )
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// By name, those after `after`.
pub async fn list(conn: &mut Connection, after: &str, limit: i64) -> Result<Vec<ProviderRow>, Error> {
    let after = after.split('\0').next().unwrap_or_default();
    query(
        "select name, definition, is_built_in, created_at, updated_at from providers \
         where name > $1 order by name limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// No name has a NUL, and `PostgreSQL` does not take one in a text.
fn is_impossible(name: &str) -> bool {
    name.contains('\0')
}

pub async fn delete(conn: &mut Connection, name: &str) -> Result<(), Error> {
    query("delete from providers where name = $1").bind(name).execute(conn).await.map(drop)
}
