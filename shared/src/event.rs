//! What the edge tells of a request, whatever its end: one JSON object a line,
//! from the isolate through the queue and the durable log to every consumer.
//!
//! A newer edge may add fields: they are ignored here and kept in the log. A
//! change of meaning takes a new `v`.

use crate::id::{self, UnixMs};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;
use uuid::Uuid;

/// The only one so far.
pub const VERSION: u8 = 1;

/// Longest line; what the edge makes is half of it.
pub const MAX_LINE_LEN: usize = 64 * 1024;

/// Longest `endpoint`, `model`, `model_requested`, in bytes; the edge cuts them there.
pub const MAX_TEXT_LEN: usize = 256;

/// Longest `request_body` and `response_body` together, in bytes, as they are
/// written in the line.
pub const MAX_BODIES_LEN: usize = 32 * 1024;

/// More than any request has, and little enough that sums of them stay in range.
pub const MAX_TOKENS: u64 = 1 << 40;
const MAX_BYTES: u64 = 1 << 50;
const MAX_COUNT: u32 = 10_000_000;

/// Far more than an isolate could carry; the edge cuts it there.
pub const MAX_IN_FLIGHT: u32 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub v: u8,
    /// The request's id, which its answer carried: what makes the event count once.
    pub id: Uuid,
    pub isolate_id: Uuid,
    /// Of the isolate's events, from 1, none left out: a gap is a loss.
    pub seq: u64,
    /// How many requests it stands for: more than one only where they were
    /// refused before it was known whose they are.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u32,
    pub started_at: UnixMs,
    /// When the answer's headers were there; none where the edge refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_at: Option<UnixMs>,
    pub ended_at: UnixMs,
    /// None before it is known whose the request is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub method: String,
    /// The path at the provider, without the query.
    pub endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_requested: Option<String>,
    /// As the provider answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the client was answered.
    pub status: u16,
    /// Of the error table, where the edge refused or a stream broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// Of the client's body, as far as it is known.
    #[serde(default)]
    pub bytes_in: u64,
    /// Of the answer's body, as far as it was sent, before any compression.
    #[serde(default)]
    pub bytes_out: u64,
    /// Of the answer, what the model wrote: text and tools' arguments, without the
    /// form around them. None where the answer was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_bytes_out: Option<u64>,
    #[serde(flatten)]
    pub usage: Usage,
    #[serde(default)]
    pub usage_source: UsageSource,
    pub completion: Completion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colo: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// How many other requests of the isolate had begun and not ended when this
    /// event got its number: what it lost, at least, if this was its last.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub in_flight: u32,
    /// At the end, so that the beginning of a line has nothing of them.
    #[serde(flatten)]
    pub bodies: Bodies,
}

/// Bodies as text, where the project has them captured: as they passed, but for
/// what was redacted, and cut to [`MAX_BODIES_LEN`].
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bodies {
    /// The client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_body: Option<String>,
    /// Only its beginning is there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub request_body_cut: bool,
    /// The answer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_body: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub response_body_cut: bool,
}

/// One call of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub provider: String,
    /// As it was sent, where a route said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub credential_id: Uuid,
    pub started_at: UnixMs,
    /// When its headers were there, or it was given up.
    pub ended_at: UnixMs,
    /// None where it did not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// Of one that was followed by another, what the provider may charge for; of
    /// the last, what the event says. The control plane adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_source: Option<UsageSource>,
    /// Where one provider's stream was gone on with by another's: bytes that the model
    /// wrote in this one. The last that has them is the one that the event tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_bytes_out: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Answered,
    Unreachable,
    TimedOut,
    /// A redirect, which is not followed.
    Redirected,
    /// The client left, or its body broke off, before there was an answer.
    Abandoned,
}

/// Tokens, as the provider counts them; `None` = it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All of them, cached ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// All of them, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Of the input, what the provider had in its cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u64>,
    /// Of the output, what was not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageSource {
    /// By the provider.
    Reported,
    /// From sizes, or counted afterwards.
    Estimated,
    /// Nothing is known, or nothing was used.
    #[default]
    None,
}

/// How the answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Completion {
    /// The provider's answer, whole; it may be an error of the provider's.
    Complete,
    /// It broke off, stalled, took too long, or said itself that it failed.
    Truncated,
    /// The client left before its end.
    Aborted,
    /// The edge answered instead; `error_code` says why.
    Refused,
}

/// Why a line is not an event.
#[derive(Debug, Error)]
pub enum EventError {
    #[error("longer than {MAX_LINE_LEN} bytes")]
    TooLong,
    #[error("not an event: {}", without_values(.0))]
    Malformed(#[from] serde_json::Error),
    #[error("version {0}, where only {VERSION} is known")]
    Version(u8),
    #[error("`{0}` is out of range")]
    Range(&'static str),
}

impl Event {
    /// Whatever cannot be an edge's is refused. Whether its times are near the
    /// receiver's is for that one to judge.
    pub fn parse(line: &[u8]) -> Result<Self, EventError> {
        if line.len() > MAX_LINE_LEN {
            return Err(EventError::TooLong);
        }
        let event: Self = serde_json::from_slice(line)?;
        event.check()?;
        Ok(event)
    }

    fn check(&self) -> Result<(), EventError> {
        if self.v != VERSION {
            return Err(EventError::Version(self.v));
        }
        let is_text = |text: &str| text.len() <= MAX_TEXT_LEN && !text.contains('\0');
        let texts = [&self.provider, &self.model_requested, &self.model, &self.error_code];
        let is_use = |usage: &Usage| {
            let Usage { input_tokens, output_tokens, cached_input_tokens, reasoning_tokens } = *usage;
            let tokens = [input_tokens, output_tokens, cached_input_tokens, reasoning_tokens];
            tokens.into_iter().flatten().all(|count| count <= MAX_TOKENS)
        };
        let is_attempt = |tried: &Attempt| {
            is_text(&tried.provider)
                && tried.model.as_deref().is_none_or(is_text)
                && tried.usage.as_ref().is_none_or(is_use)
                && tried.text_bytes_out.is_none_or(|bytes| bytes <= MAX_BYTES)
        };
        let checks = [
            ("id", id::issued_at(self.id).is_some()),
            ("isolate_id", id::issued_at(self.isolate_id).is_some()),
            ("seq", (1..=i64::MAX.cast_unsigned()).contains(&self.seq)),
            ("count", (1..=MAX_COUNT).contains(&self.count)),
            ("ended_at", self.ended_at >= self.started_at && self.ended_at <= id::MAX_UNIX_MS),
            ("first_byte_at", self.first_byte_at.is_none_or(|at| at <= id::MAX_UNIX_MS)),
            ("method", self.method.len() <= 32 && is_text(&self.method)),
            ("endpoint", is_text(&self.endpoint)),
            (
                "provider, model_requested, model, error_code",
                texts.into_iter().flatten().all(|text| is_text(text)),
            ),
            ("status", (100..=999).contains(&self.status)),
            ("attempts", self.attempts.len() <= 100 && self.attempts.iter().all(is_attempt)),
            ("bytes_in", self.bytes_in <= MAX_BYTES),
            ("bytes_out", self.bytes_out <= MAX_BYTES),
            ("text_bytes_out", self.text_bytes_out.is_none_or(|bytes| bytes <= MAX_BYTES)),
            ("tokens", is_use(&self.usage)),
            ("snapshot_version", self.snapshot_version.is_none_or(|version| i64::try_from(version).is_ok())),
            (
                "colo, country",
                [&self.colo, &self.country]
                    .into_iter()
                    .flatten()
                    .all(|text| text.len() <= 16 && is_text(text)),
            ),
            ("in_flight", self.in_flight <= MAX_IN_FLIGHT),
            ("request_body, response_body", is_fit(&self.bodies)),
        ];
        match checks.into_iter().find(|(_, is_right)| !is_right) {
            Some((field, _)) => Err(EventError::Range(field)),
            None => Ok(()),
        }
    }

    /// The attempt whose answer the event tells of.
    pub fn answering(&self) -> Option<usize> {
        let joined = self.attempts.iter().rposition(|attempt| attempt.text_bytes_out.is_some());
        joined.or_else(|| self.attempts.len().checked_sub(1))
    }

    /// The line, without its end.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl Bodies {
    pub fn is_empty(&self) -> bool {
        self.request_body.is_none() && self.response_body.is_none()
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        [&self.request_body, &self.response_body].into_iter().flatten().map(String::len).sum()
    }
}

/// Bodies are in no log.
impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |body: &Option<String>| body.as_ref().map(String::len);
        write!(f, "Bodies({:?}, {:?})", length(&self.request_body), length(&self.response_body))
    }
}

impl Usage {
    pub fn is_known(&self) -> bool {
        self.input_tokens.is_some() || self.output_tokens.is_some()
    }
}

fn is_fit(bodies: &Bodies) -> bool {
    let mut texts = [&bodies.request_body, &bodies.response_body].into_iter().flatten();
    bodies.len() <= MAX_BODIES_LEN && texts.all(|text| !text.contains('\0'))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What is wrong, without a string of the line's: it may be a body's.
fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match (text.find('"'), text.rfind('"')) {
        (Some(start), Some(end)) if start < end => format!("{}…{}", &text[..=start], &text[end..]),
        _ => text,
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// As an event may carry it.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "");
    text.truncate(text.floor_char_boundary(MAX_TEXT_LEN));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let credential_id = id::new(1, &[3; 10]);
        Event {
            v: VERSION,
            id: id::new(1_795_444_000_000, &[1; 10]),
            isolate_id: id::new(1_795_443_000_000, &[2; 10]),
            seq: 7,
            count: 1,
            started_at: 1_795_444_000_000,
            first_byte_at: Some(1_795_444_000_100),
            ended_at: 1_795_444_000_900,
            project_id: Some(id::new(1, &[4; 10])),
            token_id: Some(id::new(2, &[5; 10])),
            provider: Some("openai".into()),
            method: "POST".into(),
            endpoint: "/v1/chat/completions".into(),
            model_requested: Some("gpt-4o".into()),
            model: Some("gpt-4o-2024-08-06".into()),
            status: 200,
            error_code: None,
            attempts: vec![Attempt {
                provider: "openai".into(),
                model: None,
                credential_id,
                started_at: 1_795_444_000_001,
                ended_at: 1_795_444_000_100,
                status: Some(200),
                outcome: Outcome::Answered,
                usage: None,
                usage_source: None,
                text_bytes_out: None,
            }],
            bytes_in: 120,
            bytes_out: 4_096,
            text_bytes_out: Some(140),
            usage: Usage { input_tokens: Some(12), output_tokens: Some(34), ..Usage::default() },
            usage_source: UsageSource::Reported,
            completion: Completion::Complete,
            snapshot_version: Some(1_795_443_999_000),
            colo: Some("FRA".into()),
            country: Some("DE".into()),
            in_flight: 3,
            bodies: Bodies {
                request_body: Some("{\"model\":\"gpt-4o\"}".into()),
                response_body: Some("data: {}\n\n".into()),
                response_body_cut: true,
                ..Bodies::default()
            },
        }
    }

    /// Frozen: edges, logs and control planes of different ages share it.
    #[test]
    fn golden() {
        let line = event().to_line().unwrap();
        crate::golden::assert("event.json", line.as_bytes());
        assert_eq!(Event::parse(line.as_bytes()).unwrap(), event());
    }

    #[test]
    fn what_a_newer_edge_adds_is_ignored() {
        let line = event().to_line().unwrap().replacen('{', r#"{"cache_status":{"hit":true},"#, 1);
        assert_eq!(Event::parse(line.as_bytes()).unwrap(), event());
    }

    #[test]
    fn what_an_older_edge_does_not_tell_is_nothing() {
        let alone = Event { in_flight: 0, ..event() };
        let line = alone.to_line().unwrap();
        assert!(!line.contains("in_flight"));
        assert_eq!(Event::parse(line.as_bytes()).unwrap(), alone);
    }

    #[test]
    fn what_no_edge_makes_is_refused_by_name() {
        let refused = |change: fn(&mut Event)| {
            let mut event = event();
            change(&mut event);
            Event::parse(event.to_line().unwrap().as_bytes()).unwrap_err().to_string()
        };
        assert!(refused(|event| event.v = 2).contains("version 2"));
        assert!(refused(|event| event.id = Uuid::nil()).contains("`id`"));
        assert!(refused(|event| event.seq = 0).contains("`seq`"));
        assert!(refused(|event| event.count = 0).contains("`count`"));
        assert!(refused(|event| event.ended_at = 0).contains("`ended_at`"));
        assert!(refused(|event| event.status = 99).contains("`status`"));
        assert!(refused(|event| event.endpoint = "/".repeat(MAX_TEXT_LEN + 1)).contains("`endpoint`"));
        assert!(refused(|event| event.model = Some("a\0b".into())).contains("model"));
        assert!(refused(|event| event.usage.output_tokens = Some(u64::MAX)).contains("tokens"));
        assert!(refused(|event| event.bytes_out = u64::MAX).contains("`bytes_out`"));
        assert!(refused(|event| event.text_bytes_out = Some(u64::MAX)).contains("`text_bytes_out`"));
        assert!(refused(|event| event.in_flight = MAX_IN_FLIGHT + 1).contains("`in_flight`"));
        let long = |event: &mut Event| event.bodies.request_body = Some("x".repeat(MAX_BODIES_LEN));
        assert!(refused(long).contains("body"));
        assert!(refused(|event| event.bodies.response_body = Some("\0".into())).contains("body"));
    }

    #[test]
    fn a_line_without_bodies_says_nothing_of_them() {
        let event = Event { bodies: Bodies::default(), ..event() };
        let line = event.to_line().unwrap();
        assert!(!line.contains("body"));
        assert_eq!(Event::parse(line.as_bytes()).unwrap(), event);
        assert!(!format!("{:?}", super::tests::event()).contains("gpt-4o\\\""));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_values() {
        let line =
            event().to_line().unwrap().replace("\"status\":200", "\"status\":\"said \\\"x\\\" to her\"");
        let told = Event::parse(line.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("invalid type: string \"…\", expected u16 at line 1"), "{told}");
    }

    #[test]
    fn long_and_malformed_lines_are_refused() {
        assert!(matches!(Event::parse(&vec![b' '; MAX_LINE_LEN + 1]), Err(EventError::TooLong)));
        for line in ["", "{}", "[]", "null", "{\"v\":1}", "\u{feff}{}"] {
            assert!(matches!(Event::parse(line.as_bytes()), Err(EventError::Malformed(_))), "{line}");
        }
    }
}
