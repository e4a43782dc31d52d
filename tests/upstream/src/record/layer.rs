//! The middleware that opens a record and follows both bodies to their end.

use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Asking, Entry, RequestLog, lock};
use crate::error::Api;
use crate::wire::Unsent;

pub(crate) async fn layer(State(log): State<RequestLog>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let entry = log.begin(&parts);
    parts.extensions.insert(Asking(Arc::clone(&entry.record)));
    let api = Api::of(parts.uri.path(), &parts.headers);
    let method = parts.method.clone();

    let record = Arc::clone(&entry.record);
    let body = body.into_data_stream().inspect_ok(move |chunk| lock(&record).body_chunk(chunk));
    // A client that leaves before the answer drops this future, and with it the entry.
    let mut response = next.run(Request::from_parts(parts, Body::from_stream(body))).await;

    if response.extensions().get::<Unsent>().is_none() {
        entry.answered(response.status(), response.extensions().get());
    }
    if let Ok(id) = HeaderValue::from_str(&format!("req_{:08}", entry.seq)) {
        response.headers_mut().insert(request_id_header(api), id);
    }
    follow(entry, &method, response)
}

/// Puts the entry into the response's body, which lives as long as the exchange.
fn follow(entry: Entry, method: &Method, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let length = body.size_hint().exact();
    // The server asks neither of these bodies for its end.
    if length == Some(0) || method == Method::HEAD {
        entry.complete();
        return Response::from_parts(parts, body);
    }
    if let Some(length) = length
        && !parts.headers.contains_key(CONTENT_LENGTH)
    {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    let frames = stream::unfold(
        (entry, body.into_data_stream(), length),
        |(entry, mut frames, mut left)| async move {
            let Some(frame) = frames.next().await else {
                entry.complete();
                return None;
            };
            match &frame {
                Ok(chunk) => {
                    entry.chunk_sent();
                    left = left.map(|left| left.saturating_sub(chunk.len() as u64));
                }
                // Ours, on purpose: a client that leaves drops the stream instead.
                Err(_) => entry.complete(),
            }
            // With a length known, the server does not come back for the end.
            if left == Some(0) {
                entry.complete();
            }
            Some((frame, (entry, frames, left)))
        },
    );
    Response::from_parts(parts, Body::from_stream(frames))
}

/// What each provider calls the request's id; `OpenAI`'s name where the provider sends none.
fn request_id_header(api: Api) -> HeaderName {
    HeaderName::from_static(match api {
        Api::OpenAi | Api::Gemini => "x-request-id",
        Api::Anthropic => "request-id",
    })
}
