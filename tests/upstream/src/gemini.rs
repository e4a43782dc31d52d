//! Gemini's API: `POST /v1beta/models/{model}:generateContent` and `:streamGenerateContent`, and its
//! answers to `GET .../models` and `GET .../models/{model}`. All of it below `/v1` too, which its SDK
//! uses unless it is told otherwise.

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Finish};
use crate::content::{Part, Speaker, Turn, join};
use crate::error::Problem;
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told};
use crate::script::{Asked, Script, UsageTold};
use crate::stage::Stage;

const MODELS: [&str; 2] = ["gemini-example", "gemini-example-mini"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    contents: Vec<Content>,
    #[serde(alias = "system_instruction")]
    system_instruction: Option<Content>,
    #[serde(alias = "generation_config")]
    generation_config: Option<GenerationConfig>,
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
        .answer(|request, stage| Ok(reply(asked.map_err(Problem::InvalidRequest)?, form, request, stage)))
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

fn reply(asked: Asked, form: Form, request: Request, stage: &Stage) -> (Script, Reply) {
    let Request { contents, system_instruction, generation_config } = request;
    let mut turns: Vec<Turn> =
        system_instruction.into_iter().map(|content| Turn::other(join(content.parts))).collect();
    turns.extend(contents.into_iter().map(Turn::from));
    let limit = generation_config.and_then(|config| config.max_output_tokens);
    let model = stage.admit(asked, &turns);
    let answer = Answer::compose(&model, &turns, limit);
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
            Reply::Json(chunk.object(&answer.text(), output, Some(answer.finish)), chunk.told(output))
        }
        Form::Sse => Reply::Events(sse(chunk, answer)),
        Form::Array => Reply::Events(array(chunk, answer)),
    };
    (model.script, reply)
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
    fn object(&self, text: &str, output: usize, finish: Option<Finish>) -> Value {
        let mut candidate = json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
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

/// Lines end in CR LF, as Gemini's do.
fn sse(chunk: Chunk, answer: Answer) -> Events {
    let frame = |body: &Value, told| Frame::from(format!("data: {body}\r\n\r\n")).telling(told);
    let output = answer.usage.output;
    let last = frame(&chunk.object("", output, Some(answer.finish)), chunk.told(output));
    let words = answer.words.into_iter().enumerate();
    Events {
        content_type: "text/event-stream",
        head: Vec::new(),
        deltas: Box::new(
            words.map(move |(index, word)| {
                frame(&chunk.object(&word, index + 1, None), chunk.told(index + 1))
            }),
        ),
        tail: vec![last],
    }
}

fn array(chunk: Chunk, answer: Answer) -> Events {
    let output = answer.usage.output;
    let last = format!("{}]", chunk.object("", output, Some(answer.finish)));
    let last = Frame::from(last).telling(chunk.told(output));
    let words = answer.words.into_iter().enumerate().map(move |(index, word)| {
        let frame = format!("{},\r\n", chunk.object(&word, index + 1, None));
        Frame::from(frame).telling(chunk.told(index + 1))
    });
    Events {
        content_type: "application/json; charset=UTF-8",
        head: vec![Bytes::from_static(b"[").into()],
        // Each brings the comma to the one after it: the last part always follows.
        deltas: Box::new(words),
        tail: vec![last],
    }
}

fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "STOP",
        Finish::Length => "MAX_TOKENS",
    }
}
