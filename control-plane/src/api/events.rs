//! `/manage/events`

mod export;

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use super::extract::{Path, Query};
use super::list::{List, Paging};
use crate::domain::events as domain;
use crate::domain::page::PageRequest;
use crate::events::form::Event;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    project_id: Option<Uuid>,
    token_id: Option<Uuid>,
    /// What the client was answered.
    status: Option<u16>,
    /// As requested or as answered.
    model: Option<String>,
    /// Begun at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Begun before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// With the bodies that the project has captured; not as `csv`.
    bodies: Option<bool>,
    /// `jsonl` and `csv` answer everything that matches, without pages.
    #[param(inline)]
    format: Option<Format>,
    /// From 1 to 100; 20 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Jsonl,
    Csv,
}

/// An isolate that died before it could send what it had to tell; or that is on its way.
#[derive(Serialize, ToSchema)]
pub(super) struct Gap {
    isolate_id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    first_received_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_received_at: Timestamp,
    /// The isolate numbered its events up to this.
    max_seq: u64,
    received: u64,
    /// Events that it numbered and that did not come.
    missing: u64,
    /// Requests that were under way when it made the last event that came, if nothing has come for 15 minutes;
    /// else 0. Those that began later are not known.
    lost_in_flight: u64,
}

/// A line that was no event.
#[derive(Serialize, ToSchema)]
pub(super) struct SetAside {
    id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    received_at: Timestamp,
    reason: String,
    /// Its beginning.
    line: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// Taken in, not counted yet.
    waiting_batches: u64,
    /// When the oldest of them came.
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_waiting_at: Option<Timestamp>,
    /// Events that isolates numbered and that did not come; `/manage/events/gaps` says whose.
    missing: u64,
    /// Requests that were under way at isolates of which nothing has come for 15 minutes; `/manage/events/gaps`
    /// says at which.
    lost_in_flight: u64,
    /// Lines that were no events; `/manage/events/set-aside` shows the newest.
    set_aside: u64,
    /// Events that came again, and did not count again.
    duplicates: u64,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Erased {
    /// From how many events something was erased.
    erased_events: u64,
}

/// Events, newest first.
#[utoipa::path(get, path = "/manage/events", tag = "events", params(Filter),
    responses((status = 200, content((List<Event> = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Query(query): Query<Filter>,
) -> Result<Response> {
    let Filter { project_id, token_id, status, model, from, to, bodies, format, limit, cursor } = query;
    let (from, to) = (from.map(|Timestamp(at)| at), to.map(|Timestamp(at)| at));
    let with_bodies = bodies.unwrap_or_default();
    let filter = domain::Filter { project_id, token_id, status, model, from, to, with_bodies };
    let format = format.unwrap_or(Format::Json);
    if format != Format::Json && (limit.is_some() || cursor.is_some()) {
        return Err(ApiError::invalid("limit, cursor: an export has no pages; leave them out"));
    }
    if format == Format::Csv && with_bodies {
        return Err(ApiError::invalid("bodies: not as csv; ask for jsonl"));
    }
    match format {
        Format::Jsonl => Ok(export::json_lines(api.domain, filter)),
        Format::Csv => Ok(export::csv(api.domain, filter)),
        Format::Json => {
            let page = api.domain.list_events(&filter, &PageRequest { limit, cursor }).await?;
            Ok(Json(List::from(page, |listed| Event::new(listed, with_bodies))).into_response())
        }
    }
}

/// How far the counting is, and what is missing.
#[utoipa::path(get, path = "/manage/events/status", tag = "events", responses((status = 200, body = Status)))]
pub(super) async fn status(manager: Manager, State(api): State<Api>) -> Result<Json<Status>> {
    let domain::Status { backlog, lost, set_aside, duplicates } =
        api.domain.events_status(&api.ingest, manager.act().at).await?;
    Ok(Json(Status {
        waiting_batches: backlog.batches,
        oldest_waiting_at: backlog.oldest.map(Timestamp),
        missing: lost.missing,
        lost_in_flight: lost.in_flight,
        set_aside,
        duplicates,
    }))
}

/// Isolates of which events are missing, or that were lost with requests under way, newest first.
#[utoipa::path(get, path = "/manage/events/gaps", tag = "events", params(Paging),
    responses((status = 200, body = List<Gap>)))]
pub(super) async fn gaps(
    manager: Manager,
    State(api): State<Api>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<Gap>>> {
    Ok(Json(List::from(api.domain.list_gaps(&paging.into(), manager.act().at).await?, Gap::from)))
}

/// Lines that were no events, newest first; the newest 10,000 are kept.
#[utoipa::path(get, path = "/manage/events/set-aside", tag = "events", params(Paging),
    responses((status = 200, body = List<SetAside>)))]
pub(super) async fn set_aside(
    _: Manager,
    State(api): State<Api>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<SetAside>>> {
    Ok(Json(List::from(api.domain.list_set_aside(&paging.into()).await?, SetAside::from)))
}

/// Erases what the token and its events up to now hold of a person: the token's metadata, where its clients were,
/// and captured bodies. Amounts, costs and sums stay.
#[utoipa::path(delete, path = "/manage/tokens/{id}/events", tag = "events", params(("id" = Uuid, Path)),
    responses((status = 200, body = Erased), (status = 404, body = ErrorBody)))]
pub(super) async fn erase(
    manager: Manager,
    State(api): State<Api>,
    Path(token_id): Path<Uuid>,
) -> Result<Json<Erased>> {
    Ok(Json(Erased { erased_events: api.domain.erase_events(manager.act(), token_id).await? }))
}

impl From<domain::Gap> for Gap {
    fn from(gap: domain::Gap) -> Self {
        let domain::Gap { isolate_id, first_received_at, last_received_at, .. } = gap;
        let domain::Gap { max_seq, received, missing, lost_in_flight, .. } = gap;
        Self {
            isolate_id,
            first_received_at: Timestamp(first_received_at),
            last_received_at: Timestamp(last_received_at),
            max_seq,
            received,
            missing,
            lost_in_flight,
        }
    }
}

impl From<domain::SetAsideRow> for SetAside {
    fn from(row: domain::SetAsideRow) -> Self {
        let domain::SetAsideRow { id, received_at, reason, line } = row;
        Self { id, received_at: Timestamp(received_at.cast_unsigned()), reason, line }
    }
}
