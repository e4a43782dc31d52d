//! `/edge/events`: what the edge sends, in signed calls.

use super::Api;
use super::error::{ApiError, ErrorBody};
use crate::clock;
use crate::events::ingest::{IngestError, MAX_BATCH, Taken};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shared::header::{CALL_NONCE, CALL_SIGNATURE, CALL_TIME};
use shared::signed_call::Call;
use utoipa::ToSchema;

/// How a batch is refused. The server's time goes with it: a sender whose clock
/// is off signs anew with that.
type Refusal = ([(&'static str, String); 1], ApiError);

#[derive(Serialize, ToSchema)]
pub(super) struct Answer {
    /// Lines that are events; those that came before do not count again.
    accepted: u64,
    /// Lines that are none; `/manage/events/set-aside` shows them.
    set_aside: u64,
}

/// A call that says that the edge signed it, not yet verified.
pub(super) struct SignedCall {
    time: u64,
    nonce: String,
    signature: String,
    path: String,
    body: Bytes,
}

/// Takes events from the edge, one JSON object a line; answers once they are kept durably.
#[utoipa::path(post, path = "/edge/events", tag = "edge", security(("edge_signature" = [])),
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 200, body = Answer),
        (status = 401, description = "Not signed, or at another time: `x-latchkey-time` tells the server's", body = ErrorBody),
        (status = 409, description = "The nonce was used; sign anew", body = ErrorBody),
        (status = 413, description = "More than 16 MB", body = ErrorBody),
        (status = 503, description = "Not kept; send it again", body = ErrorBody)))]
pub(super) async fn events(State(api): State<Api>, call: SignedCall) -> Result<Json<Answer>, Refusal> {
    let now = clock::now();
    let SignedCall { time, nonce, signature, path, body } = &call;
    let call = Call { time: *time, nonce, method: "POST", path, body };
    let taken = api.ingest.take(&call, signature, now).await;
    let Taken { accepted, set_aside } = taken.map_err(|error| refusal(error.into()))?;
    Ok(Json(Answer { accepted, set_aside }))
}

impl<S: Send + Sync> FromRequest<S> for SignedCall {
    type Rejection = Refusal;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Refusal> {
        let headers = request.headers();
        let read = |name| text(headers, name).map(str::to_owned);
        let time = text(headers, CALL_TIME).and_then(|time| time.parse().ok());
        let (Some(time), Some(nonce), Some(signature)) = (time, read(CALL_NONCE), read(CALL_SIGNATURE))
        else {
            return Err(refusal(unsigned("this call is for the edge, which signs it")));
        };
        let kind = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/x-ndjson") {
            let message = "the body must be JSON lines, with `Content-Type: application/x-ndjson`";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return Err(refusal(ApiError::new(status, "unsupported_media_type", message)));
        }
        // By what it declares, before any of it is read, and again while it is.
        let declared = text(headers, header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        if declared.is_some_and(|length: usize| length > MAX_BATCH) {
            return Err(refusal(too_large()));
        }
        let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
        DefaultBodyLimit::max(MAX_BATCH).apply(&mut request);
        let body = Bytes::from_request(request, state).await.map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => refusal(too_large()),
            _ => refusal(ApiError::invalid("the body did not arrive whole")),
        })?;
        Ok(Self { time, nonce, signature, path, body })
    }
}

/// The value of a header that is there once.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()
}

fn refusal(error: ApiError) -> Refusal {
    ([(CALL_TIME, (clock::now() / 1000).to_string())], error)
}

fn unsigned(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
}

fn too_large() -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the batch is larger than 16 MB")
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let message = error.to_string();
        match error {
            IngestError::Call(_) => unsigned(message),
            IngestError::Replayed => Self::new(StatusCode::CONFLICT, "conflict", message),
            IngestError::Log(_) => Self::unavailable("the batch was not kept; send it again", message),
        }
    }
}
