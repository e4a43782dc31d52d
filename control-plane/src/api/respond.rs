//! Around every request: its id, its time limit, its log line, its numbers, and the one
//! place that makes an error response.

use super::error::ApiError;
use super::trace;
use crate::metrics::HttpMetrics;
use crate::{chance, clock};
use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::{id, token};
use std::time::Duration;
use tracing::Instrument;
use uuid::Uuid;

/// Longer than anything here takes; a body that trickles in ends with it.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What is unavailable is tried again this soon; most failures are over by then, or last.
const RETRY_AFTER_SECS: u16 = 5;

/// The id under which the log has a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(pub Uuid);

pub(super) async fn respond(
    State(metrics): State<HttpMetrics>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let timed = metrics.begin(request.method().as_str(), route);
    let started = clock::start();
    let id = id::new(clock::now(), &chance::bytes().unwrap_or_default());
    let method = request.method().clone();
    let path = loggable(request.uri().path());
    let span = tracing::info_span!("request", %id);
    let traced = span.in_scope(|| trace::begin(&request, route, &path, id));
    request.extensions_mut().insert(RequestId(id));

    let response = run(request, next).instrument(traced.clone()).instrument(span.clone()).await;
    let status = response.status();
    timed.end(status.as_u16());
    let error = response.extensions().get::<ApiError>().cloned();
    let response = match &error {
        Some(error) => with_body(response, error, id),
        None => response,
    };

    let _entered = span.enter();
    if let Some(inside) = error.as_ref().and_then(|error| error.inside.as_deref()) {
        tracing::error!("{inside}");
    }
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let code = error.as_ref().map(|error| error.code);
    trace::end(&traced, status, code);
    let code = code.unwrap_or_default();
    tracing::info!(%method, path, status = status.as_u16(), code, duration_ms, "request");
    with_id(response, id)
}

/// Never the query, nor a token that was taken for its id: the log keeps what it is given.
fn loggable(path: &str) -> String {
    let segments =
        path.split('/').map(|segment| if segment.contains(token::PREFIX) { "***" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// As a task of its own: a request once begun is finished even if its client
/// leaves, so that a change is not stored without being told; and a panic is
/// an answer, not a lost connection.
async fn run(request: Request, next: Next) -> Response {
    let task = tokio::spawn(next.run(request).in_current_span());
    match tokio::time::timeout(TIME_LIMIT, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => ApiError::internal(format!("the handler failed: {error}")).into_response(),
        Err(_) => {
            let message = "the request took longer than 30 seconds; whether it had an effect is not known";
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message).into_response()
        }
    }
}

fn with_body(mut response: Response, error: &ApiError, id: Uuid) -> Response {
    let body = Json(error.body(id)).into_response();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().extend(body.headers().clone());
    if error.status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if error.status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
    }
    *response.body_mut() = body.into_body();
    response
}

fn with_id(mut response: Response, id: Uuid) -> Response {
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert("x-request-id", value);
    }
    // Tokens and configuration are no one else's to keep.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
