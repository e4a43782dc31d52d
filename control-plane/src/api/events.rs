//! `/manage/events`

mod export;

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use super::extract::{Path, Query};
use super::list::{List, Paging};
use crate::domain::events as domain;
use crate::domain::page::PageRequest;
use crate::money::NanoDollars;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// One request, whatever its end.
#[derive(Serialize, ToSchema)]
pub(super) struct Event {
    /// The request's, as its answer had it in `x-latchkey-request-id`.
    id: Uuid,
    isolate_id: Uuid,
    seq: i64,
    /// How many requests it stands for: more than one only where they were refused
    /// before it was known whose they are.
    requests: i64,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    first_byte_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    ended_at: Timestamp,
    project_id: Option<Uuid>,
    token_id: Option<Uuid>,
    provider: Option<String>,
    method: String,
    endpoint: String,
    model_requested: Option<String>,
    /// As the provider answered.
    model: Option<String>,
    status: i64,
    error_code: Option<String>,
    /// Calls of an upstream.
    #[schema(value_type = Vec<Object>)]
    attempts: Value,
    bytes_in: i64,
    bytes_out: i64,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_input_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    /// `reported`, `estimated` or `none`.
    usage_source: String,
    /// `complete`, `truncated`, `aborted` or `refused`.
    completion: String,
    snapshot_version: Option<i64>,
    colo: Option<String>,
    country: Option<String>,
    /// US dollars, exact; null when the price is not known.
    #[schema(example = "0.0123")]
    cost_usd: Option<String>,
    /// There only if asked for.
    #[serde(flatten)]
    bodies: Option<Bodies>,
}

/// As they passed, but for what was redacted; null where they were not captured.
#[derive(Serialize, ToSchema)]
pub(super) struct Bodies {
    request_body: Option<String>,
    /// Only its beginning is there.
    request_body_cut: bool,
    response_body: Option<String>,
    response_body_cut: bool,
}

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

impl Event {
    fn new(listed: domain::Listed, with_bodies: bool) -> Self {
        let domain::Listed { event: row, bodies } = listed;
        let at = |at: i64| Timestamp(at.cast_unsigned());
        Self {
            id: row.id,
            isolate_id: row.isolate_id,
            seq: row.seq,
            requests: row.requests,
            started_at: at(row.started_at),
            first_byte_at: row.first_byte_at.map(at),
            ended_at: at(row.ended_at),
            project_id: row.project_id,
            token_id: row.token_id,
            provider: row.provider,
            method: row.method,
            endpoint: row.endpoint,
            model_requested: row.model_requested,
            model: row.model,
            status: row.status,
            error_code: row.error_code,
            attempts: serde_json::from_str(&row.attempts).unwrap_or_default(),
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cached_input_tokens: row.cached_input_tokens,
            reasoning_tokens: row.reasoning_tokens,
            usage_source: row.usage_source,
            completion: row.completion,
            snapshot_version: row.snapshot_version,
            colo: row.colo,
            country: row.country,
            cost_usd: row.cost.map(|cost| NanoDollars(cost).to_string()),
            bodies: with_bodies.then(|| bodies.into()),
        }
    }
}

impl From<Option<domain::BodyRow>> for Bodies {
    fn from(row: Option<domain::BodyRow>) -> Self {
        let (request, response) = match row {
            Some(row) => ((row.request, row.request_is_cut), (row.response, row.response_is_cut)),
            None => Default::default(),
        };
        Self {
            request_body: request.0,
            request_body_cut: request.1,
            response_body: response.0,
            response_body_cut: response.1,
        }
    }
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
