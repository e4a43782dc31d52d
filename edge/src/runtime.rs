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
use kv::Load;
use shared::header;
use shared::id::{self, UnixMs};
use shared::provider::Api;
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
/// going back to an earlier snapshot.
const MAX_LOADS: usize = 8;

#[event(fetch, respond_with_errors)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let text = glue::head(&request);
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
    let Some(head) = Head::parse(&text) else {
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
    let (snapshot, decision) = decide(isolate, head, now).await;
    let own_headers = own_headers(snapshot.as_deref(), now);
    let refusal = match decision {
        Ok(plan) => match forward::forward(request, &plan, &own_headers).await {
            Ok(response) => return response,
            Err(refusal) => refusal,
        },
        Err(refusal) => refusal,
    };
    refuse(&refusal, api_of(head, snapshot.as_deref()), &own_headers)
}

/// Decides, loading what the decision asks for. Warm, this does not wait.
async fn decide(
    isolate: &Isolate,
    head: &Head<'_>,
    now: UnixMs,
) -> (Option<Rc<Snapshot>>, Result<Plan, Refusal>) {
    let unavailable = || {
        Refusal::new(
            Code::SnapshotUnavailable,
            "The gateway has no usable configuration at the moment. Try again shortly.",
        )
    };
    let mut snapshot = isolate.holder.borrow().current();
    for _ in 0..MAX_LOADS {
        let Some(held) = snapshot.clone() else { break };
        match pipeline::decide(
            &isolate.settings,
            &held,
            &isolate.fresh,
            head,
            now,
            u32::from_le_bytes(random::take()),
        ) {
            Ok(plan) => return (snapshot, Ok(plan)),
            Err(Halt::Refuse(refusal)) => return (snapshot, Err(refusal)),
            Err(Halt::Load(object)) => {
                let next = match kv::load(isolate, &held, object).await {
                    Load::Loaded => continue,
                    Load::Unusable => {
                        isolate.holder.borrow_mut().reject(held.version());
                        isolate.holder.borrow().current()
                    }
                    // For this request alone: nothing says that the current one is not whole.
                    Load::Failed => isolate.holder.borrow().previous(),
                };
                match next {
                    Some(next) if next.version() != held.version() => snapshot = Some(next),
                    _ => break,
                }
            }
            Err(Halt::Fresh(token_id)) => match kv::ask_fresh(isolate, token_id).await {
                Ok(true) => {}
                Ok(false) => {
                    return (snapshot, Err(Refusal::new(Code::InvalidToken, "The token is unknown.")));
                }
                Err(()) => break,
            },
        }
    }
    (snapshot, Err(unavailable()))
}

fn own_headers(snapshot: Option<&Snapshot>, now: UnixMs) -> String {
    let mut lines = format!("{}\n{}\n", header::REQUEST_ID, id::new(now, &random::take()));
    if let Some(snapshot) = snapshot {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ =
            write!(lines, "{}\n{};age={}\n", header::SNAPSHOT, snapshot.version(), snapshot.age_secs(now));
    }
    lines
}

fn refuse(refusal: &Refusal, api: Api, own_headers: &str) -> Response {
    let mut headers = format!(
        "{own_headers}content-type\napplication/json\ncache-control\nno-store\n{}\n{}\n",
        header::ERROR,
        refusal.code.as_str()
    );
    if let Some(allow) = &refusal.allow {
        headers.push_str(&format!("allow\n{allow}\n"));
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.push_str(&format!("retry-after\n{seconds}\n"));
    }
    if refusal.code.status() == 401 {
        headers.push_str("www-authenticate\nBearer\n");
    }
    glue::answer(refusal.code.status(), &headers, &refusal.body(api))
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
    let headers = format!(
        "{}content-type\napplication/json\ncache-control\nno-store\n",
        own_headers(snapshot.as_deref(), now)
    );
    glue::answer(status, &headers, &body.to_string())
}
