//! Misbehaviour on request: what a gateway must survive without harm to its client.

mod limits;
pub(crate) mod page;
mod refusal;

use std::iter;
use std::time::SystemTime;

use axum::Json;
use axum::http::header::{LOCATION, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::error::{Api, Problem};
use crate::reply::{Events, Reply, data, event};
use crate::script::{After, Fault, Model, Script};
use crate::server::Options;
use crate::wire::{End, Line};
use crate::{control, openai};

pub(crate) use refusal::Refusal;

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
pub(crate) async fn play(api: Api, script: Script, options: Options, line: &Line, reply: Reply) -> Response {
    let limits = script.limits;
    let mut response = faulty(api, script, options, line, reply).await;
    if let Some(limits) = limits {
        #[expect(clippy::disallowed_methods, reason = "a header names the time; no answer depends on it")]
        let now = SystemTime::now();
        limits::insert(response.headers_mut(), api, limits, now);
    }
    response
}

async fn faulty(api: Api, script: Script, options: Options, line: &Line, reply: Reply) -> Response {
    let pace = options.pace;
    match script.fault {
        Some(Fault::Redirect) => (StatusCode::FOUND, [(LOCATION, control::REDIRECTED)]).into_response(),
        Some(Fault::Silent(wait)) => {
            tokio::time::sleep(wait).await;
            reply.deliver(pace, &script)
        }
        Some(Fault::Status(status)) => {
            let mut response = Problem::Fault(status).into_response(api);
            let header = match script.after.unwrap_or(After::Seconds(7)) {
                After::Unsaid => None,
                After::Seconds(count) => Some((RETRY_AFTER, count)),
                After::Millis(count) => Some((HeaderName::from_static("retry-after-ms"), count)),
            };
            response.headers_mut().extend(header.map(|(name, count)| (name, count.into())));
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
        Some(Fault::Error(status)) => {
            let error = Problem::Fault(status).body(api);
            instead(api, reply, error).deliver(pace, &script)
        }
        Some(Fault::Ended(end)) => unsent(line, end),
        Some(Fault::Down(_)) => unsent(line, End::Hangup),
        Some(Fault::Page(status)) => page::response(status),
        Some(Fault::Refused(refusal)) => match refusal.status(api) {
            StatusCode::OK => instead(api, reply, refusal.body(api)).deliver(pace, &script),
            status => (status, Json(refusal.body(api))).into_response(),
        },
        Some(Fault::Vast(count)) => {
            let mut response = reply.deliver(pace, &script);
            for index in 0..count {
                let name = HeaderName::try_from(format!("x-vast-{index:02}"));
                let value = HeaderValue::try_from("v".repeat(1 << 10));
                response.headers_mut().extend(name.ok().zip(value.ok()));
            }
            response
        }
        Some(Fault::Early(status, times)) => {
            for _ in 0..times {
                line.send_early(status);
            }
            reply.deliver(pace, &script)
        }
        None
        | Some(
            Fault::Cut(_)
            | Fault::Stall(_)
            | Fault::End(_)
            | Fault::Malformed(_)
            | Fault::Giant
            | Fault::Length
            | Fault::Type
            | Fault::Gzip
            | Fault::Late(_),
        ) => reply.deliver(pace, &script),
    }
}

fn unsent(line: &Line, end: End) -> Response {
    let mut response = StatusCode::OK.into_response();
    response.extensions_mut().insert(line.end(end));
    response
}

/// Says this with status 200, as one body or as the first and last event: the error of a provider
/// that noticed late.
fn instead(api: Api, reply: Reply, body: Value) -> Reply {
    let Reply::Events(events) = reply else { return Reply::json(body) };
    let is_array = events.content_type.starts_with("application/json");
    let frame = match api {
        Api::Anthropic => event(&body),
        Api::Gemini if is_array => format!("[{body}]").into(),
        Api::OpenAi | Api::Gemini => data(&body),
    };
    Reply::Events(Events { head: vec![frame], deltas: Box::new(iter::empty()), tail: Vec::new(), ..events })
}

/// A fault at a path of its own, in `OpenAI`'s format: there is no request to answer.
pub(crate) async fn alone(fault: Fault, options: Options, line: &Line) -> Response {
    let reply = match fault {
        Fault::Cut(_) => {
            let model = Model { name: "gpt-example".to_owned(), script: Script::default() };
            openai::chat_stream(&model, options)
        }
        _ => Reply::json(json!({"object": "fault", "text": "The example upstream answered."})),
    };
    let script = Script { fault: Some(fault), ..Script::default() };
    play(Api::OpenAi, script, options, line, reply).await
}
