//! The forms of answers that the edge observes, and a request for each.

use super::{EdgeStack, chat_body};
use reqwest::RequestBuilder;
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Chat,
    Completions,
    Responses,
    Messages,
    /// Its streams are events.
    Gemini,
    /// Its streams are an array that grows.
    GeminiArray,
}

impl Dialect {
    pub const ALL: [Self; 6] =
        [Self::Chat, Self::Completions, Self::Responses, Self::Messages, Self::Gemini, Self::GeminiArray];

    /// `model` may carry the example upstream's options.
    pub fn ask(self, edge: &EdgeStack, model: &str, is_streamed: bool) -> RequestBuilder {
        const QUESTION: &str = "Which key opens this door?";
        let (path, body) = match self {
            Self::Chat => ("/openai/v1/chat/completions".to_owned(), chat_body(model, is_streamed)),
            Self::Completions => (
                "/openai/v1/completions".to_owned(),
                json!({"model": model, "stream": is_streamed, "prompt": QUESTION}),
            ),
            Self::Responses => (
                "/openai/v1/responses".to_owned(),
                json!({"model": model, "stream": is_streamed, "input": QUESTION}),
            ),
            Self::Messages => {
                let mut body = chat_body(model, is_streamed);
                body["max_tokens"] = json!(2_000);
                ("/anthropic/v1/messages".to_owned(), body)
            }
            Self::Gemini | Self::GeminiArray => {
                let action = match self {
                    _ if !is_streamed => "generateContent",
                    Self::Gemini => "streamGenerateContent?alt=sse",
                    _ => "streamGenerateContent",
                };
                let body = json!({"contents": [{"role": "user", "parts": [{"text": QUESTION}]}]});
                (format!("/google/v1beta/models/{model}:{action}"), body)
            }
        };
        let request = edge.post(&path).bearer_auth(&edge.token).json(&body);
        if self == Self::Messages { request.header("anthropic-version", "2023-06-01") } else { request }
    }
}

/// Whether an answer of status 200 says itself, and last of all, that it failed.
pub fn ends_in_error(body: &[u8]) -> bool {
    let tail = String::from_utf8_lossy(&body[body.len().saturating_sub(1_000)..]);
    tail.trim_end().rsplit("\n\n").next().is_some_and(|last| last.contains("\"error\":{"))
}
