//! `POST /v1/chat/completions`

use std::iter;

use axum::body::Bytes;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wanted::wanted;
use crate::answer::{Answer, Call, Finish, Usage};
use crate::content::{Message, Turn};
use crate::error::Problem;
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told, data};
use crate::script::{Asked, Model, Script, UsageTold};
use crate::server::Options;
use crate::stage::Stage;
use crate::wanted::Wanted;

#[derive(Deserialize)]
struct Request {
    model: Asked,
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    response_format: Value,
}

#[derive(Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

pub(crate) async fn chat(exchange: Exchange) -> Response {
    exchange.answer(reply).await
}

/// A stream that answers nobody in particular.
pub(crate) fn stream(model: &Model, options: Options) -> Reply {
    let answer = Answer::compose(model, &[], None, &Wanted::default());
    Reply::Events(events(model, answer, options, false))
}

fn reply(request: Request, stage: &Stage) -> Result<(Script, Reply), Problem> {
    let Request { model, messages, stream, stream_options, max_tokens, max_completion_tokens, .. } = request;
    let wanted = wanted(
        request.tools.as_deref(),
        request.tool_choice.as_ref(),
        request.parallel_tool_calls,
        &request.response_format,
    )?;
    let turns: Vec<Turn> = messages.into_iter().map(Turn::from).collect();
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, max_completion_tokens.or(max_tokens), &wanted);
    let reply = if stream == Some(true) {
        let include_usage = stream_options.and_then(|options| options.include_usage) == Some(true);
        Reply::Events(events(&model, answer, stage.options, include_usage))
    } else {
        let mut body = completion(&model, &answer, stage.options);
        let mut told = Told::from(answer.usage);
        if model.script.usage == UsageTold::None {
            body["usage"] = Value::Null;
            told = Told::NOTHING;
        }
        Reply::Json(body, told)
    };
    Ok((model.script, reply))
}

fn completion(model: &Model, answer: &Answer, options: Options) -> Value {
    let mut message =
        json!({"role": "assistant", "content": answer.text(), "refusal": null, "annotations": []});
    if !answer.calls.is_empty() {
        message["content"] = Value::Null;
        message["tool_calls"] = answer.calls.iter().map(|call| tool_call(call, &call.arguments())).collect();
    }
    json!({
        "id": format!("chatcmpl-{}", answer.id),
        "object": "chat.completion",
        "created": options.created,
        "model": model.name,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": finish_reason(answer.finish),
        }],
        "usage": usage(answer.usage),
        "service_tier": "default",
        "system_fingerprint": "fp_example",
    })
}

fn events(model: &Model, answer: Answer, options: Options, include_usage: bool) -> Events {
    let chunk = Chunk {
        id: format!("chatcmpl-{}", answer.id),
        model: model.name.clone(),
        created: options.created,
        usage: model.script.usage,
        include_usage,
    };
    let so_far = |output| Usage { output, ..answer.usage };
    let mut opening = json!({"role": "assistant", "content": "", "refusal": null});
    if let Some(first) = answer.calls.first() {
        opening["content"] = Value::Null;
        opening["tool_calls"] = json!([opened(0, first)]);
    }
    let head = chunk.choice(&opening, None, so_far(0));
    let mut tail = vec![chunk.choice(&json!({}), Some(finish_reason(answer.finish)), answer.usage)];
    let is_told_last = include_usage && model.script.usage == UsageTold::Usual;
    tail.extend(is_told_last.then(|| chunk.frame(&json!([]), Some(answer.usage))));
    if !model.script.has_no_end {
        tail.push(Bytes::from_static(b"data: [DONE]\n\n").into());
    }
    let input = answer.usage.input;
    let words = answer.words.into_iter().map(|word| (json!({"content": word}), 1));
    let deltas = words.chain(deltas_of_calls(answer.calls)).scan(0, |output, (delta, tokens)| {
        *output += tokens;
        Some((delta, *output))
    });
    let deltas = deltas.map(move |(delta, output)| chunk.choice(&delta, None, Usage { input, output }));
    Events {
        content_type: "text/event-stream; charset=utf-8",
        head: iter::once(head).collect(),
        deltas: Box::new(deltas),
        tail,
    }
}

/// With the tokens that each counts for. The first call is there from the opening on.
fn deltas_of_calls(calls: Vec<Call>) -> impl Iterator<Item = (Value, usize)> + Send {
    calls.into_iter().enumerate().flat_map(|(index, call)| {
        let opened = (index > 0).then(|| (json!({"tool_calls": [opened(index, &call)]}), 0));
        let pieces = call.pieces.into_iter().map(move |piece| {
            (json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}), 1)
        });
        opened.into_iter().chain(pieces)
    })
}

fn opened(index: usize, call: &Call) -> Value {
    let mut opened = tool_call(call, "");
    opened["index"] = json!(index);
    opened
}

fn tool_call(call: &Call, arguments: &str) -> Value {
    let function = json!({"name": call.name, "arguments": arguments});
    json!({"id": format!("call_{}", call.id), "type": "function", "function": function})
}

/// What every chunk of a stream repeats.
struct Chunk {
    id: String,
    model: String,
    created: u64,
    usage: UsageTold,
    include_usage: bool,
}

impl Chunk {
    /// `so_far` is what has been used up to this chunk.
    fn choice(&self, delta: &Value, finish_reason: Option<&str>, so_far: Usage) -> Frame {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.frame(&json!([choice]), (self.usage == UsageTold::Every).then_some(so_far))
    }

    /// Where usage was asked for, every chunk has the field, and only the last one a value in it.
    fn frame(&self, choices: &Value, told: Option<Usage>) -> Frame {
        let mut body = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_example",
            "choices": choices,
        });
        if told.is_some() || (self.include_usage && self.usage == UsageTold::Usual) {
            body["usage"] = told.map_or(Value::Null, usage);
        }
        data(&body).telling(told.map_or(Told::NOTHING, Told::from))
    }
}

pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
    }
}

pub(super) fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total(),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    })
}
