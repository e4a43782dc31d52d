//! The table `events`: one row an event, by id, and so by time.

use super::sql::{bulk, query, query_each};
use super::{Connection, Error, event_bodies};
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct EventRow {
    pub id: Uuid,
    pub isolate_id: Uuid,
    pub seq: i64,
    pub requests: i64,
    pub started_at: i64,
    pub first_byte_at: Option<i64>,
    pub ended_at: i64,
    pub project_id: Option<Uuid>,
    pub token_id: Option<Uuid>,
    pub provider: Option<String>,
    pub method: String,
    pub endpoint: String,
    pub model_requested: Option<String>,
    pub model: Option<String>,
    pub status: i64,
    pub error_code: Option<String>,
    /// JSON.
    pub attempts: String,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub cached_input_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub usage_source: String,
    pub completion: String,
    pub snapshot_version: Option<i64>,
    pub colo: Option<String>,
    pub country: Option<String>,
    /// Nano-dollars; `None`: the price is not known.
    pub cost: Option<i64>,
}

/// Which events a list shows.
#[derive(Clone, Debug)]
pub struct Filter {
    pub project_id: Option<Uuid>,
    pub token_id: Option<Uuid>,
    pub status: Option<i64>,
    /// As requested or as answered.
    pub model: Option<String>,
    /// Of the request's beginning.
    pub from: i64,
    pub to: i64,
    /// Ids outside of these need not be looked at.
    pub above: Uuid,
    pub below: Uuid,
}

macro_rules! columns {
    () => {
        "id, isolate_id, seq, requests, started_at, first_byte_at, ended_at, project_id, token_id, provider, method, \
         endpoint, model_requested, model, status, error_code, attempts, bytes_in, bytes_out, input_tokens, \
         output_tokens, cached_input_tokens, reasoning_tokens, usage_source, completion, snapshot_version, colo, \
         country, cost"
    };
}

macro_rules! insert {
    ($rows:literal, $id:literal) => {
        concat!(
            "insert into events (", columns!(), ", position) select ",
            $id, "(r.value ->> 0), ", $id, "(r.value ->> 1), cast(r.value ->> 2 as bigint), \
             cast(r.value ->> 3 as bigint), cast(r.value ->> 4 as bigint), cast(r.value ->> 5 as bigint), \
             cast(r.value ->> 6 as bigint), ",
            $id, "(r.value ->> 7), ", $id, "(r.value ->> 8), r.value ->> 9, r.value ->> 10, r.value ->> 11, \
             r.value ->> 12, r.value ->> 13, cast(r.value ->> 14 as bigint), r.value ->> 15, r.value ->> 16, \
             cast(r.value ->> 17 as bigint), cast(r.value ->> 18 as bigint), cast(r.value ->> 19 as bigint), \
             cast(r.value ->> 20 as bigint), cast(r.value ->> 21 as bigint), cast(r.value ->> 22 as bigint), \
             r.value ->> 23, r.value ->> 24, cast(r.value ->> 25 as bigint), r.value ->> 26, r.value ->> 27, \
             cast(r.value ->> 28 as bigint), cast(r.value ->> 29 as bigint) from ",
            $rows, " r where true"
        )
    };
}

/// With the next positions. Whoever else inserts waits until the transaction
/// ends, so that positions become visible in their order.
pub async fn insert(conn: &mut Connection, rows: &[EventRow]) -> Result<(), Error> {
    let length = i64::try_from(rows.len()).map_err(|error| Error::Encode(error.into()))?;
    let last: i64 =
        query("update event_counters set count = count + $1 where name = 'position' returning count")
            .bind(length)
            .scalar(&mut *conn)
            .await?;
    let rows = (last - length + 1..).zip(rows).map(|(position, row)| values(row, position));
    bulk!(insert).bind(rows.collect::<Value>().to_string()).execute(conn).await.map(drop)
}

/// The last position there is.
pub async fn last_position(conn: &mut Connection) -> Result<i64, Error> {
    query("select count from event_counters where name = 'position'").scalar(conn).await
}

#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct PositionedRow {
    pub position: i64,
    #[sqlx(flatten)]
    pub event: EventRow,
}

/// The next after a position, in their order.
pub async fn after(conn: &mut Connection, position: i64, limit: i64) -> Result<Vec<PositionedRow>, Error> {
    query(concat!(
        "select position, ",
        columns!(),
        " from events where position > $1 order by position limit $2"
    ))
    .bind(position)
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub async fn get(conn: &mut Connection, id: Uuid) -> Result<Option<EventRow>, Error> {
    query(concat!("select ", columns!(), " from events where id = $1")).bind(id).fetch_optional(conn).await
}

/// In the order of the columns.
fn values(row: &EventRow, position: i64) -> Value {
    let id = |id: Uuid| id.simple().to_string();
    json!([
        id(row.id),
        id(row.isolate_id),
        row.seq,
        row.requests,
        row.started_at,
        row.first_byte_at,
        row.ended_at,
        row.project_id.map(id),
        row.token_id.map(id),
        row.provider,
        row.method,
        row.endpoint,
        row.model_requested,
        row.model,
        row.status,
        row.error_code,
        row.attempts,
        row.bytes_in,
        row.bytes_out,
        row.input_tokens,
        row.output_tokens,
        row.cached_input_tokens,
        row.reasoning_tokens,
        row.usage_source,
        row.completion,
        row.snapshot_version,
        row.colo,
        row.country,
        row.cost,
        position,
    ])
}

macro_rules! list {
    ($of:literal) => {
        concat!(
            "select ",
            columns!(),
            " from events where id > $1 and id < $2 and started_at >= $3 and started_at < $4 \
             and ($5 < 0 or status = $5) and ($6 = '' or model = $6 or model_requested = $6)",
            $of,
            " order by id desc limit $7"
        )
    };
}

/// Newest first.
pub async fn list(conn: &mut Connection, filter: &Filter, limit: i64) -> Result<Vec<EventRow>, Error> {
    let Filter { project_id, token_id, status, model, from, to, above, below } = filter;
    let statement = match (token_id, project_id) {
        (Some(_), Some(_)) => query(list!(" and token_id = $8 and project_id = $9")),
        (Some(_), None) => query(list!(" and token_id = $8")),
        (None, Some(_)) => query(list!(" and project_id = $8")),
        (None, None) => query(list!("")),
    };
    let mut statement = statement
        .bind(*above)
        .bind(*below)
        .bind(*from)
        .bind(*to)
        .bind(status.unwrap_or(-1))
        .bind(model.as_deref().unwrap_or_default())
        .bind(limit);
    for id in [token_id, project_id].into_iter().flatten() {
        statement = statement.bind(*id);
    }
    statement.fetch_all(conn).await
}

/// Removes up to `limit` events, oldest first, and says how many.
pub async fn delete_below(conn: &mut Connection, below: Uuid, limit: i64) -> Result<u64, Error> {
    query_each(
        "delete from events where id in (select id from events where id < $1 order by id limit $2)",
        "delete from events where id in \
         (select id from events where id < $1 order by id limit $2 for update skip locked)",
    )
    .bind(below)
    .bind(limit)
    .execute(conn)
    .await
}

macro_rules! erase {
    ($rows:literal, $id:literal) => {
        concat!(
            "update events set colo = null, country = null where id in (select ",
            $id,
            "(r.value ->> 0) from ",
            $rows,
            " r)"
        )
    };
}

/// Removes what is known of a person from up to `limit` of the token's events,
/// and says how many these were.
pub async fn erase(conn: &mut Connection, token_id: Uuid, limit: i64) -> Result<u64, Error> {
    let ids: Vec<Uuid> = query(
        "select e.id from events e left join event_bodies b on b.event_id = e.id where e.token_id = $1 \
         and (e.colo is not null or e.country is not null or b.event_id is not null) order by e.id limit $2",
    )
    .bind(token_id)
    .bind(limit)
    .scalars(&mut *conn)
    .await?;
    let list = ids.iter().map(|id| json!([id.simple().to_string()])).collect::<Value>();
    // First the events, as when they are removed: so neither waits for the other.
    bulk!(erase).bind(list.to_string()).execute(&mut *conn).await?;
    event_bodies::delete(conn, &ids).await?;
    Ok(ids.len() as u64)
}
