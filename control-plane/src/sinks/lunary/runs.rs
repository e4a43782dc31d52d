//! Events as Lunary has them: of each of ours a run, which is a `start`, an `end`
//! unless the answer was an error, and an `error` if it failed.

use crate::domain::events::Listed;
use crate::store::events::EventRow;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// Who tells it.
const RUNTIME: &str = "latchkey";

/// Of those events that are known to be a project's.
pub(super) fn of(events: &[Listed]) -> Vec<Value> {
    events.iter().filter(|listed| listed.event.project_id.is_some()).flat_map(run).collect()
}

fn run(Listed { event, bodies }: &Listed) -> Vec<Value> {
    let asked = bodies.as_ref().and_then(|bodies| bodies.request.as_deref());
    let answered = bodies.as_ref().and_then(|bodies| bodies.response.as_deref());
    let is_error = event.status >= 400;
    let end = (!is_error).then(|| end(event, answered));
    // An error alone keeps no tokens: so what broke off has its end first.
    let error = failure(event).map(|message| match answered.filter(|text| is_error && !text.is_empty()) {
        Some(body) => error(event, &format!("{message}: {body}")),
        None => error(event, &message),
    });
    [Some(start(event, asked)), end, error].into_iter().flatten().collect()
}

/// All that is known before and after: of an `error` it reads the message only.
fn start(event: &EventRow, asked: Option<&str>) -> Value {
    let metadata = json!({
        "projectId": event.project_id,
        "provider": event.provider,
        "endpoint": event.endpoint,
        "modelRequested": event.model_requested,
        "status": event.status,
        "completion": event.completion,
        "errorCode": event.error_code,
        "attempts": attempts(event),
        "firstByteMs": event.first_byte_at.map(|at| at - event.started_at),
        "usageSource": event.usage_source,
        "reasoningTokens": event.reasoning_tokens,
    });
    known(json!({
        "type": kind(event),
        "event": "start",
        "runId": event.id,
        "timestamp": event.started_at,
        "runtime": RUNTIME,
        "name": model(event),
        "userId": event.token_id,
        "tags": [event.project_id],
        "metadata": known(metadata),
        "input": asked.map(|text| part(text, &["/messages", "/input"])),
    }))
}

fn end(event: &EventRow, answered: Option<&str>) -> Value {
    // A vector of numbers is of no use to who reads it.
    let output = answered.filter(|_| !is_embedding(event));
    known(json!({
        "type": kind(event),
        "event": "end",
        "runId": event.id,
        "timestamp": event.ended_at,
        "runtime": RUNTIME,
        "name": model(event),
        "output": output.map(|text| part(text, &["/choices/0/message"])),
        "tokensUsage": usage(event),
    }))
}

fn error(event: &EventRow, message: &str) -> Value {
    json!({
        "type": kind(event),
        "event": "error",
        "runId": event.id,
        "timestamp": event.ended_at,
        "runtime": RUNTIME,
        "error": { "message": message },
    })
}

/// Only `llm` has a price; an embedding told as one would have its vector counted.
fn kind(event: &EventRow) -> &'static str {
    if is_embedding(event) { "embed" } else { "llm" }
}

fn is_embedding(event: &EventRow) -> bool {
    event.endpoint.ends_with("/embeddings")
}

fn usage(event: &EventRow) -> Option<Value> {
    let usage = known(json!({
        "prompt": event.input_tokens,
        "completion": event.output_tokens,
        "promptCached": event.cached_input_tokens,
    }));
    (usage != json!({})).then_some(usage)
}

fn attempts(event: &EventRow) -> usize {
    serde_json::from_str::<Vec<IgnoredAny>>(&event.attempts).map_or(0, |attempts| attempts.len())
}

/// What is first there of the places in the JSON, or the whole text.
fn part(text: &str, places: &[&str]) -> Value {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let mut found = places.iter().filter_map(|place| json.pointer(place));
    found.find(|value| !value.is_null()).cloned().unwrap_or_else(|| text.into())
}

/// Prices go by it.
pub(in crate::sinks) fn model(event: &EventRow) -> Option<&str> {
    event.model.as_deref().or(event.model_requested.as_deref())
}

/// Why the request failed, in a word; none if it did not.
pub(in crate::sinks) fn failure(event: &EventRow) -> Option<String> {
    let is_error = event.status >= 400;
    let failed = is_error || event.completion != "complete";
    failed.then(|| match &event.error_code {
        Some(code) => code.clone(),
        None if is_error => format!("HTTP {}", event.status),
        None => event.completion.clone(),
    })
}

/// Without the fields of which nothing is known.
pub(in crate::sinks) fn known(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}
