//! From an answer in a provider's format to an HTTP response: at once, or chunk by chunk.

use std::io;
use std::iter;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde_json::Value;

/// How many chunks go out before a cut.
const CHUNKS_BEFORE_CUT: usize = 3;

/// Time for the bytes before a cut to leave: an error drops what is still buffered.
const FLUSH: Duration = Duration::from_millis(20);

pub(crate) enum Reply {
    Json(Value),
    Events(Events),
}

/// A streamed answer. Pauses come between the deltas only: the head is there at once, and the tail
/// with the last delta.
pub(crate) struct Events {
    pub(crate) content_type: &'static str,
    pub(crate) head: Vec<Bytes>,
    /// Made as they are sent, so that a long stream takes no memory.
    pub(crate) deltas: Box<dyn Iterator<Item = Bytes> + Send>,
    pub(crate) tail: Vec<Bytes>,
}

/// What a streamed body does next.
enum Step {
    Send(Bytes),
    Wait(Duration),
    Cut,
}

impl Reply {
    pub(crate) fn into_response(self, pace: Duration) -> Response {
        match self {
            Self::Json(body) => Json(body).into_response(),
            Self::Events(events) => {
                let deltas =
                    events.deltas.enumerate().flat_map(move |(index, delta)| paced(index, delta, pace));
                let steps = send(events.head).chain(deltas).chain(send(events.tail));
                streamed(events.content_type, steps)
            }
        }
    }

    /// The beginning of the response, then a closed connection without the terminating chunk.
    pub(crate) fn into_cut_response(self, pace: Duration) -> Response {
        match self {
            Self::Json(body) => {
                let bytes = Bytes::from(body.to_string());
                let half = bytes.slice(..bytes.len() / 2);
                streamed("application/json", send(vec![half]).chain(iter::once(Step::Cut)))
            }
            Self::Events(events) => {
                let deltas = events.deltas.take(CHUNKS_BEFORE_CUT).enumerate();
                let deltas = deltas.flat_map(move |(index, delta)| paced(index, delta, pace));
                let steps = send(events.head).chain(deltas).chain(iter::once(Step::Cut));
                streamed(events.content_type, steps)
            }
        }
    }
}

/// A server-sent event without a name, as `OpenAI`'s chat sends it.
pub(crate) fn data(body: &Value) -> Bytes {
    format!("data: {body}\n\n").into()
}

/// A server-sent event named by the `type` of its body, as Anthropic and `OpenAI`'s responses do.
pub(crate) fn event(body: &Value) -> Bytes {
    let name = body["type"].as_str().unwrap_or_default();
    format!("event: {name}\ndata: {body}\n\n").into()
}

fn send(frames: Vec<Bytes>) -> impl Iterator<Item = Step> + Send {
    frames.into_iter().map(Step::Send)
}

fn paced(index: usize, delta: Bytes, pace: Duration) -> impl Iterator<Item = Step> + Send {
    let wait = (index > 0 && !pace.is_zero()).then_some(Step::Wait(pace));
    wait.into_iter().chain(iter::once(Step::Send(delta)))
}

fn streamed(content_type: &'static str, steps: impl Iterator<Item = Step> + Send + 'static) -> Response {
    let frames = stream::unfold(steps, |mut steps| async move {
        loop {
            match steps.next()? {
                Step::Send(frame) => return Some((Ok(frame), steps)),
                Step::Wait(pace) => tokio::time::sleep(pace).await,
                Step::Cut => {
                    tokio::time::sleep(FLUSH).await;
                    return Some((Err(io::Error::other("cut on purpose")), steps));
                }
            }
        }
    });
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(frames)).into_response()
}
