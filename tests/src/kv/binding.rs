//! What workerd sends for `env.NAMESPACE.get`, `put`, `delete` and `list`.

use super::{MAX_VALUE_LEN, Side, State, with_fault};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// JSON, as given to `put`.
const METADATA: &str = "cf-kv-metadata";

type Kv = Extract<Arc<Mutex<State>>>;

/// The key is one segment, percent-encoded (`urlencoded=true`).
pub(super) fn routes(state: Arc<Mutex<State>>) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/{key}", get(read).put(write).delete(delete))
        .layer(DefaultBodyLimit::max(MAX_VALUE_LEN))
        .with_state(state)
}

async fn read(Extract(state): Kv, Path(key): Path<String>) -> Response {
    with_fault(&state, Side::Binding, |state| {
        let Some(entry) = state.get(Side::Binding, &key) else {
            return (StatusCode::NOT_FOUND, "Not Found").into_response();
        };
        let metadata = entry.metadata.map(|metadata| [(METADATA, metadata)]);
        (metadata, entry.value).into_response()
    })
    .await
}

#[derive(Deserialize)]
struct WriteOptions {
    expiration_ttl: Option<u64>,
}

async fn write(
    Extract(state): Kv,
    Path(key): Path<String>,
    Query(options): Query<WriteOptions>,
    headers: HeaderMap,
    value: Bytes,
) -> Response {
    let metadata = headers.get(METADATA).and_then(|value| Some(value.to_str().ok()?.to_owned()));
    with_fault(&state, Side::Binding, |state| {
        state.writes.push((Side::Binding, key.clone()));
        state.put(key, value.into(), metadata, options.expiration_ttl);
        StatusCode::OK.into_response()
    })
    .await
}

async fn delete(Extract(state): Kv, Path(key): Path<String>) -> Response {
    with_fault(&state, Side::Binding, |state| {
        state.delete(&key);
        StatusCode::OK.into_response()
    })
    .await
}

#[derive(Deserialize)]
struct ListOptions {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    cursor: String,
    key_count_limit: Option<usize>,
}

async fn list(Extract(state): Kv, Query(options): Query<ListOptions>) -> Response {
    with_fault(&state, Side::Binding, |state| {
        let limit = options.key_count_limit.unwrap_or(1_000).min(1_000);
        let (names, next) = state.list(Side::Binding, &options.prefix, &options.cursor, limit);
        let keys: Vec<Value> = names.into_iter().map(|name| json!({ "name": name })).collect();
        let page = match next {
            Some(cursor) => {
                json!({ "keys": keys, "list_complete": false, "cursor": cursor, "cacheStatus": null })
            }
            None => json!({ "keys": keys, "list_complete": true, "cacheStatus": null }),
        };
        Json(page).into_response()
    })
    .await
}
