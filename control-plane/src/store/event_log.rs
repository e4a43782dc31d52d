//! The tables `event_log`, `event_consumers` and `event_deliveries`.

use super::sql::{query, query_each};
use super::{Connection, Error, to_db};
use shared::id::UnixMs;
use sqlx::FromRow;

#[derive(Clone, Debug, FromRow)]
pub struct BatchRow {
    pub position: i64,
    pub received_at: i64,
    pub lines: Vec<u8>,
    pub attempts: i64,
}

/// What a consumer is not done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRow)]
pub struct Waiting {
    pub batches: i64,
    /// When the oldest came.
    pub oldest: Option<i64>,
}

/// Of what is taken at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub batches: u32,
    /// With the first batch beyond it.
    pub bytes: u32,
}

macro_rules! take {
    ($length:literal, $lock:literal) => {
        concat!(
            "update event_deliveries set taken_until = $4, attempts = attempts + 1 where consumer = $1 and position in \
             (select position from (select position, sum(length) over (order by position) - length as before from \
             (select d.position, ",
            $length,
            "(l.lines) as length from event_deliveries d join event_log l on l.position = d.position \
             where d.consumer = $1 and d.taken_until <= $3 order by d.position limit $2",
            $lock,
            ") oldest) summed where before < $5) returning position"
        )
    };
}

/// Keeps a batch for every consumer there is.
pub async fn append(conn: &mut Connection, lines: &[u8], received_at: UnixMs) -> Result<(), Error> {
    let position: i64 =
        query("insert into event_log (received_at, lines) values ($1, $2) returning position")
            .bind(to_db(received_at))
            .bind(lines)
            .scalar(&mut *conn)
            .await?;
    query(
        "insert into event_deliveries (consumer, position, taken_until, attempts) \
         select name, $1, 0, 0 from event_consumers",
    )
    .bind(position)
    .execute(conn)
    .await
    .map(drop)
}

/// Takes the oldest batches that are in nobody's hands, until `until`.
pub async fn take(
    conn: &mut Connection,
    consumer: &str,
    limits: Limits,
    now: UnixMs,
    until: UnixMs,
) -> Result<Vec<BatchRow>, Error> {
    let taken: Vec<i64> =
        query_each(take!("length", ""), take!("octet_length", " for update of d skip locked"))
            .bind(consumer)
            .bind(i64::from(limits.batches))
            .bind(to_db(now))
            .bind(to_db(until))
            .bind(i64::from(limits.bytes))
            .scalars(&mut *conn)
            .await?;
    if taken.is_empty() {
        return Ok(Vec::new());
    }
    query_each(
        "select l.position, l.received_at, l.lines, d.attempts from event_log l \
         join event_deliveries d on d.position = l.position and d.consumer = $2 \
         where l.position in (select value from json_each($1)) order by l.position",
        "select l.position, l.received_at, l.lines, d.attempts from event_log l \
         join event_deliveries d on d.position = l.position and d.consumer = $2 \
         where l.position in (select value::bigint from json_array_elements_text($1::json)) order by l.position",
    )
    .bind(list(&taken))
    .bind(consumer)
    .fetch_all(conn)
    .await
}

/// The consumer is done with these; a batch that nobody waits for any more goes.
pub async fn acknowledge(conn: &mut Connection, consumer: &str, positions: &[i64]) -> Result<(), Error> {
    query_each(
        "delete from event_deliveries where consumer = $1 and position in (select value from json_each($2))",
        "delete from event_deliveries where consumer = $1 and position in \
         (select value::bigint from json_array_elements_text($2::json))",
    )
    .bind(consumer)
    .bind(list(positions))
    .execute(&mut *conn)
    .await?;
    query_each(
        "delete from event_log where position in (select value from json_each($1)) and not exists \
         (select 1 from event_deliveries d where d.position = event_log.position)",
        "delete from event_log where position in (select value::bigint from json_array_elements_text($1::json)) \
         and not exists (select 1 from event_deliveries d where d.position = event_log.position)",
    )
    .bind(list(positions))
    .execute(conn)
    .await
    .map(drop)
}

/// Removes batches that nobody waits for: two consumers that were done with one
/// at the same moment each saw the other's delivery.
pub async fn sweep(conn: &mut Connection, received_before: UnixMs) -> Result<(), Error> {
    query(
        "delete from event_log where received_at < $1 and not exists \
         (select 1 from event_deliveries d where d.position = event_log.position)",
    )
    .bind(to_db(received_before))
    .execute(conn)
    .await
    .map(drop)
}

pub async fn is_waiting(conn: &mut Connection, consumer: &str) -> Result<bool, Error> {
    query("select exists (select 1 from event_deliveries where consumer = $1)")
        .bind(consumer)
        .scalar(conn)
        .await
}

pub async fn waiting(conn: &mut Connection, consumer: &str) -> Result<Waiting, Error> {
    query(
        "select count(*) as batches, min(l.received_at) as oldest from event_deliveries d \
         join event_log l on l.position = d.position where d.consumer = $1",
    )
    .bind(consumer)
    .fetch_one(conn)
    .await
}

fn list(positions: &[i64]) -> String {
    let digits: Vec<String> = positions.iter().map(i64::to_string).collect();
    format!("[{}]", digits.join(","))
}
