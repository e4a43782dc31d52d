//! The part of Cloudflare's REST API that the publisher uses, in its shapes.

use super::{MAX_VALUE_LEN, NAMESPACE, Side, State, held, with_fault};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

type Kv = Extract<Arc<Mutex<State>>>;

pub(super) fn routes(state: Arc<Mutex<State>>) -> Router {
    Router::new()
        .route("/storage/kv/namespaces/{namespace}/values/{key}", get(read).put(write).delete(delete))
        .route("/storage/kv/namespaces/{namespace}/keys", get(list))
        .route("/storage/kv/namespaces/{namespace}/bulk", put(bulk_write))
        .route("/storage/kv/namespaces/{namespace}/bulk/delete", post(bulk_delete))
        .layer(DefaultBodyLimit::max(100 * 1024 * 1024))
        .with_state(state)
}

async fn read(Extract(state): Kv, Path(path): Path<(String, String)>, headers: HeaderMap) -> Response {
    answer(&state, &path.0, &headers, |state| match state.get(Side::Rest, &path.1) {
        Some(entry) => entry.value.into_response(),
        None => failure(StatusCode::NOT_FOUND, 10_009, "get: 'key not found'"),
    })
    .await
}

async fn write(
    Extract(state): Kv,
    Path((namespace, key)): Path<(String, String)>,
    Query(options): Query<WriteOptions>,
    headers: HeaderMap,
    value: Bytes,
) -> Response {
    if value.len() > MAX_VALUE_LEN {
        return failure(StatusCode::PAYLOAD_TOO_LARGE, 10_033, "the value is too large");
    }
    let hold = state.lock().unwrap().hold_of([&key].into_iter());
    let write = async move {
        answer(&state, &namespace, &headers, |state| {
            state.writes.push((Side::Rest, key.clone()));
            state.put(key, value.into(), None, options.expiration_ttl);
            success(&json!({}))
        })
        .await
    };
    held::write(hold, write).await
}

#[derive(Deserialize)]
struct WriteOptions {
    expiration_ttl: Option<u64>,
}

async fn delete(Extract(state): Kv, Path(path): Path<(String, String)>, headers: HeaderMap) -> Response {
    answer(&state, &path.0, &headers, |state| {
        state.delete(&path.1);
        success(&json!({}))
    })
    .await
}

#[derive(Deserialize)]
struct ListOptions {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    cursor: String,
    limit: Option<usize>,
}

async fn list(
    Extract(state): Kv,
    Path(namespace): Path<String>,
    Query(options): Query<ListOptions>,
    headers: HeaderMap,
) -> Response {
    answer(&state, &namespace, &headers, |state| {
        let limit = options.limit.unwrap_or(1_000).min(1_000);
        let (names, next) = state.list(Side::Rest, &options.prefix, &options.cursor, limit);
        let count = names.len();
        let result: Vec<Value> = names.into_iter().map(|name| json!({ "name": name })).collect();
        let info = json!({ "count": count, "cursor": next.unwrap_or_default() });
        Json(json!({ "success": true, "errors": [], "messages": [], "result": result, "result_info": info }))
            .into_response()
    })
    .await
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    value: String,
    #[serde(default)]
    base64: bool,
    expiration_ttl: Option<u64>,
}

async fn bulk_write(
    Extract(state): Kv,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Json(pairs): Json<Vec<Pair>>,
) -> Response {
    if pairs.len() > 10_000 || pairs.iter().any(|pair| pair.expiration_ttl.is_some_and(|ttl| ttl < 60)) {
        return failure(StatusCode::BAD_REQUEST, 10_001, "too many pairs, or one that expires too soon");
    }
    let hold = state.lock().unwrap().hold_of(pairs.iter().map(|pair| &pair.key));
    let write = async move {
        answer(&state, &namespace, &headers, |state| {
            let written = pairs.len();
            for Pair { key, value, base64, expiration_ttl } in pairs {
                let value = if base64 { STANDARD.decode(value).unwrap() } else { value.into_bytes() };
                state.writes.push((Side::Rest, key.clone()));
                state.put(key, value, None, expiration_ttl);
            }
            success(&json!({ "successful_key_count": written, "unsuccessful_keys": [] }))
        })
        .await
    };
    held::write(hold, write).await
}

async fn bulk_delete(
    Extract(state): Kv,
    Path(namespace): Path<String>,
    headers: HeaderMap,
    Json(keys): Json<Vec<String>>,
) -> Response {
    answer(&state, &namespace, &headers, |state| {
        for key in &keys {
            state.delete(key);
        }
        success(&json!({ "successful_key_count": keys.len(), "unsuccessful_keys": [] }))
    })
    .await
}

async fn answer(
    state: &Mutex<State>,
    namespace: &str,
    headers: &HeaderMap,
    act: impl FnOnce(&mut State) -> Response,
) -> Response {
    {
        let mut state = state.lock().unwrap();
        state.rest_calls += 1;
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
        state.authorization = authorization.map(str::to_owned);
    }
    if namespace != NAMESPACE {
        return failure(StatusCode::NOT_FOUND, 10_013, "namespace not found");
    }
    with_fault(state, Side::Rest, act).await
}

fn success(result: &Value) -> Response {
    Json(json!({ "success": true, "errors": [], "messages": [], "result": result })).into_response()
}

fn failure(status: StatusCode, code: u32, message: &str) -> Response {
    let errors = json!([{ "code": code, "message": message }]);
    (status, Json(json!({ "success": false, "errors": errors, "messages": [], "result": null })))
        .into_response()
}
