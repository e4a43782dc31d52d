//! The table `token_usage`: how much and when last each token was used.

use super::sql::{bulk, query};
use super::{Connection, Error, to_db};
use serde_json::{Value, json};
use shared::id::UnixMs;
use sqlx::FromRow;
use uuid::Uuid;

macro_rules! upsert {
    ($rows:literal, $id:literal) => {
        concat!(
            "insert into token_usage (token_id, request_count, last_used_at) select ",
            $id,
            "(r.value ->> 0), cast(r.value ->> 1 as bigint), cast(r.value ->> 2 as bigint) from ",
            $rows,
            " r where true on conflict (token_id) do update set \
             request_count = token_usage.request_count + excluded.request_count, \
             last_used_at = case when excluded.last_used_at > token_usage.last_used_at \
             then excluded.last_used_at else token_usage.last_used_at end"
        )
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct UseRow {
    pub token_id: Uuid,
    pub request_count: i64,
    pub last_used_at: i64,
}

/// Adds to each; sorted by token, so that no two transactions wait for each other's.
pub async fn add(conn: &mut Connection, rows: &[UseRow]) -> Result<(), Error> {
    let mut rows = rows.to_vec();
    rows.sort_unstable_by_key(|row| row.token_id);
    let list = rows
        .iter()
        .map(|row| json!([row.token_id.simple().to_string(), row.request_count, row.last_used_at]))
        .collect::<Value>();
    bulk!(upsert).bind(list.to_string()).execute(conn).await.map(drop)
}

/// From now on what is known of a person from the token's events that began
/// before `before` is not kept.
pub async fn erase_before(conn: &mut Connection, token_id: Uuid, before: UnixMs) -> Result<(), Error> {
    query(
        "insert into token_usage (token_id, request_count, last_used_at, erased_before) values ($1, 0, 0, $2) \
         on conflict (token_id) do update set erased_before = excluded.erased_before",
    )
    .bind(token_id)
    .bind(to_db(before))
    .execute(conn)
    .await
    .map(drop)
}

/// Tokens of which events were erased, and up to when.
pub async fn erased(conn: &mut Connection) -> Result<Vec<(Uuid, i64)>, Error> {
    query("select token_id, erased_before from token_usage where erased_before > 0").fetch_all(conn).await
}
