//! The table `event_ledger`: which events were counted.

use super::sql::query_each;
use super::{Connection, Error};
use serde_json::Value;
use uuid::Uuid;

/// Notes `ids`, and returns those that were new. Sorted, so that no two
/// transactions wait for each other's.
pub async fn insert(conn: &mut Connection, ids: &[Uuid], day: i64) -> Result<Vec<Uuid>, Error> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let list = ids.iter().map(|id| id.simple().to_string()).collect::<Value>();
    query_each(
        "insert into event_ledger (id, day) select unhex(value), $2 from json_each($1) where true \
         on conflict (id) do nothing returning id",
        "insert into event_ledger (id, day) select value::uuid, $2 from json_array_elements_text($1::json) \
         on conflict (id) do nothing returning id",
    )
    .bind(list.to_string())
    .bind(day)
    .scalars(conn)
    .await
}

/// Forgets up to `limit` that were counted before `day`, and says how many.
pub async fn delete_before(conn: &mut Connection, day: i64, limit: i64) -> Result<u64, Error> {
    query_each(
        "delete from event_ledger where id in (select id from event_ledger where day < $1 limit $2)",
        "delete from event_ledger where id in \
         (select id from event_ledger where day < $1 limit $2 for update skip locked)",
    )
    .bind(day)
    .bind(limit)
    .execute(conn)
    .await
}
