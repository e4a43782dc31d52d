//! `POST /v1/responses`. Nothing is stored, so there is no GET.

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Finish, Usage};
use crate::content::{Message, Turn};
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
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Message>),
}

pub(crate) async fn responses(exchange: Exchange) -> Response {
    exchange.answer(|request, stage| Ok(reply(request, stage))).await
}

fn reply(request: Request, stage: &Stage) -> (Script, Reply) {
    let Request { model, input, instructions, stream, max_output_tokens } = request;
    let mut turns: Vec<Turn> = instructions.iter().cloned().map(Turn::other).collect();
    match input {
        Input::Text(text) => turns.push(Turn::user(text)),
        Input::Items(items) => turns.extend(items.into_iter().map(Turn::from)),
    }
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, max_output_tokens);
    let response = Object {
        id: format!("resp_{}", answer.id),
        message_id: format!("msg_{}", answer.id),
        model: model.name,
        created: stage.options.created,
        instructions,
        max_output_tokens,
        has_usage: model.script.usage != UsageTold::None,
        has_no_end: model.script.has_no_end,
    };
    let reply = if stream == Some(true) {
        Reply::Events(response.events(answer))
    } else {
        Reply::Json(response.finished(&answer), response.told(&answer))
    };
    (model.script, reply)
}

/// The response object, which a stream shows three times at different stages.
struct Object {
    id: String,
    message_id: String,
    model: String,
    created: u64,
    instructions: Option<String>,
    max_output_tokens: Option<usize>,
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
        let output = json!([self.message(status, &json!([part(&answer.text())]))]);
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
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": false,
            "error": null,
            "incomplete_details": null,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": {},
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "reasoning": {"effort": null, "summary": null},
            "service_tier": "default",
            "store": false,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": null,
            "user": null,
        })
    }

    fn message(&self, status: &str, content: &Value) -> Value {
        json!({"id": self.message_id, "type": "message", "status": status, "role": "assistant", "content": content})
    }

    fn events(self, answer: Answer) -> Events {
        let started = self.object("in_progress", &json!([]));
        let head = numbered(
            0,
            [
                json!({"type": "response.created", "response": started}),
                json!({"type": "response.in_progress", "response": started}),
                json!({"type": "response.output_item.added", "output_index": 0,
                "item": self.message("in_progress", &json!([]))}),
                json!({"type": "response.content_part.added", "item_id": self.message_id, "output_index": 0,
                "content_index": 0, "part": part("")}),
            ],
        );
        let text = answer.text();
        let first_delta = head.len();
        let mut tail = numbered(
            first_delta + answer.words.len(),
            [
                json!({"type": "response.output_text.done", "item_id": self.message_id, "output_index": 0,
                "content_index": 0, "text": text, "logprobs": []}),
                json!({"type": "response.content_part.done", "item_id": self.message_id, "output_index": 0,
                "content_index": 0, "part": part(&text)}),
                json!({"type": "response.output_item.done", "output_index": 0,
                "item": self.message(status(answer.finish), &json!([part(&text)]))}),
                json!({"type": format!("response.{}", status(answer.finish)), "response": self.finished(&answer)}),
            ],
        );
        if self.has_no_end {
            tail.pop();
        } else if let Some(last) = tail.pop() {
            tail.push(last.telling(self.told(&answer)));
        }
        let deltas = answer.words.into_iter().enumerate().map(move |(index, word)| {
            event(&json!({"type": "response.output_text.delta", "sequence_number": first_delta + index,
                "item_id": self.message_id, "output_index": 0, "content_index": 0, "delta": word, "logprobs": []}))
        });
        Events { content_type: "text/event-stream; charset=utf-8", head, deltas: Box::new(deltas), tail }
    }
}

fn numbered(first: usize, events: [Value; 4]) -> Vec<Frame> {
    let events = events.into_iter().enumerate();
    let number = |(index, mut body): (usize, Value)| {
        body["sequence_number"] = (first + index).into();
        event(&body)
    };
    events.map(number).collect()
}

fn part(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn status(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "completed",
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
