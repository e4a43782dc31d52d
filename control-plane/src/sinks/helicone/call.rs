//! The call that tells Helicone of one event.

use crate::domain::events::Listed;
use crate::sinks::lunary::{failure, known, model};
use crate::store::events::EventRow;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Besides all that is not ASCII. `%` stays, since paths have it already.
const NOT_VISIBLE: &AsciiSet = &CONTROLS.add(b' ');

/// How a stream ends that was not cut.
const DONE: &str = "data: [DONE]\n\n";

/// For the status of an answer that the client did not wait for.
const ABORTED: i64 = -3;
/// For that of a stream that broke off, as their SDK has it.
const TRUNCATED: i64 = 500;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) path: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

/// Tokens in the form of `OpenAI`'s, which it reads of every provider. Without
/// those of reasoning, which one version takes off the others.
#[derive(Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<i64>,
    total_tokens: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    cached_tokens: i64,
}

/// Of a stream, the one that tells nothing but the tokens.
#[derive(Serialize)]
struct Chunk<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    choices: [(); 0],
    usage: Usage,
}

impl Call {
    /// None of an event that is not known to be a project's.
    pub(super) fn of(Listed { event, bodies }: &Listed) -> Option<Self> {
        let project_id = event.project_id?;
        let asked = bodies.as_ref().and_then(|bodies| bodies.request.as_deref());
        let answered = bodies.as_ref().and_then(|bodies| bodies.response.as_deref());
        let asked = asked.and_then(object).unwrap_or_else(|| text_only(asked));
        // Of other streams it may not read the tokens: those pass for plain answers.
        let is_stream = asked.get("stream") == Some(&true.into()) && event.endpoint.ends_with("/completions");
        let stream = answered.filter(|_| is_stream).map(|text| with_usage(text, event));
        // Under another provider's name it reads the tokens of some models only.
        let is_openai = event.provider.as_deref() == Some("openai");
        let body = json!({
            "providerRequest": {
                "url": "custom-model-nopath",
                "json": request(event, asked, stream.is_some()),
                "meta": {},
            },
            "providerResponse": response(event, answered, stream.as_deref()),
            "timing": timing(event),
            "provider": is_openai.then_some("openai"),
        });
        Some(Self {
            path: if is_openai { "/oai/v1/log" } else { "/custom/v1/log" },
            headers: headers(event, project_id),
            body: known(body),
        })
    }
}

fn headers(event: &EventRow, project_id: Uuid) -> HeaderMap {
    let told = [
        ("helicone-request-id", Some(as_version_4(event.id).to_string())),
        ("helicone-user-id", event.token_id.map(|id| id.to_string())),
        ("helicone-property-event-id", Some(event.id.to_string())),
        ("helicone-property-project", Some(project_id.to_string())),
        ("helicone-property-provider", event.provider.clone()),
        ("helicone-property-endpoint", Some(event.endpoint.clone())),
        ("helicone-property-completion", Some(event.completion.clone())),
        ("helicone-property-error-code", event.error_code.clone()),
        ("helicone-property-usage-source", Some(event.usage_source.clone())),
        ("helicone-property-reasoning-tokens", event.reasoning_tokens.map(|count| count.to_string())),
    ];
    let headers = told.into_iter().filter_map(|(name, value)| {
        let value = utf8_percent_encode(&value?, NOT_VISIBLE).to_string();
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    });
    headers.collect()
}

/// It replaces an id of a newer version by a random one.
fn as_version_4(id: Uuid) -> Uuid {
    let mut bytes = id.into_bytes();
    bytes[6] = 0x40 | (bytes[6] & 0x0f);
    Uuid::from_bytes(bytes)
}

/// `stream` says how it has to read the answer.
fn request(event: &EventRow, mut asked: Map<String, Value>, is_stream: bool) -> Map<String, Value> {
    asked.remove("stream");
    if is_stream {
        asked.insert("stream".into(), true.into());
    }
    if let Some(model) = &event.model_requested {
        asked.insert("model".into(), model.as_str().into());
    }
    asked
}

fn response(event: &EventRow, answered: Option<&str>, stream: Option<&str>) -> Value {
    let json = if stream.is_some() { Map::new() } else { answer(event, answered) };
    known(json!({ "headers": {}, "status": status(event), "json": json, "textBody": stream }))
}

/// What was answered, if that was JSON, with what is known of it besides.
fn answer(event: &EventRow, answered: Option<&str>) -> Map<String, Value> {
    let json = answered.and_then(object);
    // Where it is not, it does not say why it failed.
    let failure = failure(event).filter(|_| json.is_none());
    let told = [
        ("error", failure.map(|message| json!({ "message": message }))),
        ("model", event.model.as_deref().map(Value::from)),
        ("usage", usage(event).map(|usage| json!(usage))),
    ];
    let mut answer = json.unwrap_or_else(|| text_only(answered));
    answer.extend(told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    answer
}

fn status(event: &EventRow) -> i64 {
    match event.completion.as_str() {
        "aborted" => ABORTED,
        "truncated" => TRUNCATED,
        _ => event.status,
    }
}

fn usage(event: &EventRow) -> Option<Usage> {
    let (input, output) = (event.input_tokens, event.output_tokens);
    let is_known = input.is_some() || output.is_some();
    is_known.then(|| Usage {
        prompt_tokens: input,
        completion_tokens: output,
        total_tokens: input.unwrap_or(0) + output.unwrap_or(0),
        prompt_tokens_details: event.cached_input_tokens.map(|cached_tokens| Details { cached_tokens }),
    })
}

/// The stream with a last chunk that tells the tokens, if none does.
fn with_usage(text: &str, event: &EventRow) -> String {
    let usage = usage(event).filter(|_| !text.contains(r#""usage":{"#));
    let chunk = usage.map(|usage| Chunk { model: model(event), choices: [], usage });
    let last = chunk.and_then(|chunk| serde_json::to_string(&chunk).ok());
    let Some(last) = last else { return text.to_owned() };
    let (chunks, done) = text.strip_suffix(DONE).map_or((text, ""), |chunks| (chunks, DONE));
    let gap = if chunks.is_empty() || chunks.ends_with("\n\n") { "" } else { "\n\n" };
    format!("{chunks}{gap}data: {last}\n\n{done}")
}

fn timing(event: &EventRow) -> Value {
    let at = |ms: i64| json!({ "seconds": ms / 1000, "milliseconds": ms % 1000 });
    known(json!({
        "startTime": at(event.started_at),
        "endTime": at(event.ended_at),
        "timeToFirstToken": event.first_byte_at.map(|at| at - event.started_at),
    }))
}

fn object(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

/// In place of an object, where there is any text.
fn text_only(text: Option<&str>) -> Map<String, Value> {
    text.map(|text| ("body".to_owned(), text.into())).into_iter().collect()
}
