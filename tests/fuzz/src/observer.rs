//! An answer of a provider, in any pieces. Of the first three bytes one says
//! whose it is, one in what pieces it comes, one how it ends.

use crate::memory::bounded;
use edge::observe::strip::Strip;
use edge::observe::{End, Observed, Observer};
use shared::event::{Completion, MAX_TEXT_LEN, MAX_TOKENS};
use shared::provider::Api;

/// Every dialect, as events and as a document.
const KINDS: [(Api, &str, &str); 8] = [
    (Api::OpenAi, "/v1/chat/completions", "text/event-stream"),
    (Api::OpenAi, "/v1/responses", "text/event-stream"),
    (Api::Anthropic, "/v1/messages", "text/event-stream"),
    (Api::Gemini, "/v1beta/models/m:streamGenerateContent", "text/event-stream"),
    (Api::Gemini, "/v1beta/models/m:streamGenerateContent", "application/json"),
    (Api::OpenAi, "/v2/chat", "text/event-stream"),
    (Api::OpenAi, "/v1/embeddings", "application/json"),
    (Api::OpenAi, "/v1/audio/speech", "text/event-stream"),
];
const ENDS: [End; 5] = [End::Clean, End::Cut, End::Stalled, End::Overran, End::ClientLeft];

pub fn run(data: &[u8]) -> bool {
    let Some((&[kind, size, end], body)) = data.split_first_chunk::<3>() else { return false };
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let end = ENDS[usize::from(end) % ENDS.len()];
    let size = usize::from(size).max(1);
    let observed = bounded(body.len(), || observe(kind, body, body.len().max(1), end));
    assert_eq!(observe(kind, body, size, end), observed);
    check(&observed);
    stripped(body, size);
    observed.completion == Completion::Complete && observed.usage.is_known()
}

fn observe((api, endpoint, content_type): (Api, &str, &str), body: &[u8], size: usize, end: End) -> Observed {
    let mut observer = Observer::new(api, endpoint, 200, content_type);
    body.chunks(size).for_each(|piece| observer.feed(piece));
    observer.end(end)
}

/// What an event may carry, and nothing appended to what is whole or to who left.
fn check(observed: &Observed) {
    let model = observed.model.as_deref().unwrap_or_default();
    assert!(model.len() <= MAX_TEXT_LEN && !model.contains('\0'));
    let usage = observed.usage;
    let counts = [usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.reasoning_tokens];
    assert!(counts.into_iter().flatten().all(|count| count <= MAX_TOKENS));
    let is_truncated = observed.completion == Completion::Truncated;
    assert_eq!(observed.error_code.is_some(), is_truncated);
    assert!(is_truncated || (observed.error_frame.is_none() && !observed.must_abort));
    assert!(observed.error_frame.is_none() || !observed.must_abort);
}

/// What is left out is the same in any pieces, and all that is left in is as it was.
fn stripped(body: &[u8], size: usize) {
    let strip = |size: usize| {
        let (mut strip, mut out) = (Strip::new(), Vec::new());
        body.chunks(size).for_each(|piece| strip.feed(piece, &mut out));
        out.extend(strip.end());
        out
    };
    let out = strip(size);
    // Of a frame that is too long to be held, pieces decide when it goes.
    if body.len() <= edge::observe::strip::MAX_HELD {
        assert_eq!(strip(body.len().max(1)), out);
    }
    let mut rest = body.iter();
    assert!(out.iter().all(|byte| rest.any(|other| other == byte)));
}
