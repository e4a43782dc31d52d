//! Misbehaviour on request: what a gateway must survive without harm to its client.

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::error::{Api, Problem};
use crate::reply::Reply;
use crate::script::{Fault, Model, Script};
use crate::server::Options;
use crate::{control, openai};

/// The first two may pass; the others are for this hop, or say what the client must not learn.
const TELLTALE: [(&str, &str); 9] = [
    ("x-ratelimit-remaining-requests", "9"),
    ("openai-processing-ms", "3"),
    ("set-cookie", "__cf_bm=upstream; path=/; HttpOnly; Secure"),
    ("set-cookie", "session=upstream"),
    ("connection", "x-hop"),
    ("x-hop", "1"),
    ("keep-alive", "timeout=5"),
    ("proxy-authenticate", "Basic realm=\"upstream\""),
    ("openai-organization", "org-x"),
];

/// Gives the reply the way the script asks.
pub(crate) async fn play(api: Api, script: Script, options: Options, reply: Reply) -> Response {
    let pace = script.pace.unwrap_or(options.pace);
    match script.fault {
        None => reply.into_response(pace),
        Some(Fault::Redirect) => (StatusCode::FOUND, [(LOCATION, control::REDIRECTED)]).into_response(),
        Some(Fault::Silent(wait)) => {
            tokio::time::sleep(wait).await;
            reply.into_response(pace)
        }
        Some(Fault::Status(status)) => {
            let mut response = Problem::Fault(status).into_response(api);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("7"));
            response
        }
        Some(Fault::Headers) => {
            let mut response = reply.into_response(pace);
            for (name, value) in TELLTALE {
                let value = HeaderValue::from_static(value);
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
            response
        }
        Some(Fault::Cut) => reply.into_cut_response(pace),
    }
}

/// A fault at a path of its own, in `OpenAI`'s format: there is no request to answer.
pub(crate) async fn alone(fault: Fault, options: Options) -> Response {
    let reply = match fault {
        Fault::Cut => {
            let model = Model { name: "gpt-example".to_owned(), script: Script::default() };
            openai::chat_stream(&model, options)
        }
        Fault::Redirect | Fault::Silent(_) | Fault::Status(_) | Fault::Headers => {
            Reply::Json(json!({"object": "fault", "text": "The example upstream answered."}))
        }
    };
    let script = Script { fault: Some(fault), ..Script::default() };
    play(Api::OpenAi, script, options, reply).await
}
