//! The table `credentials`.

use super::{Connection, to_db};
use shared::id::UnixMs;
use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct CredentialRow {
    pub id: Uuid,
    pub project_id: Uuid,
    pub provider: String,
    pub label: String,
    pub hint: String,
    pub weight: i64,
    pub priority: i64,
    pub is_active: bool,
    pub encrypted: String,
    pub sealed: String,
    pub origin: String,
    pub created_at: i64,
    pub updated_at: i64,
}

pub async fn insert(conn: &mut Connection, row: &CredentialRow) -> sqlx::Result<()> {
    query(
        "insert into credentials (id, project_id, provider, label, hint, weight, priority, is_active, encrypted, \
         sealed, origin, created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(row.id)
    .bind(row.project_id)
    .bind(&row.provider)
    .bind(&row.label)
    .bind(&row.hint)
    .bind(row.weight)
    .bind(row.priority)
    .bind(row.is_active)
    .bind(&row.encrypted)
    .bind(&row.sealed)
    .bind(&row.origin)
    .bind(row.created_at)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

/// Stores what may change of a credential.
pub async fn update(conn: &mut Connection, row: &CredentialRow) -> sqlx::Result<()> {
    query(
        "update credentials set label = $2, hint = $3, weight = $4, priority = $5, is_active = $6, encrypted = $7, \
         sealed = $8, origin = $9, updated_at = $10 where id = $1",
    )
    .bind(row.id)
    .bind(&row.label)
    .bind(&row.hint)
    .bind(row.weight)
    .bind(row.priority)
    .bind(row.is_active)
    .bind(&row.encrypted)
    .bind(&row.sealed)
    .bind(&row.origin)
    .bind(row.updated_at)
    .execute(conn)
    .await
    .map(drop)
}

pub async fn get(conn: &mut Connection, project_id: Uuid, id: Uuid) -> sqlx::Result<Option<CredentialRow>> {
    query_as("select * from credentials where project_id = $1 and id = $2")
        .bind(project_id)
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Newest first, made before `before`.
pub async fn list(
    conn: &mut Connection,
    project_id: Uuid,
    before: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<CredentialRow>> {
    query_as("select * from credentials where project_id = $1 and id < $2 order by id desc limit $3")
        .bind(project_id)
        .bind(before)
        .bind(limit)
        .fetch_all(conn)
        .await
}

pub async fn delete(conn: &mut Connection, id: Uuid) -> sqlx::Result<()> {
    query("delete from credentials where id = $1").bind(id).execute(conn).await.map(drop)
}

pub async fn count_by_provider(conn: &mut Connection, provider: &str) -> sqlx::Result<i64> {
    query_scalar("select count(*) from credentials where provider = $1").bind(provider).fetch_one(conn).await
}

/// Deactivates the provider's credentials that are sealed for another origin,
/// and returns them as they are now.
pub async fn deactivate_elsewhere(
    conn: &mut Connection,
    provider: &str,
    origin: &str,
    now: UnixMs,
) -> sqlx::Result<Vec<CredentialRow>> {
    query_as(
        "update credentials set is_active = false, updated_at = $3 \
         where provider = $1 and origin <> $2 and is_active returning *",
    )
    .bind(provider)
    .bind(origin)
    .bind(to_db(now))
    .fetch_all(conn)
    .await
}
