//! The tables `events_set_aside` and `event_counters`.

use super::sql::query;
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, FromRow)]
pub struct SetAsideRow {
    pub id: Uuid,
    pub received_at: i64,
    pub reason: String,
    pub line: String,
}

/// Whether it was new: a line with this digest is here once.
pub async fn insert(conn: &mut Connection, row: &SetAsideRow, digest: &[u8]) -> Result<bool, Error> {
    let inserted = query(
        "insert into events_set_aside (id, digest, received_at, reason, line) values ($1, $2, $3, $4, $5) \
         on conflict do nothing",
    )
    .bind(row.id)
    .bind(digest)
    .bind(row.received_at)
    .bind(&row.reason)
    .bind(&row.line)
    .execute(conn)
    .await?;
    Ok(inserted == 1)
}

/// Newest first, made before `before`.
pub async fn list(conn: &mut Connection, before: Uuid, limit: i64) -> Result<Vec<SetAsideRow>, Error> {
    query(
        "select id, received_at, reason, line from events_set_aside where id < $1 order by id desc limit $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Keeps the newest `keep`.
pub async fn trim(conn: &mut Connection, keep: i64) -> Result<(), Error> {
    query(
        "delete from events_set_aside where id < \
         (select id from events_set_aside order by id desc limit 1 offset $1)",
    )
    .bind(keep - 1)
    .execute(conn)
    .await
    .map(drop)
}

/// Removes what names this token.
pub async fn erase(conn: &mut Connection, token_id: Uuid) -> Result<u64, Error> {
    query("delete from events_set_aside where line like $1").bind(format!("%{token_id}%")).execute(conn).await
}

/// `duplicates` or `set_aside`.
pub async fn count(conn: &mut Connection, name: &str, more: i64) -> Result<(), Error> {
    query("update event_counters set count = count + $2 where name = $1")
        .bind(name)
        .bind(more)
        .execute(conn)
        .await
        .map(drop)
}

pub async fn counted(conn: &mut Connection, name: &str) -> Result<i64, Error> {
    query("select count from event_counters where name = $1").bind(name).scalar(conn).await
}
