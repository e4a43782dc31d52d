//! The only users of `worker` and JavaScript: carries a request through the
//! [`pipeline`](crate::pipeline) and does the I/O that it asks for.

mod forward;
mod glue;
mod isolate;
mod kv;
mod random;

use crate::head::Head;
use crate::pipeline::{self, api_of};
use crate::refusal::{Code, Refusal};
use crate::route::Plan;
use crate::snapshot::holder::Check;
use crate::snapshot::{Halt, Snapshot};
use futures_util::future::{Either, select};
use isolate::Isolate;
use shared::header;
use shared::id::{self, UnixMs};
use shared::provider::Api;
use std::fmt::{Display, Write};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use web_sys::{Request, Response};
use worker::{Context, Date, Delay, Env, console_error, event};

/// How long a request waits for a check of the manifest that is overdue.
const STALE_WAIT: Duration = Duration::from_millis(300);
/// The same when there is no snapshot to go on with.
const COLD_WAIT: Duration = Duration::from_secs(5);
/// A decision needs a shard, a project and the providers; the rest is for
/// what stands in for an object that is missing.
const MAX_LOADS: usize = 8;

#[event(fetch, respond_with_errors)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let lines = glue::head(&request);
    let now = Date::now().as_millis();
    let isolate = match isolate::get(&env) {
        Ok(isolate) => isolate,
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
    refresh(&isolate, &context, now).await;
    if head.path_and_query == "/healthz" {
        return Ok(health(&isolate, now));
    }
    Ok(respond(&isolate, &request, &head, now).await)
}

/// Sees to it that the snapshot is as new as the freshness bound says.
async fn refresh(isolate: &Rc<Isolate>, context: &Context, now: UnixMs) {
    let (check, is_cold) = {
        let holder = isolate.holder.borrow();
        (holder.check_needed(now, isolate.refresh_ms), holder.current().is_none())
    };
    if check == Check::NotNeeded {
        return;
    }
    let (done, is_done) = futures_channel::oneshot::channel();
    let checking = isolate.clone();
    // Outlives the request, should that not wait for it.
    context.wait_until(async move {
        kv::check_manifest(&checking).await;
        let _ = done.send(());
    });
    if check == Check::First {
        let limit = if is_cold { COLD_WAIT } else { STALE_WAIT };
        if let Either::Right(_) = select(is_done, pin!(Delay::from(limit))).await {
            isolate.holder.borrow_mut().check_failed(Date::now().as_millis());
        }
    }
}

async fn respond(isolate: &Isolate, request: &Request, head: &Head<'_>, now: UnixMs) -> Response {
    let snapshot = isolate.holder.borrow().current();
    let snapshot = snapshot.as_deref();
    let own_headers = own_headers(snapshot, now);
    let outcome = match decide(isolate, snapshot, head, now).await {
        Ok(plan) => forward::forward(request, &plan, &own_headers).await,
        Err(refusal) => Err(refusal),
    };
    outcome.unwrap_or_else(|refusal| refuse(&refusal, api_of(head, snapshot), &own_headers))
}

/// Decides, loading what the decision asks for. Warm, this does not wait.
async fn decide(
    isolate: &Isolate,
    snapshot: Option<&Snapshot>,
    head: &Head<'_>,
    now: UnixMs,
) -> Result<Plan, Refusal> {
    let unavailable = || {
        Refusal::new(
            Code::SnapshotUnavailable,
            "The gateway has no usable configuration at the moment. Try again shortly.",
        )
    };
    let snapshot = snapshot.ok_or_else(unavailable)?;
    for _ in 0..MAX_LOADS {
        let chance = u32::from_le_bytes(random::take());
        match pipeline::decide(&isolate.settings, snapshot, &isolate.fresh, head, now, chance) {
            Ok(plan) => return Ok(plan),
            Err(Halt::Refuse(refusal)) => return Err(refusal),
            Err(Halt::Load(object)) => {
                if !kv::load(isolate, snapshot, object).await && !snapshot.give_up(object) {
                    break;
                }
            }
            Err(Halt::Fresh(token_id)) => match kv::ask_fresh(isolate, token_id).await {
                Ok(true) => {}
                Ok(false) => return Err(Refusal::new(Code::InvalidToken, "The token is unknown.")),
                Err(()) => break,
            },
        }
    }
    Err(unavailable())
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

fn health(isolate: &Isolate, now: UnixMs) -> Response {
    let snapshot = isolate.holder.borrow().current();
    let (status, body) = match &snapshot {
        Some(snapshot) => (
            200,
            serde_json::json!({
                "status": "ok",
                "snapshot": {"version": snapshot.version(), "age_seconds": snapshot.age_secs(now)},
            }),
        ),
        None => (503, serde_json::json!({"status": "no_snapshot", "snapshot": null})),
    };
    let mut lines = own_headers(snapshot.as_deref(), now);
    push(&mut lines, "content-type", &"application/json");
    push(&mut lines, "cache-control", &"no-store");
    glue::answer(status, &lines, &body.to_string())
}

/// Adds a header in the form that crosses to JavaScript: a line each for name and value.
fn push(lines: &mut String, name: &str, value: &dyn Display) {
    // Writing to a String cannot fail.
    let _ = write!(lines, "{name}\n{value}\n");
}
