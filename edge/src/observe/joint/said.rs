//! What one frame of a stream says, as far as it matters whether another says the same.

use super::Form;
use serde_json::{Map, Value};

const DONE: &[u8] = b"[DONE]";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) begins: Option<Begins>,
    /// That its text has ended, why, what it used.
    pub(super) is_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// An answer: its role, its name.
    Answer,
    /// Its text.
    Text,
}

impl Said {
    fn end() -> Self {
        Self { is_end: true, ..Self::default() }
    }
}

/// None for what is not text, a tool's call, a thought, another choice, or is not known.
pub(super) fn of(form: Form, frame: &[u8]) -> Option<Said> {
    let data = data(frame);
    if data.is_empty() {
        return Some(Said::default());
    }
    if data == DONE {
        return Some(Said::end());
    }
    let Ok(Value::Object(event)) = serde_json::from_slice(&data) else { return None };
    match form {
        Form::Chat => chat(&event),
        Form::Messages => message(&event),
        Form::Gemini => gemini(&event),
    }
}

/// The frame with this text in place of its own.
pub(super) fn with_text(form: Form, frame: &[u8], text: &str) -> Option<Vec<u8>> {
    let mut event: Value = serde_json::from_slice(&data(frame)).ok()?;
    let place = match form {
        Form::Chat if event.pointer("/choices/0/text").is_some() => "/choices/0/text",
        Form::Chat => "/choices/0/delta/content",
        Form::Messages if event.get("type")? == "content_block_start" => "/content_block/text",
        Form::Messages => "/delta/text",
        Form::Gemini => {
            event.pointer_mut("/candidates/0/content/parts")?.as_array_mut()?.truncate(1);
            "/candidates/0/content/parts/0/text"
        }
    };
    *event.pointer_mut(place)? = text.into();
    let mut new = Vec::with_capacity(frame.len());
    let others = lines(frame).filter(|line| !line.is_empty() && value_of(line).is_none());
    for line in others.chain([format!("data: {event}").as_bytes(), b""]) {
        new.extend_from_slice(line);
        new.push(b'\n');
    }
    Some(new)
}

/// Of its `data:` lines, with newlines between them.
fn data(frame: &[u8]) -> Vec<u8> {
    lines(frame).filter_map(value_of).collect::<Vec<_>>().join(&b'\n')
}

fn lines(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    frame.split(|&byte| byte == b'\n' || byte == b'\r')
}

fn value_of(line: &[u8]) -> Option<&[u8]> {
    let value = line.strip_prefix(b"data")?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// `OpenAI`'s chat completions, and completions.
fn chat(event: &Map<String, Value>) -> Option<Said> {
    let has_usage = event.get("usage").is_some_and(Value::is_object);
    let choice = match event.get("choices")?.as_array()?.as_slice() {
        [] => return Some(if has_usage { Said::end() } else { Said::default() }),
        [choice] => choice.as_object()?,
        _ => return None,
    };
    let is_first = choice.get("index").is_none_or(|index| index == 0);
    if !is_first || !choice.get("logprobs").is_none_or(Value::is_null) {
        return None;
    }
    let mut said = match choice.get("finish_reason") {
        None | Some(Value::Null) => Said::default(),
        Some(reason) if reason == "tool_calls" || reason == "function_call" => return None,
        Some(_) => Said::end(),
    };
    let text = choice.get("text");
    if let Some(text) = text {
        text.as_str()?.clone_into(&mut said.text);
    }
    for (name, value) in choice.get("delta").and_then(Value::as_object).into_iter().flatten() {
        match (name.as_str(), value) {
            ("role", _) => said.begins = Some(Begins::Answer),
            ("content", Value::String(content)) if text.is_none() => said.text.clone_from(content),
            _ if is_nothing(value) => {}
            _ => return None,
        }
    }
    Some(said)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Anthropic's messages.
fn message(event: &Map<String, Value>) -> Option<Said> {
    let text_in = |field: &str, kind: &str| {
        let part = event.get(field)?;
        let is_text = event.get("index")? == 0 && part.get("type")? == kind;
        // With citations it is not only text.
        let is_bare = part.get("citations").is_none_or(is_nothing);
        if is_text && is_bare { part.get("text")?.as_str().map(str::to_owned) } else { None }
    };
    Some(match event.get("type")?.as_str()? {
        "ping" => Said::default(),
        "message_start" => {
            let is_empty = event.get("message")?.get("content").is_none_or(is_nothing);
            is_empty.then(|| Said { begins: Some(Begins::Answer), ..Said::default() })?
        }
        "content_block_start" => {
            let text = text_in("content_block", "text")?;
            Said { text, begins: Some(Begins::Text), is_end: false }
        }
        "content_block_delta" => Said { text: text_in("delta", "text_delta")?, ..Said::default() },
        "content_block_stop" | "message_delta" | "message_stop" => Said::end(),
        _ => return None,
    })
}

fn gemini(event: &Map<String, Value>) -> Option<Said> {
    if event.get("promptFeedback").is_some() {
        return None;
    }
    let candidate = match event.get("candidates").and_then(Value::as_array).map(Vec::as_slice) {
        None | Some([]) => return Some(Said::default()),
        Some([candidate]) => candidate,
        Some(_) => return None,
    };
    if candidate.get("index").is_some_and(|index| index != 0) {
        return None;
    }
    let has_ended = candidate.get("finishReason").is_some_and(|reason| !reason.is_null());
    let mut said = if has_ended { Said::end() } else { Said::default() };
    let parts = candidate.pointer("/content/parts").and_then(Value::as_array);
    for part in parts.into_iter().flatten().filter_map(Value::as_object) {
        let text = part.get("text").filter(|_| part.len() == 1)?;
        said.text.push_str(text.as_str()?);
    }
    Some(said)
}
