//! The table `providers`.

use super::Connection;
use sqlx::{FromRow, query, query_as};

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
pub async fn insert_if_absent(conn: &mut Connection, row: &ProviderRow) -> sqlx::Result<bool> {
    let done = query(
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
    Ok(done.rows_affected() == 1)
}

/// Stores what may change of a provider.
pub async fn update(conn: &mut Connection, row: &ProviderRow) -> sqlx::Result<()> {
    query("update providers set definition = $2, updated_at = $3 where name = $1")
        .bind(&row.name)
        .bind(&row.definition)
        .bind(row.updated_at)
        .execute(conn)
        .await
        .map(drop)
}

pub async fn get(conn: &mut Connection, name: &str) -> sqlx::Result<Option<ProviderRow>> {
    query_as("select * from providers where name = $1").bind(name).fetch_optional(conn).await
}

/// By name, those after `after`.
pub async fn list(conn: &mut Connection, after: &str, limit: i64) -> sqlx::Result<Vec<ProviderRow>> {
    query_as("select * from providers where name > $1 order by name limit $2")
        .bind(after)
        .bind(limit)
        .fetch_all(conn)
        .await
}

pub async fn delete(conn: &mut Connection, name: &str) -> sqlx::Result<()> {
    query("delete from providers where name = $1").bind(name).execute(conn).await.map(drop)
}
