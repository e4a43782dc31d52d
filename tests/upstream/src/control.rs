//! The endpoints that tests use to see what reached the upstream.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::record::RequestLog;
use crate::tally::Tallies;

/// Where the fault `redirect` points. Recorded like a provider's path, so that the log shows who
/// followed.
pub(crate) const REDIRECTED: &str = "/_control/redirected";

#[derive(Clone)]
struct Seen {
    log: RequestLog,
    tallies: Tallies,
}

pub(crate) fn router(log: RequestLog, tallies: Tallies) -> Router {
    Router::new()
        .route("/_control/requests", get(requests).delete(clear))
        .route("/_control/requests/count", get(count))
        .with_state(Seen { log, tallies })
}

async fn requests(State(seen): State<Seen>) -> Json<Value> {
    Json(json!({"data": seen.log.shown()}))
}

async fn count(State(seen): State<Seen>) -> Json<Value> {
    Json(json!({"count": seen.log.count()}))
}

async fn clear(State(seen): State<Seen>) -> StatusCode {
    seen.log.clear();
    seen.tallies.clear();
    StatusCode::NO_CONTENT
}

pub(crate) async fn redirected(exchange: Exchange) -> Json<Value> {
    exchange.drain().await;
    Json(json!({"text": "The redirect was followed."}))
}
