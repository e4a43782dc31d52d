//! Anthropic's API: `POST /v1/messages`, and its answers to `GET /v1/models` and
//! `GET /v1/models/{id}`.

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Finish};
use crate::content::{Content, Message, Turn};
use crate::exchange::Exchange;
use crate::reply::{Events, Reply, Told, event};
use crate::script::{Asked, Model, Script, UsageTold};
use crate::stage::Stage;

const MODELS: [&str; 2] = ["claude-example", "claude-example-mini"];

#[derive(Deserialize)]
struct Request {
    model: Asked,
    /// Required, as Anthropic has it.
    max_tokens: usize,
    messages: Vec<Message>,
    system: Option<Content>,
    stream: Option<bool>,
}

pub(crate) async fn messages(exchange: Exchange) -> Response {
    exchange.answer(|request, stage| Ok(reply(request, stage))).await
}

pub(crate) fn models() -> Reply {
    let data: Vec<Value> = MODELS.iter().map(|id| object(id)).collect();
    Reply::json(
        json!({"data": data, "has_more": false, "first_id": MODELS.first(), "last_id": MODELS.last()}),
    )
}

/// Any name is a model here.
pub(crate) fn model(id: &str) -> Reply {
    Reply::json(object(id))
}

fn object(id: &str) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": "2023-11-14T22:13:20Z"})
}

fn reply(request: Request, stage: &Stage) -> (Script, Reply) {
    let Request { model, max_tokens, messages, system, stream } = request;
    let mut turns: Vec<Turn> = system.map(Content::into_text).map(Turn::other).into_iter().collect();
    turns.extend(messages.into_iter().map(Turn::from));
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, Some(max_tokens));
    let reply = if stream == Some(true) {
        Reply::Events(events(&model, answer))
    } else {
        let mut message = message(&model, &answer);
        message["content"] = json!([{"type": "text", "text": answer.text()}]);
        message["stop_reason"] = json!(stop_reason(answer.finish));
        if !has_usage(&model) {
            return (model.script, Reply::json(message));
        }
        message["usage"]["output_tokens"] = json!(answer.usage.output);
        Reply::Json(message, answer.usage.into())
    };
    (model.script, reply)
}

/// The message as it starts: no content yet, and one output token, as Anthropic reports it.
fn message(model: &Model, answer: &Answer) -> Value {
    let usage = json!({
        "input_tokens": answer.usage.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 1,
        "service_tier": "standard",
    });
    json!({
        "id": format!("msg_{}", answer.id),
        "type": "message",
        "role": "assistant",
        "model": model.name,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": if has_usage(model) { usage } else { Value::Null },
    })
}

fn events(model: &Model, answer: Answer) -> Events {
    let head = [
        json!({"type": "message_start", "message": message(model, &answer)}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
    ];
    let (input, output) = if has_usage(model) {
        let Told { input, output } = answer.usage.into();
        (Told { input, output: None }, Told { input: None, output })
    } else {
        (Told::NOTHING, Told::NOTHING)
    };
    let mut delta = json!({
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason(answer.finish), "stop_sequence": null},
    });
    if has_usage(model) {
        delta["usage"] = json!({"output_tokens": answer.usage.output});
    }
    let mut tail =
        vec![event(&json!({"type": "content_block_stop", "index": 0})), event(&delta).telling(output)];
    if !model.script.has_no_end {
        tail.push(event(&json!({"type": "message_stop"})));
    }
    let [start, block, ping] = head.each_ref().map(event);
    let deltas = answer.words.into_iter().map(|word| {
        event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}))
    });
    Events {
        content_type: "text/event-stream; charset=utf-8",
        head: vec![start.telling(input), block, ping],
        deltas: Box::new(deltas),
        tail,
    }
}

fn has_usage(model: &Model) -> bool {
    model.script.usage != UsageTold::None
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
    }
}
