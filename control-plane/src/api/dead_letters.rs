//! `/manage/dead-letters`

use super::Api;
use super::auth::Manager;
use super::error::{ErrorBody, Result};
use super::extract::{Path, Query};
use super::list::List;
use crate::domain::dead_letters as domain;
use crate::domain::page::PageRequest;
use crate::events::form::Event;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    sink_id: Option<Uuid>,
    /// From 1 to 100; 20 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// An event that a sink would never take.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetter {
    id: Uuid,
    sink: SinkName,
    event_id: Uuid,
    /// Why it did not take it the last time.
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
struct SinkName {
    id: Uuid,
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetterWithEvent {
    #[serde(flatten)]
    dead_letter: DeadLetter,
    /// With what was captured; null if it is no longer kept.
    event: Option<Event>,
}

/// Events that sinks would never take, newest first. The event is not copied: what is erased of it or removed for its
/// age is gone here too. What was no event at all is at `/manage/events/set-aside`.
#[utoipa::path(get, path = "/manage/dead-letters", tag = "dead letters", params(Filter),
    responses((status = 200, body = List<DeadLetter>)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Query(query): Query<Filter>,
) -> Result<Json<List<DeadLetter>>> {
    let Filter { sink_id, limit, cursor } = query;
    let page = api.domain.list_dead_letters(sink_id, &PageRequest { limit, cursor }).await?;
    Ok(Json(List::from(page, DeadLetter::from)))
}

/// One of them, with its event.
#[utoipa::path(get, path = "/manage/dead-letters/{id}", tag = "dead letters", params(("id" = Uuid, Path)),
    responses((status = 200, body = DeadLetterWithEvent), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    _: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<DeadLetterWithEvent>> {
    let (dead_letter, listed) = api.domain.get_dead_letter(id).await?;
    let event = listed.map(|listed| {
        let with_bodies = listed.bodies.is_some();
        Event::new(listed, with_bodies)
    });
    Ok(Json(DeadLetterWithEvent { dead_letter: dead_letter.into(), event }))
}

/// Delivers the event to its sink now; then the dead letter is gone. It may take as long as the sink's deliveries,
/// but at most 20 seconds.
#[utoipa::path(post, path = "/manage/dead-letters/{id}/replay", tag = "dead letters", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Delivered"), (status = 404, body = ErrorBody),
        (status = 410, description = "The event is no longer kept", body = ErrorBody),
        (status = 502, description = "Refused again; the dead letter stays", body = ErrorBody),
        (status = 503, description = "The sink takes nothing now; the dead letter stays", body = ErrorBody)))]
pub(super) async fn replay(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    api.domain.replay_dead_letter(manager.act(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Discards it: its sink will not get this event.
#[utoipa::path(delete, path = "/manage/dead-letters/{id}", tag = "dead letters", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Discarded"), (status = 404, body = ErrorBody)))]
pub(super) async fn discard(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    api.domain.discard_dead_letter(manager.act(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<domain::DeadLetter> for DeadLetter {
    fn from(letter: domain::DeadLetter) -> Self {
        let domain::DeadLetter { id, sink_id, sink_name, event_id, reason, created_at } = letter;
        let sink = SinkName { id: sink_id, name: sink_name };
        Self { id, sink, event_id, reason, created_at: Timestamp(created_at) }
    }
}
