//! Posts events to the control plane: a whole batch of the queue's, or a
//! message that the queue did not take.

use super::glue::queue as glue;
use super::isolate::{self, Host};
use super::now;
use super::random;
use crate::delivery::{PATH, Verdict, headers, judge, retry_delay};
use js_sys::futures::{JsFuture, future_to_promise};
use js_sys::{Promise, Uint8Array};
use shared::id;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use worker::{Env, console_error};

/// After this, the control plane has failed. Milliseconds.
const DEADLINE: u32 = 20_000;

/// The handler of both queues. What is not stored is tried again, however
/// often it takes.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "the platform calls it, by this name")]
pub fn queue(batch: glue::Batch, env: Env) -> Promise {
    future_to_promise(async move {
        // An error makes the queue deliver all of it again.
        let host = isolate::get(&env).map_err(|problem| JsValue::from_str(&problem))?;
        deliver(&host, &batch).await;
        Ok(JsValue::UNDEFINED)
    })
}

async fn deliver(host: &Host, batch: &glue::Batch) {
    let attempts = glue::attempts(batch);
    let delays: Vec<u32> = attempts.iter().map(|&count| retry_delay(&batch.queue(), count)).collect();
    let mut ranges = vec![(0, delays.len())];
    while let Some((from, to)) = ranges.pop() {
        match post(host, &glue::bodies(batch, from, to)).await {
            Verdict::Stored => glue::acknowledge(batch, from, to),
            Verdict::Split if to - from > 1 => {
                let middle = from.midpoint(to);
                ranges.extend([(middle, to), (from, middle)]);
            }
            Verdict::Split | Verdict::Later | Verdict::SignAnew(_) => {
                glue::retry(batch, from, &delays[from..to]);
            }
        }
    }
}

pub(super) async fn post(host: &Host, body: &Uint8Array) -> Verdict {
    let Some(base) = &host.control_plane else {
        console_error!("events: CONTROL_PLANE_URL is not set");
        return Verdict::Later;
    };
    let Some(hash) = hash(body).await else { return Verdict::Later };
    let verdict = match post_once(host, base, body, &hash, 0).await {
        Verdict::SignAnew(time) => {
            let offset = time.cast_signed().saturating_sub((now() / 1000).cast_signed());
            post_once(host, base, body, &hash, offset).await
        }
        verdict => verdict,
    };
    if verdict != Verdict::Stored {
        console_error!("events: the control plane did not take {} bytes: {verdict:?}", body.length());
    }
    verdict
}

async fn post_once(host: &Host, base: &str, body: &Uint8Array, hash: &[u8; 32], offset: i64) -> Verdict {
    let now = now();
    let nonce = id::new(now, &random::take()).to_string();
    let headers = headers(&host.isolate.settings.ingest_keys, &nonce, hash, now, offset);
    let posted = glue::post(&format!("{base}{PATH}"), &headers, body, DEADLINE);
    let answer = JsFuture::from(posted).await.ok().and_then(|answer| answer.as_string());
    let answer = answer.as_deref().and_then(|answer| answer.split_once('\n'));
    answer.map_or(Verdict::Later, |(status, time)| judge(status.parse().unwrap_or_default(), Some(time)))
}

async fn hash(body: &Uint8Array) -> Option<[u8; 32]> {
    let digest = JsFuture::from(glue::digest(body)).await.ok()?;
    Uint8Array::new(&digest).to_vec().try_into().ok()
}
