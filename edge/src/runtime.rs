//! The only users of `worker` and JavaScript: carries a request through the
//! [`pipeline`](crate::pipeline) and does the I/O that it asks for.

mod at_once;
mod delivery;
mod events;
mod exchange;
mod forward;
mod glue;
mod isolate;
mod random;
mod reading;
mod source;

use crate::cors;
use crate::event::{Draft, Trace};
use crate::head::Head;
use crate::health;
use crate::in_flight::Begun;
use crate::isolate::Isolate;
use crate::load;
use crate::pipeline::api_of;
use crate::refusal::{Code, Refusal};
use crate::snapshot::Snapshot;
use futures_channel::oneshot;
use futures_util::FutureExt;
use shared::header;
use shared::id::{self, UnixMs};
use shared::policy;
use shared::provider::Api;
use source::Kv;
use std::fmt::{Display, Write};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use uuid::Uuid;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::{Request, Response};
use worker::{Context, Env, console_error};

/// What `#[event(fetch)]` would make, but that there is no promise about what
/// does not wait: a warm isolate decides at once, and the rest is JavaScript's.
#[wasm_bindgen]
#[expect(unreachable_pub, reason = "the platform calls it, by this name")]
pub fn fetch(request: Request, env: Env, context: worker::worker_sys::Context) -> JsValue {
    at_once::run(answer(request, env, Context::new(context)))
}

/// A response, or a promise of one.
async fn answer(request: Request, env: Env, context: Context) -> JsValue {
    let lines = glue::exchange::head(&request);
    let now = now();
    let host = match isolate::get(&env) {
        Ok(host) => host,
        Err(problem) => {
            console_error!("configuration: {problem}");
            let refusal =
                Refusal::new(Code::SnapshotUnavailable, format!("The gateway is not configured: {problem}."));
            return refuse(&refusal, Api::OpenAi, &own_headers(new_id(now), None, now)).into();
        }
    };
    let Some(head) = Head::parse(&lines) else {
        let refusal = Refusal::new(Code::InvalidPath, "The URL cannot be read.");
        return refuse(&refusal, Api::OpenAi, &own_headers(new_id(now), None, now)).into();
    };
    let isolate = &host.isolate;
    let source = Kv { host: host.clone(), context: Rc::new(context) };
    let begun = isolate.outbox.borrow().begin();
    to_its_end(&source.context, load::refresh(isolate, &source, now)).await;
    if health::is_asked(&head) {
        return health(isolate, &head, now).into();
    }
    if let Some(allowed) = cors::preflight(&head) {
        // Nothing is decided, and nothing goes upstream: there is no event of it.
        return preflight(isolate, &allowed, now).into();
    }
    respond(isolate, &source, &request, &head, now, begun).await
}

/// Whatever the answer: the request ends in one event, which begins here.
async fn respond(
    isolate: &Isolate,
    source: &Kv,
    request: &Request,
    head: &Head<'_>,
    now: UnixMs,
    begun: Begun,
) -> JsValue {
    let snapshot = isolate.holder.borrow().current();
    let snapshot = snapshot.as_deref();
    let id = new_id(now);
    let own_headers = own_headers(id, snapshot, now);
    let chance = u64::from_le_bytes(random::take());
    let mut draft = Draft::new(id, head, snapshot.map(Snapshot::version), now, begun);
    let mut trace = Trace::default();
    let decision = load::decide(isolate, source, snapshot, head, now, chance, &mut trace);
    let decided = to_its_end(&source.context, decision).await;
    draft.trace(trace);
    match decided {
        Ok(plan) => {
            let own_headers = own_headers + &plan.cors;
            forward::forward(source, request, plan, &own_headers, draft).into()
        }
        Err(refusal) => {
            events::refused(source, draft, &refusal);
            // A page may read why, unless it is from where none may call.
            let is_shown = refusal.code != Code::Denied(policy::Code::OriginNotAllowed);
            let cors =
                if is_shown && head.header("origin").is_some() { cors::allow(head) } else { String::new() };
            refuse(&refusal, api_of(head, snapshot), &(own_headers + &cors)).into()
        }
    }
}

/// Waits for `work` even when the client has left: the request's event is still
/// owed then, and the runtime would drop it.
async fn to_its_end<T>(context: &Context, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    // Warm, it does not wait. Its timers keep the waker that they are first polled with.
    if let Poll::Ready(done) = poll_fn(|task| Poll::Ready(work.as_mut().poll(task))).await {
        return done;
    }
    let (done, is_done) = oneshot::channel::<()>();
    context.wait_until(is_done.map(drop));
    let outcome = work.await;
    let _ = done.send(());
    outcome
}

/// By the runtime's clock, which stands still between two waits.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, and after 1970")]
fn now() -> UnixMs {
    js_sys::Date::now() as UnixMs
}

fn new_id(now: UnixMs) -> Uuid {
    id::new(now, &random::take())
}

/// On every response of ours, as lines.
fn own_headers(id: Uuid, snapshot: Option<&Snapshot>, now: UnixMs) -> String {
    let mut lines = String::with_capacity(128);
    push(&mut lines, header::REQUEST_ID, &id);
    if let Some(snapshot) = snapshot {
        push(
            &mut lines,
            header::SNAPSHOT,
            &format_args!("{};age={}", snapshot.version(), snapshot.age_secs(now)),
        );
    }
    lines
}

fn refuse(refusal: &Refusal, api: Api, own_headers: &str) -> Response {
    let mut lines = own_headers.to_owned();
    push(&mut lines, header::ERROR, &refusal.code.as_str());
    push(&mut lines, "content-type", &"application/json");
    push(&mut lines, "cache-control", &"no-store");
    if let Some(allow) = &refusal.allow {
        push(&mut lines, "allow", allow);
    }
    if let Some(seconds) = refusal.retry_after() {
        push(&mut lines, "retry-after", &seconds);
    }
    if refusal.code.status() == 401 {
        push(&mut lines, "www-authenticate", &"Bearer");
    }
    glue::exchange::answer(refusal.code.status(), &lines, &refusal.body(api))
}

fn health(isolate: &Isolate, head: &Head<'_>, now: UnixMs) -> Response {
    let (status, body) = health::answer(isolate, head, now, memory());
    let snapshot = isolate.holder.borrow().current();
    let mut lines = own_headers(new_id(now), snapshot.as_deref(), now);
    push(&mut lines, "content-type", &"application/json");
    push(&mut lines, "cache-control", &"no-store");
    glue::exchange::answer(status, &lines, &body.to_string())
}

fn preflight(isolate: &Isolate, allowed: &str, now: UnixMs) -> Response {
    let snapshot = isolate.holder.borrow().current();
    let lines = own_headers(new_id(now), snapshot.as_deref(), now) + allowed;
    glue::exchange::answer(204, &lines, "")
}

/// What this isolate takes of Wasm memory, in bytes. It never shrinks.
#[cfg(target_arch = "wasm32")]
fn memory() -> usize {
    core::arch::wasm32::memory_size::<0>() * 64 * 1024
}

/// Elsewhere there is no isolate.
#[cfg(not(target_arch = "wasm32"))]
fn memory() -> usize {
    0
}

/// Adds a header in the form that crosses to JavaScript: a line each for name and value.
fn push(lines: &mut String, name: &str, value: &dyn Display) {
    // Writing to a String cannot fail.
    let _ = write!(lines, "{name}\n{value}\n");
}
