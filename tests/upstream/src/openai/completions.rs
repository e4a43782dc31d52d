//! `POST /v1/completions`, the endpoint before chat, which other servers of models still have.

use axum::body::Bytes;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::chat::{StreamOptions, finish_reason, usage};
use crate::answer::{Answer, Usage};
use crate::content::Turn;
use crate::exchange::Exchange;
use crate::reply::{Events, Frame, Reply, Told, data};
use crate::script::{Asked, Script, UsageTold};
use crate::stage::Stage;
use crate::wanted::Wanted;

#[derive(Deserialize)]
struct Request {
    model: Asked,
    prompt: String,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    max_tokens: Option<usize>,
}

pub(crate) async fn completions(exchange: Exchange) -> Response {
    exchange.answer(|request, stage| Ok(reply(request, stage))).await
}

fn reply(request: Request, stage: &Stage) -> (Script, Reply) {
    let Request { model, prompt, stream, stream_options, max_tokens } = request;
    let turns = [Turn::user(prompt)];
    let model = stage.admit(model, &turns);
    let answer = Answer::compose(&model, &turns, max_tokens, &Wanted::default());
    let object =
        Object { id: format!("cmpl-{}", answer.id), model: model.name, created: stage.options.created };
    let is_told = match model.script.usage {
        UsageTold::None => false,
        UsageTold::Usual | UsageTold::Every => true,
    };
    let reply = if stream == Some(true) {
        let is_asked = stream_options.and_then(|options| options.include_usage) == Some(true);
        Reply::Events(object.events(answer, is_asked && is_told, model.script.has_no_end))
    } else {
        let told = is_told.then_some(answer.usage);
        let body = object.body(&answer.text(), Some(finish_reason(answer.finish)), told);
        Reply::Json(body, told.map_or(Told::NOTHING, Told::from))
    };
    (model.script, reply)
}

/// What all of an answer's chunks repeat.
struct Object {
    id: String,
    model: String,
    created: u64,
}

impl Object {
    fn body(&self, text: &str, finish_reason: Option<&str>, told: Option<Usage>) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason}],
            "usage": told.map(usage),
        })
    }

    fn events(self, answer: Answer, is_told: bool, has_no_end: bool) -> Events {
        let mut tail = vec![data(&self.body("", Some(finish_reason(answer.finish)), None))];
        if is_told {
            let mut last = self.body("", None, Some(answer.usage));
            last["choices"] = json!([]);
            tail.push(data(&last).telling(answer.usage));
        }
        if !has_no_end {
            tail.push(Frame::from(Bytes::from_static(b"data: [DONE]\n\n")));
        }
        Events {
            content_type: "text/event-stream; charset=utf-8",
            head: Vec::new(),
            deltas: Box::new(answer.words.into_iter().map(move |word| data(&self.body(&word, None, None)))),
            tail,
        }
    }
}
