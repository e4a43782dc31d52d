//! Usage that no one told and that cannot be counted, from sizes.

use shared::event::{Event, Usage, UsageSource};

/// About as many bytes of text as a token has.
const BYTES_PER_TOKEN: u64 = 4;

/// How the paths end whose bodies are text in both directions.
const TEXT_ENDPOINTS: [&str; 8] = [
    "/chat/completions",
    "/completions",
    "/responses",
    "/embeddings",
    "/messages",
    "/chat",
    ":generateContent",
    ":streamGenerateContent",
];

/// Gives an answer of a model an estimate where its usage is not known, or that
/// part of it which is not.
pub(super) fn fill(event: &mut Event) {
    let is_answer = (200..300).contains(&event.status) && event.bytes_out > 0;
    let has_model = event.model.is_some() || event.model_requested.is_some();
    let is_text = TEXT_ENDPOINTS.iter().any(|end| event.endpoint.ends_with(end));
    let Usage { input_tokens, output_tokens, .. } = event.usage;
    // Anthropic tells the input at the start, the output at the end.
    let lacks_output = output_tokens.is_none() && event.text_bytes_out > Some(0);
    if (event.usage.is_known() && !lacks_output) || !is_answer || !has_model || !is_text {
        return;
    }
    // Of a stream most is the form around a word or two.
    let written = event.text_bytes_out.unwrap_or(event.bytes_out);
    let estimate = if event.endpoint.ends_with("/embeddings") { 0 } else { tokens(written) };
    event.usage = Usage {
        input_tokens: Some(input_tokens.unwrap_or_else(|| tokens(event.bytes_in))),
        output_tokens: Some(output_tokens.unwrap_or(estimate)),
        ..event.usage
    };
    event.usage_source = UsageSource::Estimated;
}

fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}
