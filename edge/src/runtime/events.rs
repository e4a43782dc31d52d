//! Carries the isolate's events to the queue, or else to the control plane.
//!
//! A request never waits for another one's timer or message: it sends what is
//! there itself, within its own `waitUntil`, unless one that is still alive has
//! taken that on.

use super::delivery;
use super::glue::queue as glue;
use super::isolate::Host;
use super::now;
use super::source::Kv;
use crate::capture::Capture;
use crate::delivery::Verdict;
use crate::event::Draft;
use crate::refusal::Refusal;
use futures_util::future::{Either, select};
use js_sys::futures::JsFuture;
use shared::event::Event;
use shared::id::UnixMs;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use worker::{Context, Delay, console_error};

/// Before each try of the queue, in milliseconds.
const PAUSES: [u64; 3] = [0, 100, 400];
/// After that, a request leaves the rest to another: it has 30 seconds at most,
/// and one message may take most of them. Milliseconds.
const PATIENCE: UnixMs = 4_000;
/// After this, the queue has failed.
const DEADLINE: Duration = Duration::from_secs(3);

/// A request has ended.
pub(super) fn record(host: &Rc<Host>, context: &Rc<Context>, event: Event) {
    host.isolate.outbox.borrow_mut().record(event);
    send_soon(host, context);
}

/// The same, with the bodies that were captured. To redact them takes time, for
/// which nothing of the answer is to wait.
pub(super) fn record_captured(
    host: &Rc<Host>,
    context: &Rc<Context>,
    mut event: Event,
    capture: Option<Capture>,
) {
    let Some(capture) = capture else { return record(host, context, event) };
    let (host, own) = (host.clone(), context.clone());
    context.wait_until(async move {
        Delay::from(Duration::ZERO).await;
        event.bodies = capture.bodies();
        record(&host, &own, event);
    });
}

/// A request was refused before anything was sent upstream.
pub(super) fn refused(source: &Kv, draft: Draft, refusal: &Refusal) {
    let (host, context) = (&source.host, &source.context);
    if !host.sends_events() {
        return;
    }
    let now = now();
    if draft.is_anonymous() {
        count(host, context, draft.refused(refusal, now), now);
    } else {
        record(host, context, draft.refused(refusal, now));
    }
}

/// A flood of bad keys is not to become a flood of events.
fn count(host: &Rc<Host>, context: &Rc<Context>, event: Event, now: UnixMs) {
    let wait = host.isolate.outbox.borrow_mut().count(event, now);
    if let Some(ms) = wait {
        let (host, own) = (host.clone(), context.clone());
        context.wait_until(async move {
            Delay::from(Duration::from_millis(ms)).await;
            send_soon(&host, &own);
        });
    }
    send_soon(host, context);
}

fn send_soon(host: &Rc<Host>, context: &Context) {
    let Some(ms) = host.isolate.outbox.borrow_mut().claim(now()) else { return };
    let host = host.clone();
    context.wait_until(async move {
        if ms > 0 {
            Delay::from(Duration::from_millis(ms)).await;
        }
        send(&host).await;
    });
}

async fn send(host: &Host) {
    let outbox = &host.isolate.outbox;
    let began = now();
    outbox.borrow_mut().flush(began);
    while now() < began + PATIENCE {
        let message = outbox.borrow_mut().take();
        let Some(message) = message else { return };
        if is_queued(host, &message).await {
            outbox.borrow_mut().was_queued();
        } else if delivery::post(host, &glue::encode(&message)).await == Verdict::Stored {
            outbox.borrow_mut().was_posted();
        } else {
            console_error!("events: neither the queue nor the control plane takes them");
            outbox.borrow_mut().give_back(message);
            return;
        }
    }
}

async fn is_queued(host: &Host, message: &str) -> bool {
    let Some(queue) = &host.queue else { return false };
    for pause in PAUSES {
        if pause > 0 {
            Delay::from(Duration::from_millis(pause)).await;
        }
        let sent = JsFuture::from(glue::send(queue, message));
        match select(pin!(sent), pin!(Delay::from(DEADLINE))).await {
            Either::Left((Ok(_), _)) => return true,
            Either::Left((Err(_), _)) => {}
            // One that hangs will hang again.
            Either::Right(_) => return false,
        }
    }
    false
}
