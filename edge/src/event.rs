//! The one event that each request ends in, made as the request goes along.
//!
//! A [`Draft`] begins with the request's head. Each way in which a request can
//! end takes it, so that none ends twice.

use crate::authenticate::Caller;
use crate::head::Head;
use crate::in_flight::Begun;
use crate::observe::joined::Told;
use crate::observe::{End, Observed};
use crate::refusal::{Code, Refusal};
use shared::event::{Attempt, Bodies, Completion, Event, MAX_TEXT_LEN, Usage, UsageSource, VERSION};
use shared::id::UnixMs;
use shared::path::split_provider;
use shared::token;
use uuid::Uuid;

/// Longest `method`, in bytes; nobody asks with a longer one in good faith.
const MAX_METHOD_LEN: usize = 32;

/// For a client that left before it had an answer: what others log for it.
pub const CLIENT_LEFT: u16 = 499;

/// How far a decision came, so that a refusal can tell whose request it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Project and token; none before the caller is known.
    caller: Option<(Uuid, Uuid)>,
    provider: Option<String>,
}

impl Trace {
    pub fn caller(&mut self, caller: &Caller) {
        self.caller = Some((caller.project().id, caller.token_id()));
    }

    pub fn provider(&mut self, name: &str) {
        self.provider = Some(name.to_owned());
    }
}

/// Bytes of both bodies, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    pub bytes_in: u64,
    pub bytes_out: u64,
}

/// An event whose end is not known yet.
#[derive(Debug)]
pub struct Draft {
    event: Event,
    /// Until it is.
    _begun: Begun,
}

impl Draft {
    /// `id` is the one that the answer carries.
    pub fn new(id: Uuid, head: &Head<'_>, snapshot_version: Option<u64>, now: UnixMs, begun: Begun) -> Self {
        let path = head.path_and_query.split('?').next().unwrap_or_default();
        let (_, endpoint) = split_provider(path);
        let event = Event {
            v: VERSION,
            id,
            // These are the outbox's to give.
            isolate_id: Uuid::nil(),
            seq: 0,
            in_flight: 0,
            count: 1,
            started_at: now,
            first_byte_at: None,
            ended_at: now,
            project_id: None,
            token_id: None,
            provider: None,
            method: cut(head.method, MAX_METHOD_LEN).to_owned(),
            endpoint: without_token(endpoint),
            model_requested: None,
            model: None,
            status: 0,
            error_code: None,
            attempts: Vec::new(),
            bytes_in: head.content_length().unwrap_or_default(),
            bytes_out: 0,
            text_bytes_out: None,
            usage: Usage::default(),
            usage_source: UsageSource::None,
            completion: Completion::Refused,
            snapshot_version,
            colo: head.header("cf-ray").and_then(colo).map(str::to_owned),
            country: head.header("cf-ipcountry").and_then(country).map(str::to_owned),
            bodies: Bodies::default(),
        };
        Self { event, _begun: begun }
    }

    pub fn id(&self) -> Uuid {
        self.event.id
    }

    pub fn started_at(&self) -> UnixMs {
        self.event.started_at
    }

    /// What the decision learned.
    pub fn trace(&mut self, trace: Trace) {
        (self.event.project_id, self.event.token_id) = trace.caller.unzip();
        self.event.provider = trace.provider.map(|name| cut(&name, MAX_TEXT_LEN).to_owned());
    }

    /// Who is asked now.
    pub fn provider(&mut self, name: &str) {
        self.event.provider = Some(cut(name, MAX_TEXT_LEN).to_owned());
    }

    pub fn model_requested(&mut self, model: &str) {
        self.event.model_requested = Some(cut(model, MAX_TEXT_LEN).to_owned());
    }

    /// Which it is, from 0.
    pub fn attempt(&mut self, attempt: Attempt) -> usize {
        self.event.attempts.push(attempt);
        self.event.attempts.len() - 1
    }

    /// What the provider told in an answer that another went on with.
    pub fn attempt_told(&mut self, attempt: usize, told: Told) {
        let Some(attempt) = self.event.attempts.get_mut(attempt) else { return };
        attempt.text_bytes_out = told.text_bytes;
        if told.usage.is_known() {
            (attempt.usage, attempt.usage_source) = (Some(told.usage), Some(UsageSource::Reported));
        }
    }

    /// What the event says of the answer is of this attempt, where others came after it.
    pub fn answered_by(&mut self, attempt: usize, text_bytes: Option<u64>) {
        let Some(attempt) = self.event.attempts.get_mut(attempt) else { return };
        attempt.text_bytes_out = text_bytes.or(Some(0));
        self.event.provider = Some(attempt.provider.clone());
    }

    /// The one that was `told` of ended so, whatever was told; if none was, it is this.
    pub fn attempt_ended(&mut self, told: Option<usize>, attempt: Attempt) {
        match told.and_then(|told| self.event.attempts.get_mut(told)) {
            Some(told) => (told.outcome, told.ended_at) = (attempt.outcome, attempt.ended_at),
            None => self.event.attempts.push(attempt),
        }
    }

    /// As many came as are known of.
    pub fn bytes_in(&mut self, bytes: u64) {
        self.event.bytes_in = bytes;
    }

    /// The answer's headers are there, and go to the client.
    pub fn answered(&mut self, status: u16, now: UnixMs) {
        self.event.first_byte_at = Some(now);
        self.event.status = status;
    }

    /// Whether what goes to the client has a status of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.event.status)
    }

    /// Whether it is unknown whose the request is.
    pub fn is_anonymous(&self) -> bool {
        self.event.token_id.is_none()
    }

    /// The edge answers instead.
    pub fn refused(self, refusal: &Refusal, now: UnixMs) -> Event {
        Event {
            first_byte_at: None,
            ended_at: now.max(self.event.started_at),
            status: refusal.code.status(),
            error_code: Some(refusal.code.as_str().to_owned()),
            completion: Completion::Refused,
            ..self.event
        }
    }

    /// The client went before there was anything to answer.
    pub fn left(self, now: UnixMs) -> Event {
        Event {
            ended_at: now.max(self.event.started_at),
            status: CLIENT_LEFT,
            completion: Completion::Aborted,
            ..self.event
        }
    }

    /// The upstream's answer was passed on, and ended so. `observed` is what it
    /// said of itself, where it was read.
    pub fn ended(self, end: End, observed: Option<Observed>, passed: Passed, now: UnixMs) -> Event {
        let event = Event {
            ended_at: now.max(self.event.started_at),
            bytes_in: passed.bytes_in,
            bytes_out: passed.bytes_out,
            ..self.event
        };
        if let Some(observed) = observed {
            return Event {
                model: observed.model,
                usage: observed.usage,
                usage_source: observed.usage_source,
                text_bytes_out: observed.text_bytes,
                completion: observed.completion,
                error_code: observed.error_code.map(str::to_owned),
                ..event
            };
        }
        let error = match end {
            End::Clean | End::ClientLeft => None,
            End::Cut => Some(Code::UpstreamError),
            End::Stalled | End::Overran => Some(Code::UpstreamTimeout),
        };
        Event {
            completion: end.completion(),
            error_code: error.map(|code| code.as_str().to_owned()),
            ..event
        }
    }
}

/// The first `len` bytes of `text`, or a few less where a character would break.
pub fn cut(text: &str, len: usize) -> &str {
    &text[..text.floor_char_boundary(len)]
}

/// A token that somebody put into the path must not end up in a log.
fn without_token(endpoint: &str) -> String {
    let end = endpoint.find(token::PREFIX).unwrap_or(endpoint.len());
    cut(&endpoint[..end], MAX_TEXT_LEN).to_owned()
}

/// Cloudflare's data centre: the end of `cf-ray`.
fn colo(ray: &str) -> Option<&str> {
    let (_, colo) = ray.rsplit_once('-')?;
    (colo.len() == 3 && colo.bytes().all(|byte| byte.is_ascii_uppercase())).then_some(colo)
}

fn country(code: &str) -> Option<&str> {
    (code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight::InFlight;
    use shared::id;

    const NOW: UnixMs = 1_795_444_000_000;

    fn draft(path: &str, headers: &str) -> Draft {
        let text = format!("POST\nhttps://edge{path}\n{headers}");
        let begun = InFlight::default().begin();
        Draft::new(id::new(NOW, &[1; 10]), &Head::parse(&text).unwrap(), Some(7), NOW, begun)
    }

    /// As the control plane will read it.
    fn accepted(event: Event) -> Event {
        let event = Event { isolate_id: id::new(NOW, &[2; 10]), seq: 1, ..event };
        Event::parse(event.to_line().unwrap().as_bytes()).unwrap()
    }

    #[test]
    fn every_end_makes_an_event_that_is_accepted() {
        let path = "/openai/v1/chat/completions?api-version=1";
        let headers = "content-length\n12\ncf-ray\n0123-FRA\ncf-ipcountry\nDE\n";
        let refusal = Refusal::new(Code::UnknownProvider, "No such provider.");
        let event = accepted(draft(path, headers).refused(&refusal, NOW + 1));
        assert_eq!((event.endpoint.as_str(), event.method.as_str()), ("/v1/chat/completions", "POST"));
        assert_eq!((event.status, event.error_code.as_deref()), (404, Some("unknown_provider")));
        assert_eq!((event.colo.as_deref(), event.country.as_deref()), (Some("FRA"), Some("DE")));
        assert_eq!((event.bytes_in, event.completion), (12, Completion::Refused));

        assert_eq!(accepted(draft(path, headers).left(NOW)).completion, Completion::Aborted);

        let passed = Passed { bytes_in: 3, bytes_out: 4 };
        for (end, completion, error) in [
            (End::Clean, Completion::Complete, None),
            (End::Cut, Completion::Truncated, Some("upstream_error")),
            (End::Stalled, Completion::Truncated, Some("upstream_timeout")),
            (End::Overran, Completion::Truncated, Some("upstream_timeout")),
            (End::ClientLeft, Completion::Aborted, None),
        ] {
            let mut draft = draft(path, headers);
            draft.answered(200, NOW + 5);
            // A clock that went back must not make an event that is refused.
            let event = accepted(draft.ended(end, None, passed, NOW - 1));
            assert_eq!((event.completion, event.error_code.as_deref()), (completion, error));
            assert_eq!((event.bytes_in, event.bytes_out, event.ended_at), (3, 4, NOW));
        }
    }

    #[test]
    fn hostile_heads_make_events_that_are_accepted() {
        let long = "/é".repeat(1_000);
        for path in ["", "/", "?", "/v1", &long, "/openai/\u{1f511}"] {
            let refusal = Refusal::new(Code::InvalidPath, "");
            accepted(draft(path, "cf-ray\nx-\u{e9}\ncf-ipcountry\n<>\n").refused(&refusal, NOW));
        }
    }

    #[test]
    fn a_token_in_the_path_is_not_told() {
        let event = draft("/openai/v1/sk-lk-secret/x", "").left(NOW);
        assert_eq!(event.endpoint, "/v1/");
    }
}
