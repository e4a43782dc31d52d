//! The outbox: changes that the edge must learn of, each written in the
//! transaction of the change. A row says only *what* changed; the publisher
//! reads how it is now, so a row can be told late or twice and still be right.
//!
//! No function asks for rows "after" a sequence number: on `PostgreSQL` numbers
//! become visible out of order, and a cursor would skip the late ones.

use super::sql::{query, query_each};
use super::{Connection, Error, from_db, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

pub async fn token_changed(conn: &mut Connection, token_id: Uuid, now: UnixMs) -> Result<(), Error> {
    insert(conn, Some(token_id), None, now).await
}

pub async fn project_changed(conn: &mut Connection, project_id: Uuid, now: UnixMs) -> Result<(), Error> {
    insert(conn, None, Some(project_id), now).await
}

pub async fn providers_changed(conn: &mut Connection, now: UnixMs) -> Result<(), Error> {
    insert(conn, None, None, now).await
}

async fn insert(
    conn: &mut Connection,
    token_id: Option<Uuid>,
    project_id: Option<Uuid>,
    now: UnixMs,
) -> Result<(), Error> {
    query("insert into outbox (token_id, project_id, created_at) values ($1, $2, $3)")
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

pub async fn backlog(conn: &mut Connection) -> Result<Backlog, Error> {
    let (pending, oldest): (i64, Option<i64>) =
        query("select count(*), min(created_at) from outbox where published_version is null")
            .fetch_one(conn)
            .await?;
    Ok(Backlog { pending: from_db(pending), oldest: oldest.map(from_db) })
}

/// The rows that no publication has told yet.
pub async fn unpublished(conn: &mut Connection) -> Result<Vec<i64>, Error> {
    query("select seq from outbox where published_version is null").scalars(conn).await
}

/// What one row says changed; with neither, it was providers.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct ChangeRow {
    pub token_id: Option<Uuid>,
    pub project_id: Option<Uuid>,
}

/// What no publication has told yet.
pub async fn unpublished_changes(conn: &mut Connection) -> Result<Vec<ChangeRow>, Error> {
    query("select token_id, project_id from outbox where published_version is null").fetch_all(conn).await
}

/// All rows that this transaction sees.
pub async fn visible(conn: &mut Connection) -> Result<Vec<i64>, Error> {
    query("select seq from outbox").scalars(conn).await
}

/// Whether providers changed since base `base_id` (0 = there is no base).
pub async fn have_providers_changed(conn: &mut Connection, base_id: i64) -> Result<bool, Error> {
    let found: Option<i64> = query(
        "select seq from outbox where token_id is null and project_id is null
         and (base_id is null or base_id <> $1) limit 1",
    )
    .bind(base_id)
    .scalar_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Marks exactly the rows whose changes version `version` told.
pub async fn mark_published(conn: &mut Connection, version: u64, seqs: &[i64]) -> Result<(), Error> {
    query_each(
        "update outbox set published_version = $1 \
         where seq in (select value from json_each($2)) and published_version is null",
        "update outbox set published_version = $1 \
         where seq in (select value::bigint from json_array_elements_text($2::json)) and published_version is null",
    )
    .bind(to_db(version))
    .bind(list(seqs))
    .execute(conn)
    .await
    .map(drop)
}

/// Marks exactly the rows whose changes base `base_id` was compiled with.
pub async fn mark_included(conn: &mut Connection, base_id: i64, seqs: &[i64]) -> Result<(), Error> {
    query_each(
        "update outbox set base_id = $1 where seq in (select value from json_each($2))",
        "update outbox set base_id = $1 \
         where seq in (select value::bigint from json_array_elements_text($2::json))",
    )
    .bind(base_id)
    .bind(list(seqs))
    .execute(conn)
    .await
    .map(drop)
}

/// Numbers as one value, a JSON array: one statement for thousands of rows.
fn list(seqs: &[i64]) -> String {
    let digits: Vec<String> = seqs.iter().map(i64::to_string).collect();
    format!("[{}]", digits.join(","))
}

/// Removes what was told and is part of base `base_id`, the current one.
pub async fn delete_told(conn: &mut Connection, base_id: i64) -> Result<(), Error> {
    query("delete from outbox where base_id = $1 and published_version is not null")
        .bind(base_id)
        .execute(conn)
        .await?;
    Ok(())
}
