//! The table `projects`.

use super::sql::query;
use super::{Connection, Error, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, FromRow)]
pub struct ProjectRow {
    pub id: Uuid,
    pub number: i64,
    pub name: String,
    pub default_provider: String,
    pub is_active: bool,
    pub tokens_valid_from: i64,
    pub on_stale: String,
    pub max_snapshot_age: i64,
    pub stream_usage: String,
    /// JSON.
    pub capture: Option<String>,
    /// JSON.
    pub policy: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
    pub deactivated_at: Option<i64>,
}

/// Stores a new project and gives it its number, whatever number `row` has.
/// Holds the names, as [`lock_names`] does.
pub async fn insert(conn: &mut Connection, row: &ProjectRow) -> Result<ProjectRow, Error> {
    let number: i64 =
        query("update project_numbers set last = last + 1 returning last").scalar(&mut *conn).await?;
    query(
        "insert into projects (id, number, name, default_provider, is_active, tokens_valid_from, on_stale, \
         max_snapshot_age, stream_usage, capture, policy, created_at, updated_at, deactivated_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(row.id)
    .bind(number)
    .bind(&row.name)
    .bind(&row.default_provider)
    .bind(row.is_active)
    .bind(row.tokens_valid_from)
    .bind(&row.on_stale)
    .bind(row.max_snapshot_age)
    .bind(&row.stream_usage)
    .bind(&row.capture)
    .bind(&row.policy)
    .bind(row.created_at)
    .bind(row.updated_at)
    .bind(row.deactivated_at)
    .execute(conn)
    .await?;
    Ok(ProjectRow { number, ..row.clone() })
}

/// Waits for whoever creates or renames a project, and keeps others from it. To
/// be called before [`lock`] by who changes a name: two that exchanged names
/// would wait for each other.
pub async fn lock_names(conn: &mut Connection) -> Result<(), Error> {
    query("update project_numbers set last = last").execute(conn).await.map(drop)
}

/// Stores what may change of a project.
pub async fn update(conn: &mut Connection, row: &ProjectRow) -> Result<(), Error> {
    query(
        "update projects set name = $2, default_provider = $3, is_active = $4, tokens_valid_from = $5, \
         on_stale = $6, max_snapshot_age = $7, updated_at = $8, deactivated_at = $9, stream_usage = $10, \
         capture = $11, policy = $12 where id = $1",
    )
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.default_provider)
    .bind(row.is_active)
    .bind(row.tokens_valid_from)
    .bind(&row.on_stale)
    .bind(row.max_snapshot_age)
    .bind(row.updated_at)
    .bind(row.deactivated_at)
    .bind(&row.stream_usage)
    .bind(&row.capture)
    .bind(&row.policy)
    .execute(conn)
    .await
    .map(drop)
}

pub async fn get(conn: &mut Connection, id: Uuid) -> Result<Option<ProjectRow>, Error> {
    query(
        "select id, number, name, default_provider, is_active, tokens_valid_from, on_stale, \
         max_snapshot_age, stream_usage, capture, policy, created_at, updated_at, deactivated_at from projects where id = $1",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Reads a project and holds it until the transaction ends: an update that
/// changes nothing locks the row on every database.
pub async fn lock(conn: &mut Connection, id: Uuid) -> Result<Option<ProjectRow>, Error> {
    query(
        "update projects set number = number where id = $1 \
         returning id, number, name, default_provider, is_active, tokens_valid_from, on_stale, \
         max_snapshot_age, stream_usage, capture, policy, created_at, updated_at, deactivated_at",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Newest first, made before `before`.
pub async fn list(conn: &mut Connection, before: Uuid, limit: i64) -> Result<Vec<ProjectRow>, Error> {
    query(
        "select id, number, name, default_provider, is_active, tokens_valid_from, on_stale, \
         max_snapshot_age, stream_usage, capture, policy, created_at, updated_at, deactivated_at \
         from projects where id < $1 order by id desc limit $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub async fn count_by_default_provider(conn: &mut Connection, provider: &str) -> Result<i64, Error> {
    query("select count(*) from projects where default_provider = $1").bind(provider).scalar(conn).await
}

/// Revokes every token of the project that was issued before `valid_from`.
pub async fn set_tokens_valid_from(
    conn: &mut Connection,
    id: Uuid,
    valid_from: UnixMs,
    now: UnixMs,
) -> Result<(), Error> {
    query("update projects set tokens_valid_from = $2, updated_at = $3 where id = $1")
        .bind(id)
        .bind(to_db(valid_from))
        .bind(to_db(now))
        .execute(conn)
        .await
        .map(drop)
}
