//! What a provider will not answer although the request is well formed, in its own words.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::error::Api;

const PREFILL: &str = "This model does not support assistant message prefill. \
                       The conversation must end with a user message.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// More tokens than the model can take.
    Context,
    /// What was said, or would be, may not be.
    Filter,
    /// The last message is the model's own.
    Prefill,
}

impl Refusal {
    pub(super) fn status(self, api: Api) -> StatusCode {
        match (self, api) {
            // No error for Gemini, but an answer without candidates.
            (Self::Filter, Api::Gemini) => StatusCode::OK,
            (Self::Context | Self::Filter | Self::Prefill, _) => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn body(self, api: Api) -> Value {
        match (self, api) {
            (Self::Context, Api::OpenAi) => openai(
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 \
                 tokens. Please reduce the length of the messages.",
                "messages",
                "context_length_exceeded",
            ),
            (Self::Context, Api::Anthropic) => {
                anthropic("prompt is too long: 200251 tokens > 200000 maximum")
            }
            (Self::Context, Api::Gemini) => gemini(
                "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
            ),
            (Self::Filter, Api::OpenAi) => filtered(),
            (Self::Filter, Api::Anthropic) => anthropic("Output blocked by content filtering policy"),
            (Self::Filter, Api::Gemini) => json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            // `OpenAI` itself takes it; servers of other models in its format do not all.
            (Self::Prefill, Api::OpenAi) => openai(PREFILL, "messages", "invalid_value"),
            (Self::Prefill, Api::Anthropic) => anthropic(PREFILL),
            (Self::Prefill, Api::Gemini) => {
                gemini("Please ensure that multiturn requests ends with a user role or a function response.")
            }
        }
    }
}

fn openai(message: &str, param: &str, code: &str) -> Value {
    json!({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}})
}

fn anthropic(message: &str) -> Value {
    json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}})
}

fn gemini(message: &str) -> Value {
    json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}})
}

/// As Azure has it, whose filter stands before `OpenAI`'s models.
fn filtered() -> Value {
    let safe = json!({"filtered": false, "severity": "safe"});
    json!({"error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management \
            policy. Please modify your prompt and retry. To learn more about our content filtering policies \
            please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
        "type": null,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {
                "hate": safe,
                "jailbreak": {"filtered": false, "detected": false},
                "self_harm": safe,
                "sexual": safe,
                "violence": {"filtered": true, "severity": "medium"},
            },
        },
    }})
}
