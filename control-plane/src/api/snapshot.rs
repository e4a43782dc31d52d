//! `/manage/snapshot`

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use crate::snapshot::{self, WhoPublishes};
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    /// The version that has, or will have, every change made so far.
    version: u64,
    published_version: u64,
    /// null = nothing has been published yet.
    #[schema(value_type = Option<String>, format = DateTime)]
    published_at: Option<Timestamp>,
    /// Changes that no published snapshot has.
    pending: u64,
    /// The age of the oldest of them, in milliseconds.
    lag_ms: u64,
    size_bytes: u64,
    tokens: u64,
    publisher: Publisher,
}

/// Which of the control planes over one database publishes. One that died counts
/// until its lease lapses.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Publisher {
    /// The one that answers.
    This,
    Another,
    None,
}

/// How far the snapshot is.
#[utoipa::path(get, path = "/manage/snapshot", tag = "snapshot", responses((status = 200, body = Status)))]
pub(super) async fn status(_: Manager, State(api): State<Api>) -> Result<Json<Status>> {
    let status = api.domain.snapshot.status().await;
    let message = "the state of the snapshot cannot be read; the log has more";
    Ok(Json(status.map_err(|error| ApiError::unavailable(message, error.to_string()))?.into()))
}

/// Publishes now, and answers when it is done.
#[utoipa::path(post, path = "/manage/snapshot/publish", tag = "snapshot",
    responses((status = 200, body = Status), (status = 503, description = "KV cannot be reached", body = ErrorBody)))]
pub(super) async fn publish(_: Manager, State(api): State<Api>) -> Result<Json<Status>> {
    let status = api.domain.snapshot.publish_now().await;
    let message =
        "the snapshot could not be published; the publisher goes on trying; see /readyz and the log";
    Ok(Json(status.map_err(|error| ApiError::unavailable(message, error.to_string()))?.into()))
}

impl From<snapshot::Status> for Status {
    fn from(status: snapshot::Status) -> Self {
        let snapshot::Status {
            version,
            published_version,
            published_at,
            pending,
            lag_ms,
            size_bytes,
            tokens,
            publisher,
        } = status;
        let published_at = published_at.map(Timestamp);
        let publisher = match publisher {
            WhoPublishes::This => Publisher::This,
            WhoPublishes::Another => Publisher::Another,
            WhoPublishes::Nobody => Publisher::None,
        };
        Self { version, published_version, published_at, pending, lag_ms, size_bytes, tokens, publisher }
    }
}
