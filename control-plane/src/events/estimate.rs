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

/// Each attempt of several has its own: that of the answer, or what was told of it
/// before another went on with it; of the rest the input, and the text that came, if
/// the provider may have worked.
fn fill_attempts(event: &mut Event) {
    let Some(answering) = event.answering().filter(|_| event.attempts.len() > 1) else { return };
    let (usage, source) = (event.usage, event.usage_source);
    // Nobody answered: then it is as with those before.
    let is_answered = (200..300).contains(&event.status) || usage.is_known();
    let input_tokens = usage.input_tokens.unwrap_or_else(|| tokens(event.bytes_in));
    for (at, attempt) in event.attempts.iter_mut().enumerate() {
        let told = attempt.usage.unwrap_or_default();
        if at == answering && (is_answered || !may_charge(attempt)) {
            (attempt.usage, attempt.usage_source) = (Some(usage), Some(source));
        } else if told.output_tokens.is_none() && may_charge(attempt) {
            attempt.usage = Some(Usage {
                input_tokens: Some(told.input_tokens.unwrap_or(input_tokens)),
                output_tokens: Some(tokens(attempt.text_bytes_out.unwrap_or_default())),
                ..told
            });
            attempt.usage_source = Some(UsageSource::Estimated);
        }
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
    fn each_attempt_has_its_own() {
        let filled = |attempts: serde_json::Value, changes: &serde_json::Value| {
            let mut event = json!({
                "v": shared::event::VERSION, "id": "0199d2b8-0000-7000-8000-000000000000",
                "isolate_id": "0199d2b8-0000-7000-8000-000000000000", "seq": 1, "count": 1, "started_at": 1,
                "ended_at": 2, "method": "POST", "endpoint": "/v1/chat/completions", "status": 200,
                "bytes_in": 400, "bytes_out": 900, "input_tokens": 90, "output_tokens": 50,
                "usage_source": "reported", "completion": "complete", "model": "m", "attempts": attempts,
            });
            for (name, value) in changes.as_object().unwrap() {
                event[name] = value.clone();
            }
            let mut event: Event = serde_json::from_value(event).unwrap();
            fill(&mut event);
            event.attempts
        };
        let event = |attempts| filled(attempts, &json!({}));
        let of = |changes: serde_json::Value| {
            let mut attempt = serde_json::to_value(attempt(Some(200), Outcome::Answered)).unwrap();
            for (name, value) in changes.as_object().unwrap() {
                attempt[name] = value.clone();
            }
            attempt
        };
        let used = |attempt: &Attempt| {
            let Usage { input_tokens, output_tokens, .. } = attempt.usage.unwrap_or_default();
            (input_tokens, output_tokens, attempt.usage_source)
        };
        let (reported, estimated) = (Some(UsageSource::Reported), Some(UsageSource::Estimated));
        let silent = json!({"outcome": "timed_out", "status": null});
        let refused = json!({"status": 503});
        // One that broke off, one that told its input, one that refused, one that came to the end.
        let attempts = event(json!([
            of(json!({"text_bytes_out": 40})),
            of(json!({"text_bytes_out": 80, "usage": {"input_tokens": 70}, "usage_source": "reported"})),
            of(refused.clone()),
            of(json!({"text_bytes_out": 200})),
        ]));
        let expected = [
            (Some(90), Some(10), estimated),
            (Some(70), Some(20), estimated),
            (None, None, None),
            (Some(90), Some(50), reported),
        ];
        assert_eq!(attempts.iter().map(used).collect::<Vec<_>>(), expected);
        // Nobody went on with the first.
        let attempts = event(json!([of(json!({"text_bytes_out": 40})), of(refused), of(silent.clone())]));
        let expected = [(Some(90), Some(50), reported), (None, None, None), (Some(90), Some(0), estimated)];
        assert_eq!(attempts.iter().map(used).collect::<Vec<_>>(), expected);
        let attempts = event(json!([of(silent.clone()), of(json!({}))]));
        let expected = [(Some(90), Some(0), estimated), (Some(90), Some(50), reported)];
        assert_eq!(attempts.iter().map(used).collect::<Vec<_>>(), expected);
        // Nobody answered.
        let unanswered = json!({
            "status": 504, "input_tokens": null, "output_tokens": null, "usage_source": "none", "completion": "refused",
        });
        let attempts = filled(json!([of(silent.clone()), of(silent)]), &unanswered);
        assert_eq!(attempts.iter().map(used).collect::<Vec<_>>(), [(Some(100), Some(0), estimated); 2]);
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
