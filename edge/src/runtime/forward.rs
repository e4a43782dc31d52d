//! Sends a planned request upstream.

use super::exchange::Exchange;
use super::glue::exchange as glue;
use super::source::Kv;
use super::{isolate, refuse};
use crate::event::{CLIENT_LEFT, Draft};
use crate::leg::Leg;
use crate::refusal::{Code, Refusal};
use crate::route::Plan;
use js_sys::Promise;
use shared::event::Outcome;
use shared::policy;
use shared::provider::Api;
use web_sys::{Request, Response};

/// They cross to JavaScript as numbers.
const APIS: [Api; 3] = [Api::OpenAi, Api::Anthropic, Api::Gemini];

/// The answer, on its way, and its event with it.
pub(super) fn forward(
    source: &Kv,
    request: &Request,
    plan: Plan,
    answer_headers: &str,
    draft: Draft,
) -> Promise {
    let host = &source.host;
    let must_be_read = plan.judge.is_some() || plan.first.is_none();
    let is_body_read = must_be_read || (host.sends_events() && plan.is_body_read());
    let leg = plan.first.as_ref().map(Leg::to_text).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "100 MB is exact in an f64")]
    let (length, max_body) =
        (plan.body_length.map_or(-1.0, |length| length as f64), plan.body_limit.bytes as f64);
    let api = plan.api as u8;
    let number = if host.sends_events() || must_be_read {
        host.exchanges.begin(host, Exchange::new(host, source.context.clone(), draft, plan))
    } else {
        0
    };
    glue::forward(
        AsRef::<worker::worker_sys::Context>::as_ref(&*source.context),
        request,
        number,
        api,
        &leg,
        answer_headers,
        length,
        max_body,
        is_body_read,
    )
}

/// What to answer where nothing came that could be passed on; `word` says why.
/// The others are as they were given to [`glue::forward`].
pub(super) fn unanswered(
    number: u32,
    word: &str,
    api: u8,
    first_byte_ms: u32,
    answer_headers: &str,
    bytes_in: u64,
) -> Response {
    let (outcome, mut refusal) = judge(word, first_byte_ms);
    if let Some(host) = isolate::current()
        && let Some(exchange) = host.exchanges.take(number)
    {
        refusal = exchange.own_refusal(word).or(refusal);
        exchange.end_unanswered(&host, outcome, refusal.as_ref(), bytes_in);
    }
    let api = APIS.into_iter().find(|known| *known as u8 == api).unwrap_or(Api::OpenAi);
    match refusal {
        Some(refusal) => refuse(&refusal, api, answer_headers),
        // Almost always the client is gone. But where an upstream fails while it reads
        // a body, the runtime may tell the same, and then somebody waits.
        None if word == CUT_OFF => refuse(&upstream_error("could not be reached"), api, answer_headers),
        None => glue::answer(CLIENT_LEFT, answer_headers, ""),
    }
}

/// The client's body did not come to its end.
const CUT_OFF: &str = "cut_off";

/// It turned out to be larger than its limit.
pub(super) const TOO_LARGE: &str = "too_large";
/// What it holds is not allowed.
pub(super) const DENIED: &str = "denied";

/// Without a refusal, nobody is there any more.
fn judge(word: &str, first_byte_ms: u32) -> (Outcome, Option<Refusal>) {
    let (outcome, refusal) = match word {
        "left" | CUT_OFF => return (Outcome::Abandoned, None),
        TOO_LARGE => (Outcome::Abandoned, body_too_large()),
        "timeout" => (
            Outcome::TimedOut,
            Refusal::new(
                Code::UpstreamTimeout,
                format!("The provider did not begin to answer within {first_byte_ms} ms."),
            ),
        ),
        "overran" => (
            Outcome::TimedOut,
            Refusal::new(
                Code::UpstreamTimeout,
                "The request took longer than the provider's total_ms allows.",
            ),
        ),
        "stalled" => (
            Outcome::TimedOut,
            Refusal::new(
                Code::UpstreamTimeout,
                "The provider began to answer, and then sent nothing in the time allowed.",
            ),
        ),
        "no_status" => (Outcome::Answered, upstream_error("answered with a status that there is not")),
        "redirect" => {
            (Outcome::Redirected, upstream_error("answered with a redirect, which is not followed"))
        }
        "faulty" => (Outcome::Answered, upstream_error("began its answer with an error")),
        "broken" => (Outcome::Answered, upstream_error("broke off its answer")),
        _ => (Outcome::Unreachable, upstream_error("could not be reached")),
    };
    (outcome, Some(refusal))
}

fn body_too_large() -> Refusal {
    Refusal::new(Code::Denied(policy::Code::BodyTooLarge), "The request body is too large.")
}

fn upstream_error(what: &str) -> Refusal {
    Refusal::new(Code::UpstreamError, format!("The provider {what}."))
}
