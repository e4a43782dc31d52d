//! The outbox: changes that the edge must learn of, each written in the
//! transaction of the change. A row says only *what* changed; the publisher
//! reads how it is now, so a row can be told late or twice and still be right.
//!
//! No function asks for rows "after" a sequence number: on `PostgreSQL` numbers
//! become visible out of order, and a cursor would skip the late ones.

use super::{Connection, from_db, to_db};
use shared::id::UnixMs;
use sqlx::Row;
use uuid::Uuid;

pub async fn token_changed(conn: &mut Connection, token_id: Uuid, now: UnixMs) -> sqlx::Result<()> {
    insert(conn, Some(token_id), None, now).await
}

pub async fn project_changed(conn: &mut Connection, project_id: Uuid, now: UnixMs) -> sqlx::Result<()> {
    insert(conn, None, Some(project_id), now).await
}

pub async fn providers_changed(conn: &mut Connection, now: UnixMs) -> sqlx::Result<()> {
    insert(conn, None, None, now).await
}

async fn insert(
    conn: &mut Connection,
    token_id: Option<Uuid>,
    project_id: Option<Uuid>,
    now: UnixMs,
) -> sqlx::Result<()> {
    sqlx::query("insert into outbox (token_id, project_id, created_at) values ($1, $2, $3)")
        .bind(token_id)
        .bind(project_id)
        .bind(to_db(now))
        .execute(conn)
        .await?;
    Ok(())
}

/// What waits to be published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    pub pending: u64,
    /// When the oldest of it was written.
    pub oldest: Option<UnixMs>,
}

pub async fn backlog(conn: &mut Connection) -> sqlx::Result<Backlog> {
    let row = sqlx::query("select count(*), min(created_at) from outbox where published_version is null")
        .fetch_one(conn)
        .await?;
    let oldest: Option<i64> = row.try_get(1)?;
    Ok(Backlog { pending: from_db(row.try_get(0)?), oldest: oldest.map(from_db) })
}

/// The rows that no publication has told yet.
pub async fn unpublished(conn: &mut Connection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("select seq from outbox where published_version is null").fetch_all(conn).await
}

/// All rows that this transaction sees.
pub async fn visible(conn: &mut Connection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("select seq from outbox").fetch_all(conn).await
}

/// Whether providers changed since base `base_id` (0 = there is no base).
pub async fn have_providers_changed(conn: &mut Connection, base_id: i64) -> sqlx::Result<bool> {
    let found: Option<i64> = sqlx::query_scalar(
        "select seq from outbox where token_id is null and project_id is null
         and (base_id is null or base_id <> $1) limit 1",
    )
    .bind(base_id)
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Marks exactly the rows whose changes version `version` told.
pub async fn mark_published(conn: &mut Connection, version: u64, seqs: &[i64]) -> sqlx::Result<()> {
    for seq in seqs {
        sqlx::query("update outbox set published_version = $1 where seq = $2 and published_version is null")
            .bind(to_db(version))
            .bind(seq)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Marks exactly the rows whose changes base `base_id` was compiled with.
pub async fn mark_included(conn: &mut Connection, base_id: i64, seqs: &[i64]) -> sqlx::Result<()> {
    for seq in seqs {
        sqlx::query("update outbox set base_id = $1 where seq = $2")
            .bind(base_id)
            .bind(seq)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Removes what was told and is part of base `base_id`, the current one.
pub async fn delete_told(conn: &mut Connection, base_id: i64) -> sqlx::Result<()> {
    sqlx::query("delete from outbox where base_id = $1 and published_version is not null")
        .bind(base_id)
        .execute(conn)
        .await?;
    Ok(())
}
