//! Usage that the provider did not report, counted from captured bodies. Only
//! `OpenAI`'s models are counted with their own tokens; of others it is near.

mod texts;

use super::tally::Arrived;
use shared::event::{Event, Usage, UsageSource};
use std::collections::HashSet;
use std::time::Duration;
use texts::{Answered, Asked};
use tiktoken_rs::{CoreBPE, cl100k_base_singleton, o200k_base_singleton};
use tokio::time::Instant;

/// Of one pass; what is left then is estimated from sizes. Bodies made for it
/// take 20 ms each, others 2 ms.
const PATIENCE: Duration = Duration::from_secs(5);

/// How the names begin of models with the older tokens.
const OLDER: [&str; 6] = ["gpt-3.5", "gpt-35", "gpt-4", "text-embedding-", "davinci-002", "babbage-002"];
/// Of those, how the names begin of models with the newer ones all the same.
const NEWER: [&str; 3] = ["gpt-4o", "gpt-4.1", "gpt-4.5"];

/// Counts where that can be done. Nothing else waits for it, nor fails by it.
pub(super) async fn fill(arrived: &mut [Arrived]) {
    let began = Instant::now();
    for Arrived { event, .. } in arrived {
        let Some(bodies) = Countable::of(event) else { continue };
        if began.elapsed() > PATIENCE {
            tracing::warn!("counting tokens takes long; what is left is estimated from sizes");
            return;
        }
        // The error of one that panicked might repeat what was said.
        let Ok(usage) = tokio::task::spawn_blocking(move || bodies.count()).await else {
            tracing::warn!(event = %event.id, "tokens could not be counted");
            continue;
        };
        if let Some(usage) = usage {
            (event.usage, event.usage_source) = (usage, UsageSource::Estimated);
        }
    }
}

struct Countable {
    model: String,
    request: String,
    response: String,
}

impl Countable {
    fn of(event: &Event) -> Option<Self> {
        let bodies = &event.bodies;
        let is_answer = (200..300).contains(&event.status) && !event.usage.is_known();
        if !is_answer || bodies.request_body_cut || bodies.response_body_cut {
            return None;
        }
        Some(Self {
            model: event.model.clone().or_else(|| event.model_requested.clone())?,
            request: bodies.request_body.clone()?,
            response: bodies.response_body.clone()?,
        })
    }

    /// None where a body is none that is known.
    fn count(&self) -> Option<Usage> {
        let (asked, answered) = (Asked::read(&self.request)?, Answered::read(&self.response)?);
        let encoder = encoder(&self.model);
        Some(Usage {
            input_tokens: Some(count(encoder, asked.texts.iter())? + asked.overhead),
            output_tokens: Some(count(encoder, answered.texts.values())?),
            ..Usage::default()
        })
    }
}

fn count<'a>(encoder: &CoreBPE, texts: impl Iterator<Item = &'a String>) -> Option<u64> {
    let nothing = HashSet::new();
    texts.map(|text| encoder.count(text, &nothing).ok().map(|count| count as u64)).sum()
}

/// Made when it is first needed; it stays, with up to 50 MB.
fn encoder(model: &str) -> &'static CoreBPE {
    // `openai/gpt-4o` is OpenRouter's name for it, `ft:gpt-4o:...` that of a fine-tuned one.
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let begins = |with: &[&str]| with.iter().any(|start| name.starts_with(start));
    if begins(&OLDER) && !begins(&NEWER) { cl100k_base_singleton() } else { o200k_base_singleton() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(model: &str, request: &str, response: &str) -> Option<(u64, u64)> {
        let countable = Countable { model: model.into(), request: request.into(), response: response.into() };
        let usage = countable.count()?;
        Some((usage.input_tokens?, usage.output_tokens?))
    }

    const ASKED: &str = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"You are a helpful assistant."},
        {"role":"user","content":[{"type":"text","text":"hello world"},{"type":"image_url","image_url":{"url":"data:AAAA"}}]}]}"#;

    /// By hand from `OpenAI`'s documentation: 3 a message, 1 its role, 3 for the answer's beginning.
    #[test]
    fn chats() {
        let answer =
            r#"{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hello world"}}]}"#;
        let input = (3 + 1 + 6) + (3 + 1 + 2) + 3;
        assert_eq!(usage("gpt-4o-mini", ASKED, answer), Some((input, 2)));
        assert_eq!(usage("gpt-4", ASKED, answer), Some((input, 2)));
        let frame = |text: &str| {
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
        };
        // Counted as the one text it is.
        let stream = [&frame("hel"), &frame("lo wor"), &frame("ld"), "data: [DONE]\n\n"].concat();
        assert_eq!(usage("openai/gpt-5", ASKED, &stream), Some((input, 2)));
    }

    #[test]
    fn the_encoding_is_the_models() {
        let newer = [
            "gpt-4o",
            "chatgpt-4o-latest",
            "gpt-4.1-nano",
            "gpt-5",
            "o3-mini",
            "claude-3",
            "ft:gpt-4o:x",
            "?",
        ];
        let older =
            ["gpt-4", "gpt-4-turbo", "openai/gpt-3.5-turbo", "ft:gpt-3.5-turbo:x", "text-embedding-3-small"];
        assert!(newer.iter().all(|model| std::ptr::eq(encoder(model), o200k_base_singleton())));
        assert!(older.iter().all(|model| std::ptr::eq(encoder(model), cl100k_base_singleton())));
    }

    #[test]
    fn bodies_made_to_take_long_do_not() {
        let length = shared::event::MAX_BODIES_LEN;
        encoder("gpt-5");
        for piece in ["a", " ", "\\n", "!", "1", "漢", "👩‍👩‍👧", " \\n\\t", "<|endoftext|>", "aB", "e\u{301}"]
        {
            let answer = format!("{{\"text\":\"{}\"}}", piece.repeat(length / piece.len()));
            let began = Instant::now();
            assert!(usage("gpt-5", "{\"message\":\"\"}", &answer).is_some());
            assert!(began.elapsed() < Duration::from_secs(2), "{piece}: {:?}", began.elapsed());
        }
        let deep = "[".repeat(length);
        assert_eq!(usage("gpt-5", &deep, "{}"), None);
        assert_eq!(usage("gpt-5", "{\"prompt\":\"x\"}", &deep), None);
    }
}
