//! Sends a planned request upstream.

use super::exchange::Exchange;
use super::glue::exchange as glue;
use super::source::Kv;
use crate::authorize::{MAX_BODY_BYTES, body_too_large};
use crate::event::Draft;
use crate::refusal::{Code, Refusal};
use crate::route::Plan;
use js_sys::futures::JsFuture;
use shared::event::Outcome;
use wasm_bindgen::JsCast;
use web_sys::{Request, Response};

/// The answer, on its way, and its event with it; or what to answer instead:
/// `None` if nobody is there any more.
pub(super) async fn forward(
    source: &Kv,
    request: &Request,
    plan: &Plan,
    answer_headers: &str,
    draft: Draft,
) -> Result<Response, Option<Refusal>> {
    let host = &source.host;
    let number = if host.sends_events() {
        host.exchanges.begin(host, Exchange::new(host, source.context.clone(), draft, plan))
    } else {
        0
    };
    #[expect(clippy::cast_precision_loss, reason = "100 MB is exact in an f64")]
    let (length, max_body) = (plan.body_length.map_or(-1.0, |length| length as f64), MAX_BODY_BYTES as f64);
    let answer = glue::forward(
        AsRef::<worker::worker_sys::Context>::as_ref(&*source.context),
        request,
        number,
        &plan.url,
        &plan.withheld,
        &plan.set,
        &plan.answer_withheld,
        answer_headers,
        plan.timeouts.first_byte_ms,
        plan.timeouts.idle_ms,
        plan.timeouts.total_ms,
        length,
        max_body,
        number != 0 && plan.is_body_read(),
    );
    let word = match JsFuture::from(answer).await.and_then(JsCast::dyn_into::<Response>) {
        Ok(response) => return Ok(response),
        Err(word) => word.as_string().unwrap_or_default(),
    };
    let (outcome, refusal) = judge(&word, plan);
    if let Some(exchange) = host.exchanges.take(number) {
        exchange.end_unanswered(host, outcome, refusal.as_ref());
    }
    Err(refusal)
}

fn judge(word: &str, plan: &Plan) -> (Outcome, Option<Refusal>) {
    let (outcome, refusal) = match word {
        "left" => return (Outcome::Abandoned, None),
        "too_large" => (Outcome::Abandoned, body_too_large()),
        "timeout" => (
            Outcome::TimedOut,
            Refusal::new(
                Code::UpstreamTimeout,
                format!("The provider did not begin to answer within {} ms.", plan.timeouts.first_byte_ms),
            ),
        ),
        "redirect" => {
            (Outcome::Redirected, upstream_error("answered with a redirect, which is not followed"))
        }
        "broken" => (Outcome::Answered, upstream_error("broke off its answer")),
        _ => (Outcome::Unreachable, upstream_error("could not be reached")),
    };
    (outcome, Some(refusal))
}

fn upstream_error(what: &str) -> Refusal {
    Refusal::new(Code::UpstreamError, format!("The provider {what}."))
}
