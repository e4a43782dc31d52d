//! The table `event_isolates`: what came of each isolate, and so what did not.

use super::sql::{bulk, query};
use super::{Connection, Error, to_db};
use serde_json::{Value, json};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

macro_rules! upsert {
    ($rows:literal, $id:literal) => {
        concat!(
            "insert into event_isolates (isolate_id, first_received_at, last_received_at, max_seq, received, in_flight) select ",
            $id,
            "(r.value ->> 0), cast(r.value ->> 1 as bigint), cast(r.value ->> 2 as bigint), \
             cast(r.value ->> 3 as bigint), cast(r.value ->> 4 as bigint), cast(r.value ->> 5 as bigint) from ",
            $rows,
            " r where true on conflict (isolate_id) do update set \
             in_flight = case when excluded.max_seq > event_isolates.max_seq \
             then excluded.in_flight else event_isolates.in_flight end, \
             last_received_at = case when excluded.last_received_at > event_isolates.last_received_at \
             then excluded.last_received_at else event_isolates.last_received_at end, \
             max_seq = case when excluded.max_seq > event_isolates.max_seq \
             then excluded.max_seq else event_isolates.max_seq end, \
             received = event_isolates.received + excluded.received"
        )
    };
}

/// What came of one isolate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct IsolateRow {
    pub isolate_id: Uuid,
    pub first_received_at: i64,
    pub last_received_at: i64,
    /// Of its events, numbered from 1.
    pub max_seq: i64,
    /// How many different ones came.
    pub received: i64,
    /// Requests under way when it made the highest-numbered one.
    pub in_flight: i64,
}

/// Adds to what is known of each; sorted by isolate, so that no two transactions
/// wait for each other's.
pub async fn add(conn: &mut Connection, rows: &[IsolateRow]) -> Result<(), Error> {
    let mut rows = rows.to_vec();
    rows.sort_unstable_by_key(|row| row.isolate_id);
    let list = rows
        .iter()
        .map(|row| {
            let IsolateRow { isolate_id, first_received_at, last_received_at, max_seq, received, in_flight } =
                row;
            let id = isolate_id.simple().to_string();
            json!([id, first_received_at, last_received_at, max_seq, received, in_flight])
        })
        .collect::<Value>();
    bulk!(upsert).bind(list.to_string()).execute(conn).await.map(drop)
}

/// Those of which events are missing, or that have been silent since `silent_since`
/// and had requests under way; newest first, made before `before`.
pub async fn with_gap(
    conn: &mut Connection,
    before: Uuid,
    silent_since: UnixMs,
    limit: i64,
) -> Result<Vec<IsolateRow>, Error> {
    query(
        "select isolate_id, first_received_at, last_received_at, max_seq, received, in_flight from event_isolates \
         where max_seq > received and isolate_id < $1 \
         union \
         select isolate_id, first_received_at, last_received_at, max_seq, received, in_flight from event_isolates \
         where in_flight > 0 and last_received_at < $2 and isolate_id < $1 \
         order by isolate_id desc limit $3",
    )
    .bind(before)
    .bind(to_db(silent_since))
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// How many events are missing in all.
pub async fn missing(conn: &mut Connection) -> Result<i64, Error> {
    query(
        "select cast(coalesce(sum(max_seq - received), 0) as bigint) from event_isolates where max_seq > received",
    )
    .scalar(conn)
    .await
}

/// How many requests were under way at isolates that have been silent since `silent_since`.
pub async fn in_flight(conn: &mut Connection, silent_since: UnixMs) -> Result<i64, Error> {
    query(
        "select cast(coalesce(sum(in_flight), 0) as bigint) from event_isolates \
         where in_flight > 0 and last_received_at < $1",
    )
    .bind(to_db(silent_since))
    .scalar(conn)
    .await
}

/// Forgets those that have been silent since `before`.
pub async fn delete_before(conn: &mut Connection, before: UnixMs) -> Result<(), Error> {
    query("delete from event_isolates where last_received_at < $1")
        .bind(to_db(before))
        .execute(conn)
        .await
        .map(drop)
}
