//! The table `dead_letters`: events that a sink would never take. The event itself
//! is not copied: what is erased or too old is gone here too.

use super::sql::{query, query_each};
use super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct DeadLetterRow {
    pub id: Uuid,
    pub sink_id: Uuid,
    pub event_id: Uuid,
    pub reason: String,
    pub created_at: i64,
}

/// Unless the sink has one of this event.
pub async fn insert(conn: &mut Connection, row: &DeadLetterRow) -> Result<(), Error> {
    query(
        "insert into dead_letters (id, sink_id, event_id, reason, created_at) values ($1, $2, $3, $4, $5) \
         on conflict (sink_id, event_id) do nothing",
    )
    .bind(row.id)
    .bind(row.sink_id)
    .bind(row.event_id)
    .bind(&row.reason)
    .bind(row.created_at)
    .execute(conn)
    .await
    .map(drop)
}

/// Newest first, made before `before`; of one sink, or of all.
pub async fn list(
    conn: &mut Connection,
    sink_id: Option<Uuid>,
    before: Uuid,
    limit: i64,
) -> Result<Vec<DeadLetterRow>, Error> {
    let statement = match sink_id {
        Some(_) => query(
            "select id, sink_id, event_id, reason, created_at from dead_letters \
             where id < $1 and sink_id = $3 order by id desc limit $2",
        ),
        None => query(
            "select id, sink_id, event_id, reason, created_at from dead_letters \
             where id < $1 order by id desc limit $2",
        ),
    };
    let mut statement = statement.bind(before).bind(limit);
    if let Some(sink_id) = sink_id {
        statement = statement.bind(sink_id);
    }
    statement.fetch_all(conn).await
}

pub async fn get(conn: &mut Connection, id: Uuid) -> Result<Option<DeadLetterRow>, Error> {
    query("select id, sink_id, event_id, reason, created_at from dead_letters where id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// The reason why it was not taken the last time.
pub async fn refuse_again(conn: &mut Connection, id: Uuid, reason: &str) -> Result<(), Error> {
    query("update dead_letters set reason = $2 where id = $1")
        .bind(id)
        .bind(reason)
        .execute(conn)
        .await
        .map(drop)
}

/// Whether it was there.
pub async fn delete(conn: &mut Connection, id: Uuid) -> Result<bool, Error> {
    Ok(query("delete from dead_letters where id = $1").bind(id).execute(conn).await? == 1)
}

/// Removes up to `limit` of events with an id below this, and says how many.
pub async fn delete_of_events_below(conn: &mut Connection, below: Uuid, limit: i64) -> Result<u64, Error> {
    query_each(
        "delete from dead_letters where id in \
         (select id from dead_letters where event_id < $1 order by event_id limit $2)",
        "delete from dead_letters where id in \
         (select id from dead_letters where event_id < $1 order by event_id limit $2 for update skip locked)",
    )
    .bind(below)
    .bind(limit)
    .execute(conn)
    .await
}

pub async fn count(conn: &mut Connection, sink_id: Uuid) -> Result<i64, Error> {
    query("select count(*) from dead_letters where sink_id = $1").bind(sink_id).scalar(conn).await
}
