//! The texts in bodies that a model reads or wrote, by the shapes that the known
//! APIs have: `OpenAI`'s three, Anthropic's, Gemini's, Cohere's.

use serde_json::Value;
use std::collections::BTreeMap;

/// For each message of a chat, and for the beginning of the answer.
/// <https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>
const PER_MESSAGE: u64 = 3;
const PER_CHAT: u64 = 3;
const PER_NAME: u64 = 1;

/// What was asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) texts: Vec<String>,
    /// Tokens that are no text.
    pub(super) overhead: u64,
}

/// What was answered. A text may come in many pieces, by and by; each has a place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) texts: BTreeMap<Place, String>,
    is_known: bool,
}

/// Which choice, part, and call within it.
type Place = (u64, &'static str, u64);

impl Asked {
    /// None where it is none of those shapes.
    pub(super) fn read(body: &str) -> Option<Self> {
        const TEXTS: [&str; 9] = [
            "system",
            "instructions",
            "prompt",
            "input",
            "contents",
            "systemInstruction",
            "system_instruction",
            "message",
            "chat_history",
        ];
        const OBJECTS: [&str; 3] = ["tools", "functions", "response_format"];
        let body: Value = serde_json::from_str(body).ok()?;
        let mut asked = Self::default();
        for message in items(&body["messages"]) {
            asked.message(message);
        }
        let is_chat = asked.overhead > 0;
        asked.overhead += if is_chat { PER_CHAT } else { 0 };
        let mut is_known = is_chat;
        for value in TEXTS.into_iter().filter_map(|name| body.get(name)) {
            is_known = true;
            asked.overhead += tokens(value);
            content(value, &mut |text| asked.texts.push(text.to_owned()));
        }
        asked.texts.extend(OBJECTS.into_iter().filter_map(|name| body.get(name)).map(Value::to_string));
        is_known.then_some(asked)
    }

    fn message(&mut self, message: &Value) {
        self.overhead += PER_MESSAGE;
        for name in ["role", "name"] {
            self.texts.extend(message[name].as_str().map(str::to_owned));
        }
        self.overhead += if message["name"].is_string() { PER_NAME } else { 0 };
        for name in ["content", "tool_calls", "function_call"] {
            content(&message[name], &mut |text| self.texts.push(text.to_owned()));
        }
    }
}

impl Answered {
    /// None where it is none of those shapes.
    pub(super) fn read(body: &str) -> Option<Self> {
        let mut answered = Self::default();
        match body.trim_start().as_bytes().first()? {
            b'{' | b'[' => match serde_json::from_str(body).ok()? {
                Value::Array(frames) => frames.iter().for_each(|frame| answered.frame(frame)),
                document => answered.frame(&document),
            },
            _ => {
                for data in data_of_events(body) {
                    // The end mark is no JSON, nor is a frame that broke off.
                    if let Ok(frame) = serde_json::from_str(&data) {
                        answered.frame(&frame);
                    }
                }
            }
        }
        answered.is_known.then_some(answered)
    }

    fn frame(&mut self, frame: &Value) {
        let kind = frame["type"].as_str();
        let before = self.is_known;
        self.is_known = true;
        if frame["choices"].is_array() {
            numbered(&frame["choices"]).for_each(|(index, choice)| self.choice(index, choice));
        } else if frame["candidates"].is_array() {
            for (index, candidate) in numbered(&frame["candidates"]) {
                self.add((index, "content", 0), &candidate["content"]);
            }
        } else if frame["output"].is_array() {
            items(&frame["output"]).for_each(|item| self.add((0, "output", 0), item));
        } else if let (Some(kind), true) = (kind, frame["delta"].is_string()) {
            if kind.rsplit('.').next() == Some("delta") {
                self.add((frame["output_index"].as_u64().unwrap_or_default(), "delta", 0), &frame["delta"]);
            }
        } else if frame["delta"].is_object() {
            self.add((frame["index"].as_u64().unwrap_or_default(), "block", 0), &frame["delta"]);
        } else if frame["content_block"].is_object() {
            self.add(
                (frame["index"].as_u64().unwrap_or_default(), "block", 0),
                &frame["content_block"]["name"],
            );
        } else if frame["message"].is_object() {
            self.add((0, "message", 0), &frame["message"]);
        } else if frame["content"].is_array() {
            self.add((0, "content", 0), &frame["content"]);
        } else if kind.is_none() && frame["text"].is_string() {
            self.add((0, "text", 0), &frame["text"]);
        } else {
            // Vectors are no text.
            self.is_known = before || frame["data"].is_array() || frame["embeddings"].is_array();
        }
    }

    fn choice(&mut self, index: u64, choice: &Value) {
        self.add((index, "text", 0), &choice["text"]);
        for said in [&choice["message"], &choice["delta"]] {
            for name in ["content", "refusal", "reasoning_content", "reasoning", "function_call"] {
                self.add((index, name, 0), &said[name]);
            }
            for (call, tool) in numbered(&said["tool_calls"]) {
                self.add((index, "call", call), tool);
            }
        }
    }

    fn add(&mut self, place: Place, value: &Value) {
        content(value, &mut |text| self.texts.entry(place).or_default().push_str(text));
    }
}

/// The texts of a message, or of a part of one. Pictures and sound are left out.
/// `serde_json` has seen to it that nothing is nested deep.
fn content(value: &Value, add: &mut impl FnMut(&str)) {
    /// That have text, or parts of their own.
    const INNER: [&str; 14] = [
        "text",
        "content",
        "parts",
        "message",
        "thinking",
        "partial_json",
        "refusal",
        "summary",
        "function",
        "name",
        "arguments",
        "output",
        "tool_calls",
        "transcript",
    ];
    /// That a model reads or writes as JSON.
    const OBJECTS: [&str; 4] = ["input", "args", "functionCall", "functionResponse"];
    match value {
        Value::String(text) => add(text),
        Value::Array(parts) => parts.iter().for_each(|part| content(part, add)),
        Value::Object(part) => {
            INNER.into_iter().filter_map(|name| part.get(name)).for_each(|value| content(value, add));
            let objects = OBJECTS.into_iter().filter_map(|name| part.get(name));
            objects.filter(|value| value.is_object()).for_each(|value| add(&value.to_string()));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A prompt may be given as tokens.
fn tokens(value: &Value) -> u64 {
    match value {
        Value::Array(parts) => parts.iter().map(|part| if part.is_number() { 1 } else { tokens(part) }).sum(),
        _ => 0,
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// By the `index` that each has, or else its place.
fn numbered(value: &Value) -> impl Iterator<Item = (u64, &Value)> {
    items(value).zip(0..).map(|(item, place)| (item["index"].as_u64().unwrap_or(place), item))
}

/// What an event has in several lines is one text.
fn data_of_events(body: &str) -> Vec<String> {
    let mut events = vec![String::new()];
    for line in body.replace("\r\n", "\n").split(['\n', '\r']) {
        if line.is_empty() {
            events.push(String::new());
        } else if let (Some(data), Some(event)) = (line.strip_prefix("data:"), events.last_mut()) {
            event.push_str(data);
            event.push('\n');
        }
    }
    events.retain(|event| !event.is_empty());
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &str) -> (String, u64) {
        let Asked { texts, overhead } = Asked::read(body).unwrap();
        (texts.join("|"), overhead)
    }

    fn answered(body: &str) -> String {
        Answered::read(body).unwrap().texts.into_values().collect::<Vec<_>>().join("|")
    }

    #[test]
    fn what_is_asked() {
        for (body, texts, overhead) in [
            (
                r#"{"messages":[{"role":"user","name":"ada","content":"a"},{"role":"tool","content":[{"type":"text","text":"b"}]}]}"#,
                "user|ada|a|tool|b",
                10,
            ),
            (
                r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]}]}"#,
                "assistant|f|{}",
                6,
            ),
            (
                r#"{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"image","source":{"data":"AAAA"}},{"type":"tool_result","content":"r"},{"type":"tool_use","id":"x","name":"n","input":{"a":1}}]}]}"#,
                "user|r|n|{\"a\":1}|s",
                6,
            ),
            (r#"{"prompt":["a","b"],"max_tokens":5}"#, "a|b", 0),
            (r#"{"input":[[1,2,3],[4]],"model":"text-embedding-3-small"}"#, "", 4),
            (
                r#"{"instructions":"i","input":[{"role":"user","content":[{"type":"input_text","text":"t"},{"type":"input_image","image_url":"data:AAAA"}]},{"type":"function_call_output","call_id":"c","output":"o"}]}"#,
                "i|t|o",
                0,
            ),
            (
                r#"{"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"data":"AAAA"}}]}],"systemInstruction":{"parts":[{"text":"s"}]}}"#,
                "a|s",
                0,
            ),
            (r#"{"message":"m","chat_history":[{"role":"USER","message":"h"}]}"#, "m|h", 0),
            (r#"{"prompt":"p","tools":[{"name":"f"}]}"#, "p|[{\"name\":\"f\"}]", 0),
        ] {
            assert_eq!(asked(body), (texts.to_owned(), overhead), "{body}");
        }
        for body in ["", "null", "[]", "{}", "{\"model\":\"m\"}", "--boundary", "{\"messages\":[]}"] {
            assert_eq!(Asked::read(body), None, "{body}");
        }
    }

    #[test]
    fn what_is_answered() {
        for (body, texts) in [
            (
                r#"{"choices":[{"message":{"content":"a","reasoning_content":"r"}},{"index":1,"message":{"content":"b"}}]}"#,
                "a|r|b",
            ),
            (r#"{"choices":[{"text":"a","index":0}]}"#, "a"),
            (
                r#"{"object":"response","output":[{"type":"message","content":[{"type":"output_text","text":"a"}]},{"type":"function_call","name":"f","arguments":"{}"}]}"#,
                "af{}",
            ),
            (
                r#"{"type":"message","content":[{"type":"text","text":"a"},{"type":"tool_use","name":"n","input":{"b":1}}]}"#,
                "an{\"b\":1}",
            ),
            (r#"{"candidates":[{"content":{"parts":[{"text":"a"}],"role":"model"}}]}"#, "a"),
            (
                r#"[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]},{"candidates":[{"content":{"parts":[{"text":"b"}]}}]}]"#,
                "ab",
            ),
            (r#"{"message":{"role":"assistant","content":[{"type":"text","text":"a"}]}}"#, "a"),
            (r#"{"text":"a","generation_id":"g"}"#, "a"),
            (r#"{"object":"list","data":[{"embedding":[0.1]}]}"#, ""),
        ] {
            assert_eq!(answered(body), texts, "{body}");
        }
        for body in ["", "{}", "plain", "{\"error\":{}}", "data: [DONE]\n\n", "data: {\"choices"] {
            assert_eq!(Answered::read(body), None, "{body}");
        }
    }

    /// The captures that the edge's reader of answers is tested with.
    #[test]
    fn what_is_streamed() {
        macro_rules! capture {
            ($name:literal) => {
                include_str!(concat!("../../../../edge/src/observe/captures/", $name))
            };
        }
        for (text, body) in [
            ("Grüß \"dich\" 😀 \\", capture!("openai-chat.sse")),
            ("Hi", capture!("openai-responses.sse")),
            ("Hello, \"you\"", capture!("anthropic.sse")),
            ("Hello there, Zoë.", capture!("gemini.sse")),
            ("Hello there.", capture!("gemini-array.json")),
            ("Hi", capture!("openrouter.sse")),
            ("Hello", capture!("cohere.sse")),
        ] {
            assert_eq!(answered(body), text);
        }
    }
}
