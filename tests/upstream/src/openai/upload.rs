//! `POST /v1/audio/transcriptions` and `POST /v1/files`: the body is counted and hashed as it
//! comes, whatever its size and type, so that a test can prove that all of it came through.

use axum::response::Response;
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::answer::hex;
use crate::error::Problem;
use crate::exchange::{Exchange, authenticate};
use crate::reply::Reply;

pub(crate) async fn upload(exchange: Exchange) -> Response {
    let Exchange { api, options, parts, body, .. } = exchange;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        match frame {
            Ok(frame) => {
                bytes += frame.len();
                hash.update(&frame);
            }
            Err(error) => return Problem::InvalidRequest(error.to_string()).into_response(api),
        }
    }
    if let Err(problem) = authenticate(api, &parts.headers) {
        return problem.into_response(api);
    }
    let body = json!({
        "text": format!("The example upstream received {bytes} bytes."),
        "bytes": bytes,
        "sha256": hex(&hash.finalize()),
    });
    Reply::json(body).into_response(options.pace)
}
