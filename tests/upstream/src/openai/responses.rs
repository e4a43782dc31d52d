//! `POST /v1/responses`. Nothing is stored, so there is no GET.

use std::iter;

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wanted::wanted;
use crate::answer::{Answer, Call, Finish, Usage};
use crate::content::{Message, Turn};
use crate::error::Problem;
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told, event};
use crate::script::{Asked, Script, UsageTold};
use crate::stage::Stage;

#[derive(Deserialize)]
struct Request {
    model: Asked,
    input: Input,
    instructions: Option<String>,
    stream: Option<bool>,
    max_output_tokens: Option<usize>,
    tools: Option<Vec<Value>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    text: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Message>),
}

pub(crate) async fn responses(exchange: Exchange) -> Response {
    exchange.answer(reply).await
}

fn reply(request: Request, stage: &Stage) -> Result<(Script, Reply), Problem> {
    let Request { model, input, instructions, stream, max_output_tokens, .. } = request;
    let Request { tools, tool_choice, parallel_tool_calls, text, .. } = request;
    let wanted = wanted(tools.as_deref(), tool_choice.as_ref(), parallel_tool_calls, &text["format"])?;
    let mut turns: Vec<Turn> = instructions.iter().cloned().map(Turn::other).collect();
    match input {
        Input::Text(text) => turns.push(Turn::user(text)),
        Input::Items(items) => turns.extend(items.into_iter().map(Turn::from)),
    }
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, max_output_tokens, &wanted);
    let response = Object {
        id: format!("resp_{}", answer.id),
        message_id: format!("msg_{}", answer.id),
        model: model.name,
        created: stage.options.created,
        repeated: json!({
            "instructions": instructions,
            "max_output_tokens": max_output_tokens,
            "parallel_tool_calls": parallel_tool_calls.unwrap_or(true),
            "text": {"format": text.get("format").unwrap_or(&json!({"type": "text"}))},
            "tool_choice": tool_choice.unwrap_or(json!("auto")),
            "tools": tools.unwrap_or_default(),
        }),
        has_usage: model.script.usage != UsageTold::None,
        has_no_end: model.script.has_no_end,
    };
    let reply = if stream == Some(true) {
        Reply::Events(response.events(answer))
    } else {
        Reply::Json(response.finished(&answer), response.told(&answer))
    };
    Ok((model.script, reply))
}

/// The response object, which a stream shows three times at different stages.
struct Object {
    id: String,
    message_id: String,
    model: String,
    created: u64,
    /// What it has of the request.
    repeated: Value,
    has_usage: bool,
    /// A stream stops before its last event.
    has_no_end: bool,
}

impl Object {
    fn told(&self, answer: &Answer) -> Told {
        if self.has_usage { answer.usage.into() } else { Told::NOTHING }
    }

    fn finished(&self, answer: &Answer) -> Value {
        let status = status(answer.finish);
        let output = if answer.calls.is_empty() {
            json!([self.message(status, &json!([part(&answer.text())]))])
        } else {
            answer.calls.iter().map(|call| function_call(call, status, &call.arguments())).collect()
        };
        let mut object = self.object(status, &output);
        if self.has_usage {
            object["usage"] = usage(answer.usage);
        }
        if answer.finish == Finish::Length {
            object["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        object
    }

    fn object(&self, status: &str, output: &Value) -> Value {
        let mut object = json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "metadata": {},
            "model": self.model,
            "output": output,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "service_tier": "default",
            "store": false,
            "temperature": 1.0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": null,
            "user": null,
        });
        for (name, value) in self.repeated.as_object().into_iter().flatten() {
            object[name] = value.clone();
        }
        object
    }

    fn message(&self, status: &str, content: &Value) -> Value {
        json!({"id": self.message_id, "type": "message", "status": status, "role": "assistant", "content": content})
    }

    fn events(self, answer: Answer) -> Events {
        let started = self.object("in_progress", &json!([]));
        let mut head = vec![
            json!({"type": "response.created", "response": started}),
            json!({"type": "response.in_progress", "response": started}),
        ];
        let status = status(answer.finish);
        let told = self.told(&answer);
        let last = json!({"type": format!("response.{status}"), "response": self.finished(&answer)});
        let (deltas, tail): (Deltas, Vec<Value>) = if answer.calls.is_empty() {
            head.extend(self.message_opened());
            let tail = self.message_closed(status, &answer.text());
            (Box::new(self.message_deltas(answer.words)), tail.into())
        } else {
            let events: Vec<Value> = events_of_calls(answer.calls, status).collect();
            (Box::new(events.into_iter()), Vec::new())
        };
        let (first_delta, first_after) = (head.len(), head.len() + deltas.len());
        let last = numbered(first_after + tail.len(), last).telling(told);
        let tail = (first_after..).zip(tail).map(|(at, body)| numbered(at, body));
        Events {
            content_type: "text/event-stream; charset=utf-8",
            head: (0..).zip(head).map(|(at, body)| numbered(at, body)).collect(),
            deltas: Box::new((first_delta..).zip(deltas).map(|(at, body)| numbered(at, body))),
            tail: tail.chain((!self.has_no_end).then_some(last)).collect(),
        }
    }

    fn message_opened(&self) -> [Value; 2] {
        [
            json!({"type": "response.output_item.added", "output_index": 0,
                "item": self.message("in_progress", &json!([]))}),
            json!({"type": "response.content_part.added", "item_id": self.message_id, "output_index": 0,
                "content_index": 0, "part": part("")}),
        ]
    }

    fn message_deltas(&self, words: Vec<String>) -> impl ExactSizeIterator<Item = Value> + Send + use<> {
        let id = self.message_id.clone();
        words.into_iter().map(move |word| {
            json!({"type": "response.output_text.delta", "item_id": id, "output_index": 0, "content_index": 0,
                "delta": word, "logprobs": []})
        })
    }

    fn message_closed(&self, status: &str, text: &str) -> [Value; 3] {
        [
            json!({"type": "response.output_text.done", "item_id": self.message_id, "output_index": 0,
                "content_index": 0, "text": text, "logprobs": []}),
            json!({"type": "response.content_part.done", "item_id": self.message_id, "output_index": 0,
                "content_index": 0, "part": part(text)}),
            json!({"type": "response.output_item.done", "output_index": 0,
                "item": self.message(status, &json!([part(text)]))}),
        ]
    }
}

type Deltas = Box<dyn ExactSizeIterator<Item = Value> + Send>;

/// Each call is an item of the output.
fn events_of_calls(calls: Vec<Call>, status: &'static str) -> impl Iterator<Item = Value> {
    calls.into_iter().enumerate().flat_map(move |(index, call)| {
        let (item_id, arguments) = (item_id(&call), call.arguments());
        let added = json!({"type": "response.output_item.added", "output_index": index,
            "item": function_call(&call, "in_progress", "")});
        let done = [
            json!({"type": "response.function_call_arguments.done", "item_id": item_id, "output_index": index,
                "name": call.name, "arguments": arguments}),
            json!({"type": "response.output_item.done", "output_index": index,
                "item": function_call(&call, status, &arguments)}),
        ];
        let pieces = call.pieces.into_iter().map(move |piece| {
            json!({"type": "response.function_call_arguments.delta", "item_id": item_id, "output_index": index,
                "delta": piece})
        });
        iter::once(added).chain(pieces).chain(done)
    })
}

fn function_call(call: &Call, status: &str, arguments: &str) -> Value {
    json!({"id": item_id(call), "type": "function_call", "status": status, "call_id": format!("call_{}", call.id),
        "name": call.name, "arguments": arguments})
}

fn item_id(call: &Call) -> String {
    format!("fc_{}", call.id)
}

fn numbered(number: usize, mut body: Value) -> Frame {
    body["sequence_number"] = number.into();
    event(&body)
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn status(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Calls => "completed",
        Finish::Length => "incomplete",
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.total(),
    })
}
