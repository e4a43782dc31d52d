//! The tables `usage_hourly` and `usage_daily`: sums of events. What is not
//! known is the id of zeros, or an empty text.

pub mod report;

use super::sql::bulk;
use super::{Connection, Error};
use serde_json::{Value, json};
use uuid::Uuid;

/// What is added up apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Hours or days since 1970.
    pub period: i64,
    pub project_id: Uuid,
    pub token_id: Uuid,
    pub provider: String,
    pub model: String,
    pub status: i64,
    pub completion: String,
}

/// What is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub requests: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_input_tokens: i64,
    pub reasoning_tokens: i64,
    /// Nano-dollars, of the requests whose cost is known.
    pub cost: i64,
    /// Requests whose cost is not known.
    pub unpriced: i64,
    /// Requests whose tokens were estimated.
    pub estimated: i64,
}

macro_rules! upsert {
    ($table:literal, $period:literal, $rows:literal, $id:literal) => {
        concat!(
            "insert into ", $table, " (", $period, ", project_id, token_id, provider, model, status, completion, \
             requests, bytes_in, bytes_out, input_tokens, output_tokens, cached_input_tokens, reasoning_tokens, \
             cost, unpriced, estimated) select cast(r.value ->> 0 as bigint), ",
            $id, "(r.value ->> 1), ", $id, "(r.value ->> 2), r.value ->> 3, r.value ->> 4, \
             cast(r.value ->> 5 as bigint), r.value ->> 6, cast(r.value ->> 7 as bigint), \
             cast(r.value ->> 8 as bigint), cast(r.value ->> 9 as bigint), cast(r.value ->> 10 as bigint), \
             cast(r.value ->> 11 as bigint), cast(r.value ->> 12 as bigint), cast(r.value ->> 13 as bigint), \
             cast(r.value ->> 14 as bigint), cast(r.value ->> 15 as bigint), cast(r.value ->> 16 as bigint) from ",
            $rows, " r where true on conflict (", $period, ", project_id, token_id, provider, model, status, \
             completion) do update set requests = ", $table, ".requests + excluded.requests, \
             bytes_in = ", $table, ".bytes_in + excluded.bytes_in, \
             bytes_out = ", $table, ".bytes_out + excluded.bytes_out, \
             input_tokens = ", $table, ".input_tokens + excluded.input_tokens, \
             output_tokens = ", $table, ".output_tokens + excluded.output_tokens, \
             cached_input_tokens = ", $table, ".cached_input_tokens + excluded.cached_input_tokens, \
             reasoning_tokens = ", $table, ".reasoning_tokens + excluded.reasoning_tokens, \
             cost = ", $table, ".cost + excluded.cost, \
             unpriced = ", $table, ".unpriced + excluded.unpriced, \
             estimated = ", $table, ".estimated + excluded.estimated"
        )
    };
}

macro_rules! hourly {
    ($rows:literal, $id:literal) => {
        upsert!("usage_hourly", "hour", $rows, $id)
    };
}

macro_rules! daily {
    ($rows:literal, $id:literal) => {
        upsert!("usage_daily", "day", $rows, $id)
    };
}

/// Adds; sorted by key, so that no two transactions wait for each other's rows.
pub async fn add_hourly<'a>(
    conn: &mut Connection,
    sums: impl IntoIterator<Item = (&'a Key, &'a Sums)>,
) -> Result<(), Error> {
    bulk!(hourly).bind(list(sums)).execute(conn).await.map(drop)
}

pub async fn add_daily<'a>(
    conn: &mut Connection,
    sums: impl IntoIterator<Item = (&'a Key, &'a Sums)>,
) -> Result<(), Error> {
    bulk!(daily).bind(list(sums)).execute(conn).await.map(drop)
}

fn list<'a>(sums: impl IntoIterator<Item = (&'a Key, &'a Sums)>) -> String {
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|(key, _)| *key);
    sums.into_iter().map(values).collect::<Value>().to_string()
}

/// In the order of the columns.
fn values((key, sums): (&Key, &Sums)) -> Value {
    let Key { period, project_id, token_id, provider, model, status, completion } = key;
    let Sums { requests, bytes_in, bytes_out, input_tokens, output_tokens, .. } = sums;
    let Sums { cached_input_tokens, reasoning_tokens, cost, unpriced, estimated, .. } = sums;
    json!([
        period,
        project_id.simple().to_string(),
        token_id.simple().to_string(),
        provider,
        model,
        status,
        completion,
        requests,
        bytes_in,
        bytes_out,
        input_tokens,
        output_tokens,
        cached_input_tokens,
        reasoning_tokens,
        cost,
        unpriced,
        estimated,
    ])
}
