//! Gemini's API: `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`, and its
//! answers to `GET .../models` and `GET .../models/{model}`. All of it below `/v1` too, which its SDK
//! uses unless it is told otherwise.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Finish};
use crate::content::{Part, Speaker, Turn, join};
use crate::error::Problem;
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told};
use crate::script::{Asked, Script, UsageTold};
use crate::stage::Stage;
use crate::wanted::{Choice, Tool, Wanted};

const MODELS: [&str; 2] = ["gemini-example", "gemini-example-mini"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    contents: Vec<Content>,
    #[serde(alias = "system_instruction")]
    system_instruction: Option<Content>,
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
    tools: Option<Vec<Offer>>,
    #[serde(alias = "tool_config")]
    tool_config: Option<ToolConfig>,
}

#[derive(Deserialize)]
struct Content {
    role: Option<String>,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GenerationConfig {
    #[serde(alias = "max_output_tokens")]
    max_output_tokens: Option<usize>,
    #[serde(alias = "response_mime_type")]
    response_mime_type: Option<String>,
    #[serde(alias = "response_schema", alias = "responseJsonSchema", alias = "response_json_schema")]
    response_schema: Option<Value>,
}

/// Its own tools, such as its search, have other names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offer {
    #[serde(default, alias = "function_declarations")]
    function_declarations: Vec<Declaration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Declaration {
    name: Value,
    #[serde(default, alias = "parametersJsonSchema", alias = "parameters_json_schema")]
    parameters: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    #[serde(alias = "function_calling_config")]
    function_calling_config: Option<Calling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calling {
    mode: Option<String>,
    #[serde(default, alias = "allowed_function_names")]
    allowed_function_names: Vec<String>,
}

/// The three forms of an answer.
#[derive(Clone, Copy)]
enum Form {
    /// One object.
    Plain,
    /// Server-sent events, which `alt=sse` asks for.
    Sse,
    /// A JSON array whose elements come one by one.
    Array,
}

pub(crate) async fn generate(Path(target): Path<String>, exchange: Exchange) -> Response {
    // From the right: an option of the model may have a colon of its own.
    let (model, action) = target.rsplit_once(':').unwrap_or((&target, ""));
    let query = exchange.parts.uri.query().unwrap_or("");
    let form = match action {
        "generateContent" => Form::Plain,
        "streamGenerateContent" if query.split('&').any(|pair| pair == "alt=sse") => Form::Sse,
        "streamGenerateContent" => Form::Array,
        _ => {
            let path = exchange.parts.uri.path().to_owned();
            let problem = Problem::NotFound(exchange.parts.method.clone(), path);
            let api = exchange.api;
            exchange.drain().await;
            return problem.into_response(api);
        }
    };
    let asked = Asked::try_from(model.to_owned());
    exchange
        .answer(|request, stage| reply(asked.map_err(Problem::InvalidRequest)?, form, request, stage))
        .await
}

pub(crate) fn models() -> Reply {
    let models: Vec<Value> = MODELS.iter().map(|name| object(name)).collect();
    Reply::json(json!({"models": models}))
}

/// Any name is a model here.
pub(crate) fn model(name: &str) -> Reply {
    Reply::json(object(name))
}

fn object(name: &str) -> Value {
    json!({
        "name": format!("models/{name}"),
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent"],
    })
}

fn reply(asked: Asked, form: Form, request: Request, stage: &Stage) -> Result<(Script, Reply), Problem> {
    let wanted = wanted(&request)?;
    let Request { contents, system_instruction, generation_config, .. } = request;
    let mut turns: Vec<Turn> =
        system_instruction.into_iter().map(|content| Turn::other(join(content.parts))).collect();
    turns.extend(contents.into_iter().map(Turn::from));
    let limit = generation_config.and_then(|config| config.max_output_tokens);
    let model = stage.admit(asked, &turns);
    let answer = Answer::compose(&model, &turns, limit, &wanted);
    let chunk = Chunk {
        id: answer.id.clone(),
        model: model.name,
        input: answer.usage.input,
        has_usage: model.script.usage != UsageTold::None,
        has_no_end: model.script.has_no_end,
    };
    let reply = match form {
        Form::Plain => {
            let output = answer.usage.output;
            let parts = if answer.calls.is_empty() {
                json!([{"text": answer.text()}])
            } else {
                answer.calls.iter().map(function_call).collect()
            };
            Reply::Json(chunk.object(&parts, output, Some(answer.finish)), chunk.told(output))
        }
        Form::Sse => Reply::Events(sse(chunk, answer)),
        Form::Array => Reply::Events(array(chunk, answer)),
    };
    Ok((model.script, reply))
}

/// `ANY` with one allowed name is a choice of that function; with several it is of the first.
fn wanted(request: &Request) -> Result<Wanted, Problem> {
    let declared = request.tools.iter().flatten().flat_map(|offer| &offer.function_declarations);
    let tools = declared.filter_map(|function| Tool::new(&function.name, &function.parameters)).collect();
    let calling = request.tool_config.as_ref().and_then(|config| config.function_calling_config.as_ref());
    let allowed = calling.and_then(|calling| calling.allowed_function_names.first());
    let choice = match (calling.and_then(|calling| calling.mode.as_deref()), allowed) {
        (Some("NONE"), _) => Choice::None,
        (Some("ANY"), Some(name)) => Choice::Named(name.clone()),
        (Some("ANY"), None) => Choice::Any,
        _ => Choice::Auto,
    };
    let config = request.generation_config.as_ref();
    let config = config.filter(|config| config.response_mime_type.as_deref() == Some("application/json"));
    let schema =
        config.map(|config| config.response_schema.clone().unwrap_or_else(|| json!({"type": "object"})));
    Ok(Wanted::tools(tools, choice)?.in_form(schema))
}

fn function_call(call: &Call) -> Value {
    json!({"functionCall": {"name": call.name, "args": call.value()}})
}

/// A user may leave out the role.
impl From<Content> for Turn {
    fn from(content: Content) -> Self {
        let text = join(content.parts);
        match content.role.as_deref() {
            None | Some("user") => Self::user(text),
            Some("model") => Self { speaker: Speaker::Model, text },
            Some(_) => Self::other(text),
        }
    }
}

/// What every part of an answer repeats.
struct Chunk {
    id: String,
    model: String,
    input: usize,
    has_usage: bool,
    /// The last part has no reason why it is the last.
    has_no_end: bool,
}

impl Chunk {
    fn told(&self, output: usize) -> Told {
        if self.has_usage { Told { input: Some(self.input), output: Some(output) } } else { Told::NOTHING }
    }

    /// `output` is the number of tokens so far: Gemini reports usage in every part, and adds it up.
    fn object(&self, parts: &Value, output: usize, finish: Option<Finish>) -> Value {
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
        if let Some(finish) = finish.filter(|_| !self.has_no_end) {
            candidate["finishReason"] = json!(finish_reason(finish));
        }
        let mut object = json!({
            "candidates": [candidate],
            "modelVersion": self.model,
            "responseId": self.id,
        });
        if self.has_usage {
            object["usageMetadata"] = json!({
                "promptTokenCount": self.input,
                "candidatesTokenCount": output,
                "totalTokenCount": self.input + output,
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": self.input}],
            });
        }
        object
    }
}

/// What comes one after the other, with the tokens so far: a word, or a whole call.
fn parts(answer: Answer) -> impl Iterator<Item = (Value, usize)> + Send {
    let words = answer.words.into_iter().map(|word| (json!([{"text": word}]), 1));
    let calls = answer.calls.into_iter().map(|call| (json!([function_call(&call)]), call.pieces.len()));
    words.chain(calls).scan(0, |output, (part, tokens)| {
        *output += tokens;
        Some((part, *output))
    })
}

/// The last part has the reason why it is the last, and nothing else.
fn last(chunk: &Chunk, answer: &Answer) -> Value {
    chunk.object(&json!([{"text": ""}]), answer.usage.output, Some(answer.finish))
}

/// Lines end in CR LF, as Gemini's do.
fn sse(chunk: Chunk, answer: Answer) -> Events {
    let frame = |body: &Value, told| Frame::from(format!("data: {body}\r\n\r\n")).telling(told);
    let last = frame(&last(&chunk, &answer), chunk.told(answer.usage.output));
    Events {
        content_type: "text/event-stream",
        head: Vec::new(),
        deltas: Box::new(
            parts(answer)
                .map(move |(part, output)| frame(&chunk.object(&part, output, None), chunk.told(output))),
        ),
        tail: vec![last],
    }
}

fn array(chunk: Chunk, answer: Answer) -> Events {
    let last = Frame::from(format!("{}]", last(&chunk, &answer))).telling(chunk.told(answer.usage.output));
    let parts = parts(answer).map(move |(part, output)| {
        let frame = format!("{},\r\n", chunk.object(&part, output, None));
        Frame::from(frame).telling(chunk.told(output))
    });
    Events {
        content_type: "application/json; charset=UTF-8",
        head: vec![Bytes::from_static(b"[").into()],
        // Each brings the comma to the one after it: the last part always follows.
        deltas: Box::new(parts),
        tail: vec![last],
    }
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Calls => "STOP",
        Finish::Length => "MAX_TOKENS",
    }
}
