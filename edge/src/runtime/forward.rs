//! Sends a planned request upstream.

use super::glue;
use crate::authorize::{MAX_BODY_BYTES, body_too_large};
use crate::refusal::{Code, Refusal};
use crate::route::Plan;
use js_sys::futures::JsFuture;
use wasm_bindgen::JsCast;
use web_sys::{Request, Response};

pub(super) async fn forward(
    request: &Request,
    plan: &Plan,
    answer_headers: &str,
) -> Result<Response, Refusal> {
    #[expect(clippy::cast_precision_loss, reason = "100 MB is exact in an f64")]
    let (length, max_body) = (plan.body_length.map_or(-1.0, |length| length as f64), MAX_BODY_BYTES as f64);
    let outcome = glue::forward(
        request,
        &plan.url,
        &plan.withheld,
        &plan.set,
        &plan.answer_withheld,
        answer_headers,
        plan.first_byte_ms,
        length,
        max_body,
    );
    let value = JsFuture::from(outcome).await.map_err(|_| upstream_error("could not be asked"))?;
    value.dyn_into::<Response>().map_err(|word| match word.as_string().as_deref() {
        Some("too_large") => body_too_large(),
        Some("timeout") => Refusal::new(
            Code::UpstreamTimeout,
            format!("The provider did not begin to answer within {} ms.", plan.first_byte_ms),
        ),
        Some("redirect") => upstream_error("answered with a redirect, which is not followed"),
        _ => upstream_error("could not be reached"),
    })
}

fn upstream_error(what: &str) -> Refusal {
    Refusal::new(Code::UpstreamError, format!("The provider {what}."))
}
