//! `/manage/sinks`

use super::Api;
use super::auth::Manager;
use super::error::{ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::{List, Paging};
use crate::domain::sinks as domain;
use crate::secret::Secret;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Serialize, ToSchema)]
pub(super) struct Sink {
    id: Uuid,
    name: String,
    kind: String,
    #[schema(value_type = Object)]
    settings: Value,
    has_secret: bool,
    is_active: bool,
    batch_size: u64,
    timeout_seconds: u64,
    state: SinkState,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// How far the deliveries are.
#[derive(Serialize, ToSchema)]
struct SinkState {
    /// Counts events in the order in which they were counted. Everything up to here is delivered, a dead letter,
    /// or skipped.
    position: u64,
    /// Events that it has not had yet.
    lag_events: u64,
    /// Since the oldest of them ended.
    lag_seconds: u64,
    delivered: u64,
    /// Events that were removed for their age before it could have them.
    skipped: u64,
    /// Events that it would never take; `/manage/dead-letters` shows them.
    dead_letters: u64,
    /// Deliveries that failed since the last that did not.
    failures: u64,
    /// Why the last delivery failed; null if it did not.
    error: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    delivered_at: Option<Timestamp>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSink {
    /// 1 to 64 letters, digits, hyphens, dots or underscores; no other sink's.
    name: String,
    /// `file`, `webhook`, `lunary` or `helicone`.
    kind: String,
    /// What the kind asks for: `name`, `max_bytes`, `max_age_seconds` of a file; `url` of a webhook; `base_url` of
    /// the others. They are shown, so no secret belongs here.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// A webhook's key, 32 bytes in base64, or the other service's key; sealed on arrival and never shown again.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, write_only)]
    secret: Option<String>,
    #[serde(default = "yes")]
    is_active: bool,
    /// How many events a delivery has at most; what is usual for the kind unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    batch_size: Option<u64>,
    /// From 1 to 300: how long a delivery may take.
    #[serde(default = "half_a_minute")]
    timeout_seconds: u64,
}

/// What is given is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SinkPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// All of them. Where they lead to another host, `secret` must be given too.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, write_only)]
    secret: Option<String>,
    /// What it does not get while it is inactive it gets later, unless that is too old by then.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    is_active: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    batch_size: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    timeout_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Tested {
    is_delivered: bool,
    took_ms: u64,
    /// Why it was not.
    error: Option<String>,
}

/// Where events go besides the database, newest first.
#[utoipa::path(get, path = "/manage/sinks", tag = "sinks", params(Paging),
    responses((status = 200, body = List<Sink>)))]
pub(super) async fn list(
    manager: Manager,
    State(api): State<Api>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<Sink>>> {
    let page = api.domain.list_sinks(&paging.into(), manager.act().at).await?;
    Ok(Json(List::from(page, Sink::from)))
}

/// Adds a sink. It gets every event that is counted from now on, at least once.
#[utoipa::path(post, path = "/manage/sinks", tag = "sinks", request_body = NewSink,
    responses((status = 201, body = Sink),
        (status = 409, description = "The name is taken, or there are 32", body = ErrorBody)))]
pub(super) async fn create(
    manager: Manager,
    State(api): State<Api>,
    Body(new): Body<NewSink>,
) -> Result<(StatusCode, Json<Sink>)> {
    let sink = api.domain.create_sink(manager.act(), new.into()).await?;
    Ok((StatusCode::CREATED, Json(sink.into())))
}

/// One sink, and how far it is.
#[utoipa::path(get, path = "/manage/sinks/{id}", tag = "sinks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Sink), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Sink>> {
    Ok(Json(api.domain.get_sink(id, manager.act().at).await?.into()))
}

/// Changes a sink. It goes on after what it had, wherever that went.
#[utoipa::path(patch, path = "/manage/sinks/{id}", tag = "sinks", params(("id" = Uuid, Path)),
    request_body = SinkPatch,
    responses((status = 200, body = Sink), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn patch(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(patch): Body<SinkPatch>,
) -> Result<Json<Sink>> {
    Ok(Json(api.domain.patch_sink(manager.act(), id, patch.into()).await?.into()))
}

/// Deletes a sink and its dead letters.
#[utoipa::path(delete, path = "/manage/sinks/{id}", tag = "sinks", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    api.domain.delete_sink(manager.act(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Delivers a made-up event, of the endpoint `/latchkey/test`, and says what came of it. The sink's state does not
/// change. It may take as long as the sink's deliveries, but at most 20 seconds.
#[utoipa::path(post, path = "/manage/sinks/{id}/test", tag = "sinks", params(("id" = Uuid, Path)),
    responses((status = 200, body = Tested), (status = 404, body = ErrorBody)))]
pub(super) async fn test(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Tested>> {
    let domain::Tested { is_delivered, took_ms, error } = api.domain.test_sink(manager.act(), id).await?;
    Ok(Json(Tested { is_delivered, took_ms, error }))
}

fn yes() -> bool {
    true
}

fn half_a_minute() -> u64 {
    30
}

impl From<domain::Sink> for Sink {
    fn from(sink: domain::Sink) -> Self {
        Self {
            id: sink.id,
            name: sink.name,
            kind: sink.kind,
            settings: sink.settings,
            has_secret: sink.has_secret,
            is_active: sink.is_active,
            batch_size: sink.batch_size,
            timeout_seconds: sink.timeout_seconds,
            state: sink.state.into(),
            created_at: Timestamp(sink.created_at),
            updated_at: Timestamp(sink.updated_at),
        }
    }
}

impl From<domain::State> for SinkState {
    fn from(state: domain::State) -> Self {
        Self {
            position: state.position,
            lag_events: state.lag_events,
            lag_seconds: state.lag_seconds,
            delivered: state.delivered,
            skipped: state.skipped,
            dead_letters: state.dead_letters,
            failures: state.failures,
            error: state.error,
            failed_at: state.failed_at.map(Timestamp),
            delivered_at: state.delivered_at.map(Timestamp),
        }
    }
}

impl From<NewSink> for domain::NewSink {
    fn from(new: NewSink) -> Self {
        let NewSink { name, kind, settings, secret, is_active, batch_size, timeout_seconds } = new;
        let secret = secret.map(Secret::from);
        Self { name, kind, settings, secret, is_active, batch_size, timeout_seconds }
    }
}

impl From<SinkPatch> for domain::SinkPatch {
    fn from(patch: SinkPatch) -> Self {
        let SinkPatch { name, settings, secret, is_active, batch_size, timeout_seconds } = patch;
        let secret = secret.map(Secret::from);
        Self { name, settings, secret, is_active, batch_size, timeout_seconds }
    }
}
