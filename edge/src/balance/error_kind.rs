//! What a provider's error says that its status does not.

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is too long for this model.
    ContextLength,
    /// The provider will not answer this, whoever asks.
    ContentFilter,
    /// The key is invalid, or nothing is left on its account.
    BadKey,
    Other,
}

/// Codes, types and reasons, in lower case.
const CODES: [(&str, ErrorKind); 9] = [
    // OpenAI, Azure, Groq, OpenRouter.
    ("context_length_exceeded", ErrorKind::ContextLength),
    // Azure.
    ("content_filter", ErrorKind::ContentFilter),
    ("responsibleaipolicyviolation", ErrorKind::ContentFilter),
    // OpenAI and OpenRouter.
    ("content_policy_violation", ErrorKind::ContentFilter),
    ("moderation_blocked", ErrorKind::ContentFilter),
    // OpenAI answers these with 429 and 401, Gemini its own with 400.
    ("insufficient_quota", ErrorKind::BadKey),
    ("billing_not_active", ErrorKind::BadKey),
    ("invalid_api_key", ErrorKind::BadKey),
    ("api_key_invalid", ErrorKind::BadKey),
];

/// Parts of messages, in lower case, where there is no code.
const PHRASES: [(&str, ErrorKind); 13] = [
    // OpenAI, DeepSeek, Mistral, OpenRouter, vLLM.
    ("maximum context length", ErrorKind::ContextLength),
    ("exceeds the context window", ErrorKind::ContextLength),
    // Anthropic.
    ("prompt is too long", ErrorKind::ContextLength),
    ("exceed context limit", ErrorKind::ContextLength),
    // Gemini.
    ("exceeds the maximum number of tokens", ErrorKind::ContextLength),
    // Groq, with 413: more than the account may ask in a minute.
    ("request too large for model", ErrorKind::ContextLength),
    // Cohere.
    ("too many tokens", ErrorKind::ContextLength),
    // xAI.
    ("maximum prompt length", ErrorKind::ContextLength),
    // Anthropic.
    ("content filtering policy", ErrorKind::ContentFilter),
    // OpenRouter, with 403.
    ("your input was flagged", ErrorKind::ContentFilter),
    // OpenAI.
    ("safety system", ErrorKind::ContentFilter),
    // Anthropic, with 400.
    ("credit balance is too low", ErrorKind::BadKey),
    // xAI, with 400.
    ("incorrect api key", ErrorKind::BadKey),
];

/// Whether an answer of `status` must be read to know what to do about it.
pub fn is_needed(status: u16) -> bool {
    matches!(status, 400 | 403 | 413 | 422 | 429)
}

/// `body` is the whole of an error, or what follows `data:` in a stream's frame. It is
/// read into memory once more: the caller bounds it.
pub fn of(body: &[u8]) -> ErrorKind {
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return ErrorKind::Other };
    // Gemini's streams are arrays.
    let root = document.get(0).unwrap_or(&document);
    let error = root.get("error").unwrap_or(root);
    let details = error.get("details").and_then(Value::as_array);
    let places = [Some(error), error.get("innererror")];
    let mut places = places.into_iter().flatten().chain(details.into_iter().flatten());
    places.find_map(kind_of).unwrap_or(ErrorKind::Other)
}

fn kind_of(error: &Value) -> Option<ErrorKind> {
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let by_code = ["code", "type", "reason"]
        .into_iter()
        .filter_map(text)
        .find_map(|said| CODES.iter().find_map(|(code, kind)| (said == *code).then_some(*kind)));
    by_code.or_else(|| {
        // Some have a string for an error, or the message beside it.
        let message = text("message").or_else(|| Some(error.as_str()?.to_ascii_lowercase()))?;
        PHRASES.iter().find_map(|(phrase, kind)| message.contains(phrase).then_some(*kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn errors_as_providers_write_them() {
        use ErrorKind::{BadKey, ContentFilter, ContextLength, Other};
        for (body, kind) in [
            // OpenAI: https://platform.openai.com/docs/guides/error-codes
            (
                r#"{"error":{"message":"This model's maximum context length is 4097 tokens. However, your messages resulted in 4294 tokens. Please reduce the length of the messages.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
                ContextLength,
            ),
            (
                r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
                BadKey,
            ),
            (
                r#"{"error":{"message":"Rate limit reached for gpt-4o","type":"tokens","param":null,"code":"rate_limit_exceeded"}}"#,
                Other,
            ),
            // Azure: https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter
            (
                r#"{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400}}"#,
                ContentFilter,
            ),
            (
                r#"{"error":{"code":null,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                ContentFilter,
            ),
            // Anthropic: https://docs.anthropic.com/en/api/errors
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"},"request_id":"req_1"}"#,
                ContextLength,
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again"}}"#,
                ContextLength,
            ),
            (
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
                BadKey,
            ),
            (r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, Other),
            // Gemini: https://ai.google.dev/gemini-api/docs/troubleshooting
            (
                r#"{"error":{"code":400,"message":"The input token count (461428) exceeds the maximum number of tokens allowed (131072).","status":"INVALID_ARGUMENT"}}"#,
                ContextLength,
            ),
            (
                r#"[{"error":{"code":400,"message":"The input token count (218152) exceeds the maximum number of tokens allowed (65536).","status":"INVALID_ARGUMENT"}}]"#,
                ContextLength,
            ),
            (
                r#"{"error":{"code":400,"message":"Not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
                BadKey,
            ),
            // DeepSeek, Groq, Mistral, OpenRouter, Cohere.
            (
                r#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 131134 tokens","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
                ContextLength,
            ),
            (
                r#"{"error":{"message":"Request too large for model `llama-3.3-70b-versatile` on tokens per minute (TPM): Limit 6000, Requested 14810","type":"tokens","code":"rate_limit_exceeded"}}"#,
                ContextLength,
            ),
            (
                r#"{"object":"error","message":"Prompt contains 40000 tokens, too large for model with 32768 maximum context length","type":"invalid_request_error","code":"3051"}"#,
                ContextLength,
            ),
            (
                r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged","metadata":{"reasons":["violence"]}}}"#,
                ContentFilter,
            ),
            (
                r#"{"message":"too many tokens: total number of tokens in the prompt cannot exceed 4081"}"#,
                ContextLength,
            ),
            (
                r#"{"error":"This model's maximum context length is 4097 tokens, however you requested 6539 tokens"}"#,
                ContextLength,
            ),
            // What a client wrote says nothing.
            (
                r#"{"error":{"message":"Bad value.","param":"context_length_exceeded"},"prompt":"prompt is too long"}"#,
                Other,
            ),
            ("", Other),
            ("[]", Other),
            ("<html>prompt is too long</html>", Other),
            (r#"{"error":{"code":{"code":"content_filter"}}}"#, Other),
        ] {
            assert_eq!(of(body.as_bytes()), kind, "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_some_kind(body in prop::collection::vec(any::<u8>(), 0..200)) {
            of(&body);
        }
    }
}
