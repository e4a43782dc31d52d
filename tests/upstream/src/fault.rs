//! Misbehaviour on request: what a gateway must survive without harm to its client.

use std::iter;

use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use crate::error::{Api, Problem};
use crate::reply::{Events, Reply, data, event};
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
    let pace = options.pace;
    match script.fault {
        Some(Fault::Redirect) => (StatusCode::FOUND, [(LOCATION, control::REDIRECTED)]).into_response(),
        Some(Fault::Silent(wait)) => {
            tokio::time::sleep(wait).await;
            reply.deliver(pace, &script)
        }
        Some(Fault::Status(status)) => {
            let mut response = Problem::Fault(status).into_response(api);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("7"));
            response
        }
        // As Cloudflare answers a worker.
        Some(Fault::Platform(status)) => (status, format!("error code: {}", status.as_u16())).into_response(),
        Some(Fault::Headers) => {
            let mut response = reply.deliver(pace, &script);
            for (name, value) in TELLTALE {
                let value = HeaderValue::from_static(value);
                response.headers_mut().append(HeaderName::from_static(name), value);
            }
            response
        }
        Some(Fault::Error) => told_late(api, reply).deliver(pace, &script),
        None
        | Some(
            Fault::Cut(_)
            | Fault::Stall(_)
            | Fault::End(_)
            | Fault::Malformed(_)
            | Fault::Giant
            | Fault::Length
            | Fault::Type
            | Fault::Gzip,
        ) => reply.deliver(pace, &script),
    }
}

/// The error of a provider that noticed after it had said 200.
fn told_late(api: Api, reply: Reply) -> Reply {
    let error = Problem::Fault(StatusCode::SERVICE_UNAVAILABLE).body(api);
    let Reply::Events(events) = reply else { return Reply::json(error) };
    let is_array = events.content_type.starts_with("application/json");
    let frame = match api {
        Api::Anthropic => event(&error),
        Api::Gemini if is_array => format!("[{error}]").into(),
        Api::OpenAi | Api::Gemini => data(&error),
    };
    Reply::Events(Events { head: vec![frame], deltas: Box::new(iter::empty()), tail: Vec::new(), ..events })
}

/// A fault at a path of its own, in `OpenAI`'s format: there is no request to answer.
pub(crate) async fn alone(fault: Fault, options: Options) -> Response {
    let reply = match fault {
        Fault::Cut(_) => {
            let model = Model { name: "gpt-example".to_owned(), script: Script::default() };
            openai::chat_stream(&model, options)
        }
        _ => Reply::json(json!({"object": "fault", "text": "The example upstream answered."})),
    };
    let script = Script { fault: Some(fault), ..Script::default() };
    play(Api::OpenAi, script, options, reply).await
}
