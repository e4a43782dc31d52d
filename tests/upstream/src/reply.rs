//! From an answer in a provider's format to an HTTP response: at once, or chunk by chunk, whole or
//! broken as the script asks.

mod gzip;
mod steps;

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;

use crate::answer::Usage;
use crate::record::Served;
use crate::script::{Fault, Script};
use steps::{Step, gzipped, trickled};

/// By how much a wrong `Content-Length` exceeds a plain answer; a stream's is this alone, and large.
const EXCESS: usize = 1_000;
const STREAM_LENGTH: usize = 1 << 30;

/// What a frame says about usage; none where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) input: Option<usize>,
    pub(crate) output: Option<usize>,
}

pub(crate) enum Reply {
    Json(Value, Told),
    Events(Events),
}

/// A streamed answer. Pauses come between the deltas only: the head is there at once, and the tail
/// with the last delta.
pub(crate) struct Events {
    pub(crate) content_type: &'static str,
    pub(crate) head: Vec<Frame>,
    /// Made as they are sent, so that a long stream takes no memory.
    pub(crate) deltas: Box<dyn Iterator<Item = Frame> + Send>,
    pub(crate) tail: Vec<Frame>,
}

pub(crate) struct Frame {
    pub(crate) bytes: Bytes,
    pub(crate) told: Told,
}

impl Told {
    pub(crate) const NOTHING: Self = Self { input: None, output: None };
}

impl From<Usage> for Told {
    fn from(usage: Usage) -> Self {
        Self { input: Some(usage.input), output: Some(usage.output) }
    }
}

impl Frame {
    pub(crate) fn telling(self, told: impl Into<Told>) -> Self {
        Self { told: told.into(), ..self }
    }
}

impl From<Bytes> for Frame {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, told: Told::NOTHING }
    }
}

impl From<String> for Frame {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl Reply {
    /// An answer that uses nothing.
    pub(crate) fn json(body: Value) -> Self {
        Self::Json(body, Told::NOTHING)
    }

    pub(crate) fn into_response(self, pace: Duration) -> Response {
        self.deliver(pace, &Script::default())
    }

    /// The answer as far as the script lets it come, and in the pieces that it asks for.
    pub(crate) fn deliver(self, pace: Duration, script: &Script) -> Response {
        let pause = script.pace.unwrap_or(pace);
        let served = Served::default();
        let fault = script.fault.as_ref();
        let mut response = match self {
            Self::Json(body, told) if script.is_plain() => {
                served.add(told);
                Json(body).into_response()
            }
            Self::Json(body, told) => {
                let bytes = Bytes::from(body.to_string());
                let length = bytes.len();
                let steps = steps::document(Frame { bytes, told }, fault);
                let mut response = streamed("application/json", steps, pause, script, served.clone());
                if fault == Some(&Fault::Length) {
                    response.headers_mut().insert(CONTENT_LENGTH, (length + EXCESS).into());
                }
                response
            }
            Self::Events(events) => {
                let content_type = events.content_type;
                let steps = steps::events(events, pause, fault);
                let mut response = streamed(content_type, steps, pause, script, served.clone());
                if fault == Some(&Fault::Length) {
                    response.headers_mut().insert(CONTENT_LENGTH, STREAM_LENGTH.into());
                }
                response
            }
        };
        response.extensions_mut().insert(served);
        response
    }
}

fn streamed(
    content_type: &'static str,
    steps: impl Iterator<Item = Step> + Send + 'static,
    pause: Duration,
    script: &Script,
    served: Served,
) -> Response {
    let steps: Box<dyn Iterator<Item = Step> + Send> = match script.trickle {
        Some(size) => Box::new(trickled(steps, size, pause)),
        None => Box::new(steps),
    };
    let late = match script.fault {
        Some(Fault::Late(wait)) => Some(Step::Wait(wait)),
        _ => None,
    };
    let steps = late.into_iter().chain(steps);
    let is_gzip = script.fault == Some(Fault::Gzip);
    let steps: Box<dyn Iterator<Item = Step> + Send> =
        if is_gzip { Box::new(gzipped(steps)) } else { Box::new(steps) };
    let content_type = match (&script.fault, content_type) {
        (Some(Fault::Type), "application/json") => "text/plain",
        (Some(Fault::Type), _) => "application/json",
        _ => content_type,
    };
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    let mut response = (headers, Body::from_stream(steps::stream(steps, served))).into_response();
    if is_gzip {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// A server-sent event without a name, as `OpenAI`'s chat sends it.
pub(crate) fn data(body: &Value) -> Frame {
    format!("data: {body}\n\n").into()
}

/// A server-sent event named by the `type` of its body, as Anthropic and `OpenAI`'s responses do.
pub(crate) fn event(body: &Value) -> Frame {
    let name = body["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {body}\n\n").into()
}
