//! Reads the sums, grouped.
//!
//! Rows lie by time, project, token, provider, model. A text that groups by
//! these very columns, in this order, is answered as it is read, without sorting
//! and a page at a time; hence a text for each choice of them.

use super::super::sql::{Query, query};
use super::super::{Connection, Error};
use sqlx::FromRow;
use uuid::Uuid;

/// One group. What is not grouped by is 0, the id of zeros, or an empty text.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct GroupRow {
    /// Hours or days since 1970.
    pub period: i64,
    pub project_id: Uuid,
    pub token_id: Uuid,
    pub provider: String,
    pub model: String,
    pub requests: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_input_tokens: i64,
    pub reasoning_tokens: i64,
    pub cost: i64,
    pub unpriced: i64,
    pub estimated: i64,
}

/// What groups are made by, besides time. A token's project goes with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each says whether to group by one column")]
pub struct By {
    pub project: bool,
    pub token: bool,
    pub provider: bool,
    pub model: bool,
}

/// Which sums are meant; the id of zeros means any.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    pub project_id: Uuid,
    pub token_id: Uuid,
}

/// Where to read on: after this group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct After {
    pub period: i64,
    pub project_id: Uuid,
    pub token_id: Uuid,
    pub provider: String,
    pub model: String,
}

macro_rules! sums {
    () => {
        "cast(sum(requests) as bigint) as requests, cast(sum(bytes_in) as bigint) as bytes_in, \
         cast(sum(bytes_out) as bigint) as bytes_out, cast(sum(input_tokens) as bigint) as input_tokens, \
         cast(sum(output_tokens) as bigint) as output_tokens, \
         cast(sum(cached_input_tokens) as bigint) as cached_input_tokens, \
         cast(sum(reasoning_tokens) as bigint) as reasoning_tokens, cast(sum(cost) as bigint) as cost, \
         cast(sum(unpriced) as bigint) as unpriced, cast(sum(estimated) as bigint) as estimated"
    };
}

/// Each column comes as what is selected and what is grouped by. `$10` stands
/// for an id that is not grouped by.
macro_rules! grouped {
    ([$table:literal $period:literal]
     [$project:literal $by_project:literal $token:literal $by_token:literal
      $provider:literal $by_provider:literal $model:literal $by_model:literal]) => {
        concat!(
            "select ",
            $period,
            " as period, ",
            $project,
            " as project_id, ",
            $token,
            " as token_id, ",
            $provider,
            " as provider, ",
            $model,
            " as model, ",
            sums!(),
            " from ",
            $table,
            " where ",
            $period,
            " >= $1 and ",
            $period,
            " < $2 \
             and ($3 = $10 or project_id = $3) and ($4 = $10 or token_id = $4) \
             and (",
            $period,
            ", ",
            $project,
            ", ",
            $token,
            ", ",
            $provider,
            ", ",
            $model,
            ") > ($5, $6, $7, $8, $9) group by ",
            $period,
            $by_project,
            $by_token,
            $by_provider,
            $by_model,
            " order by ",
            $period,
            $by_project,
            $by_token,
            $by_provider,
            $by_model,
            " limit $11"
        )
    };
}

/// Chooses, one after the other, whether to group by each column.
macro_rules! choose {
    ($table:tt $chosen:tt) => {
        grouped!($table $chosen)
    };
    ($table:tt [$($chosen:literal)*] ($flag:expr, $column:literal, $by:literal, $none:literal) $($rest:tt)*) => {
        if $flag {
            choose!($table [$($chosen)* $column $by] $($rest)*)
        } else {
            choose!($table [$($chosen)* $none ""] $($rest)*)
        }
    };
}

macro_rules! text {
    ($table:literal, $period:literal, $by:expr) => {
        choose!([$table $period] []
            ($by.project || $by.token, "project_id", ", project_id", "$10")
            ($by.token, "token_id", ", token_id", "$10")
            ($by.provider, "provider", ", provider", "''")
            ($by.model, "model", ", model", "''"))
    };
}

/// By hour, those from `from` to before `to`.
pub async fn hourly(
    conn: &mut Connection,
    (from, to): (i64, i64),
    by: By,
    filter: Filter,
    after: &After,
    limit: i64,
) -> Result<Vec<GroupRow>, Error> {
    let statement = query(text!("usage_hourly", "hour", by)).bind(from).bind(to);
    bound(statement, filter, after).bind(limit).fetch_all(conn).await
}

/// By day, those from `from` to before `to`.
pub async fn daily(
    conn: &mut Connection,
    (from, to): (i64, i64),
    by: By,
    filter: Filter,
    after: &After,
    limit: i64,
) -> Result<Vec<GroupRow>, Error> {
    let statement = query(text!("usage_daily", "day", by)).bind(from).bind(to);
    bound(statement, filter, after).bind(limit).fetch_all(conn).await
}

/// The range of a sum over time: whole days, and the hours before and after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub days: (i64, i64),
    pub hours_before: (i64, i64),
    pub hours_after: (i64, i64),
}

/// Whatever the time.
pub async fn total(
    conn: &mut Connection,
    span: Span,
    by: By,
    filter: Filter,
    after: &After,
    limit: i64,
) -> Result<Vec<GroupRow>, Error> {
    let statement = query(concat!(
        "select cast(0 as bigint) as period, project_id, token_id, provider, model, ",
        sums!(),
        " from (select case when $12 then project_id else $10 end as project_id, \
         case when $13 then token_id else $10 end as token_id, case when $14 then provider else '' end as provider, \
         case when $15 then model else '' end as model, requests, bytes_in, bytes_out, input_tokens, output_tokens, \
         cached_input_tokens, reasoning_tokens, cost, unpriced, estimated from (\
         select project_id, token_id, provider, model, requests, bytes_in, bytes_out, input_tokens, \
         output_tokens, cached_input_tokens, reasoning_tokens, cost, unpriced, estimated from usage_daily \
         where day >= $1 and day < $2 union all \
         select project_id, token_id, provider, model, requests, bytes_in, bytes_out, input_tokens, \
         output_tokens, cached_input_tokens, reasoning_tokens, cost, unpriced, estimated from usage_hourly \
         where hour >= $16 and hour < $17 union all \
         select project_id, token_id, provider, model, requests, bytes_in, bytes_out, input_tokens, \
         output_tokens, cached_input_tokens, reasoning_tokens, cost, unpriced, estimated from usage_hourly \
         where hour >= $18 and hour < $19) t \
         where ($3 = $10 or project_id = $3) and ($4 = $10 or token_id = $4)) g \
         where $5 < 0 or (project_id, token_id, provider, model) > ($6, $7, $8, $9) \
         group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5 limit $11",
    ));
    let Span { days, hours_before, hours_after } = span;
    bound(statement.bind(days.0).bind(days.1), filter, after)
        .bind(limit)
        .bind(by.project || by.token)
        .bind(by.token)
        .bind(by.provider)
        .bind(by.model)
        .bind(hours_before.0)
        .bind(hours_before.1)
        .bind(hours_after.0)
        .bind(hours_after.1)
        .fetch_all(conn)
        .await
}

/// `$3` to `$10`.
fn bound(statement: Query, filter: Filter, after: &After) -> Query {
    statement
        .bind(filter.project_id)
        .bind(filter.token_id)
        .bind(after.period)
        .bind(after.project_id)
        .bind(after.token_id)
        .bind(&after.provider)
        .bind(&after.model)
        .bind(Uuid::nil())
}
