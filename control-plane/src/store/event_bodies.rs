//! The table `event_bodies`: what projects have captured, apart from the events.

use super::sql::bulk;
use super::{Connection, Error};
use serde_json::{Value, json};
use sqlx::FromRow;
use uuid::Uuid;

#[derive(Clone, PartialEq, Eq, FromRow)]
pub struct BodyRow {
    pub event_id: Uuid,
    pub request: Option<String>,
    /// Only its beginning is there.
    pub request_is_cut: bool,
    pub response: Option<String>,
    pub response_is_cut: bool,
}

macro_rules! insert {
    ($rows:literal, $id:literal) => {
        concat!(
            "insert into event_bodies (event_id, request, request_is_cut, response, response_is_cut) select ",
            $id,
            "(r.value ->> 0), r.value ->> 1, cast(r.value ->> 2 as boolean), r.value ->> 3, \
             cast(r.value ->> 4 as boolean) from ",
            $rows,
            " r where true"
        )
    };
}

/// After the events themselves.
pub async fn insert(conn: &mut Connection, rows: &[BodyRow]) -> Result<(), Error> {
    let list = rows.iter().map(values).collect::<Value>();
    bulk!(insert).bind(list.to_string()).execute(conn).await.map(drop)
}

/// In the order of the columns.
fn values(row: &BodyRow) -> Value {
    let BodyRow { event_id, request, request_is_cut, response, response_is_cut } = row;
    json!([event_id.simple().to_string(), request, request_is_cut, response, response_is_cut])
}

macro_rules! of {
    ($rows:literal, $id:literal) => {
        concat!(
            "select event_id, request, request_is_cut, response, response_is_cut from event_bodies \
             where event_id in (select ",
            $id,
            "(r.value ->> 0) from ",
            $rows,
            " r)"
        )
    };
}

/// Of those events that have any, in no order.
pub async fn of(conn: &mut Connection, events: &[Uuid]) -> Result<Vec<BodyRow>, Error> {
    bulk!(of).bind(list(events)).fetch_all(conn).await
}

macro_rules! delete {
    ($rows:literal, $id:literal) => {
        concat!(
            "delete from event_bodies where event_id in (select ",
            $id,
            "(r.value ->> 0) from ",
            $rows,
            " r)"
        )
    };
}

pub async fn delete(conn: &mut Connection, events: &[Uuid]) -> Result<(), Error> {
    bulk!(delete).bind(list(events)).execute(conn).await.map(drop)
}

/// As rows of one field.
fn list(ids: &[Uuid]) -> String {
    ids.iter().map(|id| json!([id.simple().to_string()])).collect::<Value>().to_string()
}

/// Bodies are in no log.
impl std::fmt::Debug for BodyRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BodyRow({})", self.event_id)
    }
}

macro_rules! sizes {
    ($rows:literal, $id:literal) => {
        concat!(
            "select event_id, cast(coalesce(length(request), 0) + coalesce(length(response), 0) as bigint) \
             from event_bodies where event_id in (select ",
            $id,
            "(r.value ->> 0) from ",
            $rows,
            " r)"
        )
    };
}

/// How many characters there are of those events that have any, in no order.
pub async fn sizes(conn: &mut Connection, events: &[Uuid]) -> Result<Vec<(Uuid, i64)>, Error> {
    bulk!(sizes).bind(list(events)).fetch_all(conn).await
}
