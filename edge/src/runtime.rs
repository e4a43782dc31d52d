//! The only users of `worker` and JavaScript: carries a request through the
//! [`pipeline`](crate::pipeline) and does the I/O that it asks for.

mod forward;
mod glue;
mod isolate;
mod random;
mod source;

use crate::head::Head;
use crate::health;
use crate::isolate::Isolate;
use crate::load;
use crate::pipeline::api_of;
use crate::refusal::{Code, Refusal};
use crate::snapshot::Snapshot;
use shared::header;
use shared::id::{self, UnixMs};
use shared::provider::Api;
use source::Kv;
use std::fmt::{Display, Write};
use std::rc::Rc;
use web_sys::{Request, Response};
use worker::{Context, Date, Env, console_error, event};

#[event(fetch, respond_with_errors)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let lines = glue::head(&request);
    let now = Date::now().as_millis();
    let host = match isolate::get(&env) {
        Ok(host) => host,
        Err(problem) => {
            console_error!("configuration: {problem}");
            let refusal =
                Refusal::new(Code::SnapshotUnavailable, format!("The gateway is not configured: {problem}."));
            return Ok(refuse(&refusal, Api::OpenAi, &own_headers(None, now)));
        }
    };
    let Some(head) = Head::parse(&lines) else {
        let refusal = Refusal::new(Code::InvalidPath, "The URL cannot be read.");
        return Ok(refuse(&refusal, Api::OpenAi, &own_headers(None, now)));
    };
    let isolate = &host.isolate;
    let source = Kv { host: host.clone(), context: Rc::new(context) };
    load::refresh(isolate, &source, now).await;
    if health::is_asked(&head) {
        return Ok(health(isolate, &head, now));
    }
    Ok(respond(isolate, &source, &request, &head, now).await)
}

async fn respond(
    isolate: &Isolate,
    source: &Kv,
    request: &Request,
    head: &Head<'_>,
    now: UnixMs,
) -> Response {
    let snapshot = isolate.holder.borrow().current();
    let snapshot = snapshot.as_deref();
    let own_headers = own_headers(snapshot, now);
    let chance = u32::from_le_bytes(random::take());
    let outcome = match load::decide(isolate, source, snapshot, head, now, chance).await {
        Ok(plan) => forward::forward(request, &plan, &own_headers).await,
        Err(refusal) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| refuse(&refusal, api_of(head, snapshot), &own_headers))
}

/// On every response of ours, as lines.
fn own_headers(snapshot: Option<&Snapshot>, now: UnixMs) -> String {
    let mut lines = String::with_capacity(128);
    push(&mut lines, header::REQUEST_ID, &id::new(now, &random::take()));
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
    glue::answer(refusal.code.status(), &lines, &refusal.body(api))
}

fn health(isolate: &Isolate, head: &Head<'_>, now: UnixMs) -> Response {
    let (status, body) = health::answer(isolate, head, now, memory());
    let snapshot = isolate.holder.borrow().current();
    let mut lines = own_headers(snapshot.as_deref(), now);
    push(&mut lines, "content-type", &"application/json");
    push(&mut lines, "cache-control", &"no-store");
    glue::answer(status, &lines, &body.to_string())
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
