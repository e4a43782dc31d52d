//! Anthropic's API: `POST /v1/messages`, and its answers to `GET /v1/models` and
//! `GET /v1/models/{id}`.

use std::iter;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Call, Finish};
use crate::content::{Content, Message, Turn};
use crate::error::Problem;
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told, event};
use crate::script::{Asked, Model, Script, UsageTold};
use crate::stage::Stage;
use crate::wanted::{Choice, Tool, Wanted};

const MODELS: [&str; 2] = ["claude-example", "claude-example-mini"];

#[derive(Deserialize)]
struct Request {
    model: Asked,
    /// Required, as Anthropic has it.
    max_tokens: usize,
    messages: Vec<Message>,
    system: Option<Content>,
    stream: Option<bool>,
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Value,
    #[serde(default)]
    output_config: Value,
}

pub(crate) async fn messages(exchange: Exchange) -> Response {
    exchange.answer(reply).await
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

fn reply(request: Request, stage: &Stage) -> Result<(Script, Reply), Problem> {
    let wanted = wanted(&request)?;
    let Request { model, max_tokens, messages, system, stream, .. } = request;
    let mut turns: Vec<Turn> = system.map(Content::into_text).map(Turn::other).into_iter().collect();
    turns.extend(messages.into_iter().map(Turn::from));
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, Some(max_tokens), &wanted);
    let reply = if stream == Some(true) {
        Reply::Events(events(&model, answer))
    } else {
        let mut message = message(&model, &answer);
        message["content"] = if answer.calls.is_empty() {
            json!([{"type": "text", "text": answer.text()}])
        } else {
            answer.calls.iter().map(|call| tool_use(call, &call.value())).collect()
        };
        message["stop_reason"] = json!(stop_reason(answer.finish));
        if !has_usage(&model) {
            return Ok((model.script, Reply::json(message)));
        }
        message["usage"]["output_tokens"] = json!(answer.usage.output);
        Reply::Json(message, answer.usage.into())
    };
    Ok((model.script, reply))
}

/// Anthropic's own tools have no schema.
fn wanted(request: &Request) -> Result<Wanted, Problem> {
    let tools = request.tools.iter().flatten().filter(|tool| tool["input_schema"].is_object());
    let tools = tools.filter_map(|tool| Tool::new(&tool["name"], &tool["input_schema"])).collect();
    let choice = &request.tool_choice;
    let chosen = match (choice["type"].as_str(), choice["name"].as_str()) {
        (Some("none"), _) => Choice::None,
        (Some("any"), _) => Choice::Any,
        (Some("tool"), Some(name)) => Choice::Named(name.to_owned()),
        _ => Choice::Auto,
    };
    let format = &request.output_config["format"];
    let schema = (format["type"] == "json_schema").then(|| format["schema"].clone());
    let wanted = Wanted::tools(tools, chosen)?;
    Ok(wanted.one_call(choice["disable_parallel_tool_use"] == true).in_form(schema))
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
        match answer.calls.first() {
            Some(call) => block_start(0, &tool_use(call, &json!({}))),
            None => block_start(0, &json!({"type": "text", "text": ""})),
        },
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
    let last = answer.calls.len().saturating_sub(1);
    let mut tail = vec![block_stop(last), event(&delta).telling(output)];
    if !model.script.has_no_end {
        tail.push(event(&json!({"type": "message_stop"})));
    }
    let [start, block, ping] = head.each_ref().map(event);
    let words = answer.words.into_iter().map(|word| {
        event(&json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}))
    });
    let deltas = words.chain(deltas_of_calls(answer.calls));
    Events {
        content_type: "text/event-stream; charset=utf-8",
        head: vec![start.telling(input), block, ping],
        deltas: Box::new(deltas),
        tail,
    }
}

/// Each call is a block; the first is open already, and the last still is.
fn deltas_of_calls(calls: Vec<Call>) -> impl Iterator<Item = Frame> + Send {
    calls.into_iter().enumerate().flat_map(|(index, call)| {
        let start = || event(&block_start(index, &tool_use(&call, &json!({}))));
        let opened = if index > 0 { vec![block_stop(index - 1), start()] } else { Vec::new() };
        // The first is empty, as Anthropic has it.
        let pieces = iter::once(String::new()).chain(call.pieces).map(move |piece| {
            let delta = json!({"type": "input_json_delta", "partial_json": piece});
            event(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
        });
        opened.into_iter().chain(pieces)
    })
}

fn block_start(index: usize, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn block_stop(index: usize) -> Frame {
    event(&json!({"type": "content_block_stop", "index": index}))
}

fn tool_use(call: &Call, input: &Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_{}", call.id), "name": call.name, "input": input})
}

fn has_usage(model: &Model) -> bool {
    model.script.usage != UsageTold::None
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::Calls => "tool_use",
    }
}
