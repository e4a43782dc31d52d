//! `POST /v1/chat/completions`

use std::iter;

use axum::body::Bytes;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Finish, Usage};
use crate::content::{Message, Turn};
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told, data};
use crate::script::{Asked, Model, Script, UsageTold};
use crate::server::Options;
use crate::stage::Stage;

#[derive(Deserialize)]
struct Request {
    model: Asked,
    messages: Vec<Message>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
    max_completion_tokens: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

pub(crate) async fn chat(exchange: Exchange) -> Response {
    exchange.answer(|request, stage| Ok(reply(request, stage))).await
}

/// A stream that answers nobody in particular.
pub(crate) fn stream(model: &Model, options: Options) -> Reply {
    Reply::Events(events(model, Answer::compose(model, &[], None), options, false))
}

fn reply(request: Request, stage: &Stage) -> (Script, Reply) {
    let Request { model, messages, stream, stream_options, max_tokens, max_completion_tokens } = request;
    let turns: Vec<Turn> = messages.into_iter().map(Turn::from).collect();
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, max_completion_tokens.or(max_tokens));
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
    (model.script, reply)
}

fn completion(model: &Model, answer: &Answer, options: Options) -> Value {
    json!({
        "id": format!("chatcmpl-{}", answer.id),
        "object": "chat.completion",
        "created": options.created,
        "model": model.name,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": answer.text(), "refusal": null, "annotations": []},
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
    let head = chunk.choice(&json!({"role": "assistant", "content": "", "refusal": null}), None, so_far(0));
    let mut tail = vec![chunk.choice(&json!({}), Some(finish_reason(answer.finish)), answer.usage)];
    let is_told_last = include_usage && model.script.usage == UsageTold::Usual;
    tail.extend(is_told_last.then(|| chunk.frame(&json!([]), Some(answer.usage))));
    if !model.script.has_no_end {
        tail.push(Bytes::from_static(b"data: [DONE]\n\n").into());
    }
    let input = answer.usage.input;
    let words = answer.words.into_iter().enumerate().map(move |(index, word)| {
        chunk.choice(&json!({"content": word}), None, Usage { input, output: index + 1 })
    });
    Events {
        content_type: "text/event-stream; charset=utf-8",
        head: iter::once(head).collect(),
        deltas: Box::new(words),
        tail,
    }
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
