//! Usage that no one told and that cannot be counted, from sizes.

use shared::event::{Attempt, Event, Outcome, Usage, UsageSource};

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
    fill_answer(event);
    fill_attempts(event);
}

/// Each attempt of several has its own: that of the answer, or where nothing was
/// told, the input, if the provider may have worked.
fn fill_attempts(event: &mut Event) {
    let (usage, source) = (event.usage, event.usage_source);
    let input_tokens = Some(usage.input_tokens.unwrap_or_else(|| tokens(event.bytes_in)));
    let Some((last, others)) = event.attempts.split_last_mut().filter(|(_, others)| !others.is_empty())
    else {
        return;
    };
    (last.usage, last.usage_source) = (Some(usage), Some(source));
    for attempt in others.iter_mut().filter(|attempt| may_charge(attempt)) {
        attempt.usage = Some(Usage { input_tokens, output_tokens: Some(0), ..Usage::default() });
        attempt.usage_source = Some(UsageSource::Estimated);
    }
}

/// It was given up, or lost after it was sent, or had begun to answer; 520 and 524
/// are what Cloudflare says of the first two.
fn may_charge(attempt: &Attempt) -> bool {
    match attempt.outcome {
        Outcome::TimedOut => true,
        Outcome::Unreachable => matches!(attempt.status, None | Some(520 | 524)),
        Outcome::Answered => attempt.status.is_some_and(|status| (200..300).contains(&status)),
        Outcome::Redirected | Outcome::Abandoned => false,
    }
}

fn fill_answer(event: &mut Event) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn attempt(status: Option<u16>, outcome: Outcome) -> Attempt {
        let attempt = json!({
            "provider": "p", "credential_id": "0199d2b8-0000-7000-8000-000000000000",
            "started_at": 1, "ended_at": 2, "outcome": outcome, "status": status,
        });
        serde_json::from_value(attempt).unwrap()
    }

    #[test]
    fn what_may_be_charged_for() {
        for (status, outcome, expected) in [
            (None, Outcome::TimedOut, true),
            (None, Outcome::Unreachable, true),
            (Some(520), Outcome::Unreachable, true),
            (Some(521), Outcome::Unreachable, false),
            (Some(200), Outcome::TimedOut, true),
            (Some(200), Outcome::Answered, true),
            (Some(429), Outcome::Answered, false),
            (Some(503), Outcome::Answered, false),
            (None, Outcome::Abandoned, false),
        ] {
            assert_eq!(may_charge(&attempt(status, outcome)), expected, "{status:?} {outcome:?}");
        }
    }
}
