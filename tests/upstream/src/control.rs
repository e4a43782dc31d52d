//! The endpoints that tests use to see what reached the upstream.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::record::RequestLog;

/// Where the fault `redirect` points. Recorded like a provider's path, so that the log shows who
/// followed.
pub(crate) const REDIRECTED: &str = "/_control/redirected";

pub(crate) fn router(log: RequestLog) -> Router {
    Router::new()
        .route("/_control/requests", get(requests).delete(clear))
        .route("/_control/requests/count", get(count))
        .with_state(log)
}

async fn requests(State(log): State<RequestLog>) -> Json<Value> {
    Json(json!({"data": log.shown()}))
}

async fn count(State(log): State<RequestLog>) -> Json<Value> {
    Json(json!({"count": log.count()}))
}

async fn clear(State(log): State<RequestLog>) -> StatusCode {
    log.clear();
    StatusCode::NO_CONTENT
}

pub(crate) async fn redirected(exchange: Exchange) -> Json<Value> {
    exchange.drain().await;
    Json(json!({"text": "The redirect was followed."}))
}
