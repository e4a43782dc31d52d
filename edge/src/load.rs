//! Reads the snapshot: the manifest when it is due, and what a decision finds
//! missing in memory. Where it is read from is behind [`Source`].
//!
//! A request never waits for what another one has begun: the runtime would
//! cancel it. Each reads what it misses itself, or looks by its own timer
//! whether another has.

pub mod copies;
mod object;
pub mod under_way;

use crate::event::Trace;
use crate::head::Head;
use crate::isolate::Isolate;
use crate::pipeline;
use crate::refusal::{Code, Refusal};
use crate::route::Plan;
use crate::snapshot::holder::Check;
use crate::snapshot::{Halt, Snapshot};
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use shared::id::UnixMs;
use shared::snapshot::fresh::Fresh;
use shared::snapshot::{Hash, MANIFEST_KEY, fresh_key};
use std::pin::pin;
use std::rc::Rc;
use uuid::Uuid;

/// How long a location may keep what it read: KV's least for what changes.
/// Seconds.
const MANIFEST_CACHE_TTL: u64 = 30;

/// After this, KV has failed. Milliseconds, as all below.
const DEADLINE: u64 = 3_000;
/// After this, who has nothing else need not wait for KV alone any longer.
const COPY_AFTER: u64 = 500;
/// How long a request waits for a check of the manifest that is overdue.
const STALE_WAIT: u64 = 300;
/// The same when there is no snapshot to go on with.
const COLD_WAIT: u64 = 5_000;
/// A decision needs the index, a shard, a slice and the providers; the rest is
/// for what stands in for an object that is missing, and for what was thrown
/// out of memory while the request waited for another.
const MAX_LOADS: usize = 10;

/// What an isolate reads from, and the time it reads it at: one for each request.
pub trait Source: Clone + 'static {
    fn now(&self) -> UnixMs;

    fn sleep(&self, ms: u64) -> impl Future<Output = ()>;

    /// From KV. `cache_ttl` is how long, in seconds, the location may keep the answer.
    fn read(&self, key: &str, cache_ttl: u64) -> impl Future<Output = Result<Option<Vec<u8>>, String>>;

    /// SHA-256 of what was read. A platform may be faster at it than Wasm that
    /// was compiled a moment ago.
    fn hash(&self, content: &[u8]) -> impl Future<Output = Hash> {
        async { Hash::of(content) }
    }

    /// What an isolate of this location kept under `name`, if it is still there.
    fn read_copy(&self, name: &str) -> impl Future<Output = Option<Vec<u8>>>;

    /// Keeps a copy for this location's isolates, in the background. Whether it
    /// succeeds, nobody asks.
    fn keep_copy(&self, name: &str, content: &[u8], max_age_secs: u64);

    /// Goes on after the request has been answered.
    fn in_background(&self, work: impl Future<Output = ()> + 'static);

    /// For whoever operates the edge.
    fn report(&self, problem: &str);
}

/// Sees to it that the snapshot is as new as the freshness bound says.
pub async fn refresh<S: Source>(isolate: &Rc<Isolate>, source: &S, now: UnixMs) {
    let (check, is_under_way) = {
        let holder = isolate.holder.borrow();
        (holder.check_needed(now, isolate.refresh_ms), holder.is_check_under_way(now))
    };
    match check {
        Check::NotNeeded => {}
        Check::InBackground => drop(begin_check(isolate, source)),
        Check::First if is_under_way => wait_for(follow_check(isolate, source), isolate, source).await,
        Check::First => wait_for(begin_check(isolate, source), isolate, source).await,
    }
}

/// Begins a check, which outlives the request should that not wait for it.
fn begin_check<S: Source>(isolate: &Rc<Isolate>, source: &S) -> impl Future<Output = ()> + use<S> {
    let (done, is_done) = oneshot::channel();
    let (checking, asking) = (isolate.clone(), source.clone());
    isolate.holder.borrow_mut().check_began(source.now());
    source.in_background(async move {
        check_manifest(&checking, &asking).await;
        let _ = done.send(());
    });
    is_done.map(|_| ())
}

/// Until the check that another request began has ended.
async fn follow_check<S: Source>(isolate: &Isolate, source: &S) {
    while isolate.holder.borrow().is_check_under_way(source.now()) {
        source.sleep(under_way::STEP).await;
    }
}

/// Waits for a check: briefly, if there is a snapshot to go on with.
async fn wait_for<S: Source>(check: impl Future<Output = ()>, isolate: &Isolate, source: &S) {
    let is_cold = || isolate.holder.borrow().current().is_none();
    let limit = if is_cold() { COPY_AFTER } else { STALE_WAIT };
    let mut check = pin!(check);
    if let Either::Left(_) = select(&mut check, pin!(source.sleep(limit))).await {
        return;
    }
    if is_cold() {
        copies::take_manifest(isolate, source).await;
    }
    if is_cold() {
        select(check, pin!(source.sleep(COLD_WAIT - COPY_AFTER))).await;
    } else {
        // The requests that follow need not wait too.
        isolate.holder.borrow_mut().check_failed(source.now());
    }
}

/// Reads the manifest and takes it, if it is good and new.
pub async fn check_manifest<S: Source>(isolate: &Isolate, source: &S) {
    isolate.holder.borrow_mut().check_began(source.now());
    let read = read(isolate, source, MANIFEST_KEY, MANIFEST_CACHE_TTL).await;
    let now = source.now();
    let raw = read.and_then(|raw| raw.ok_or_else(|| "it is missing".to_owned()));
    let outcome = raw.and_then(|raw| {
        let deployment_id = &isolate.settings.deployment_id;
        let mut holder = isolate.holder.borrow_mut();
        holder.check_read(&raw, &isolate.verifier, deployment_id, now).map_err(|refused| refused.to_string())
    });
    match outcome {
        Ok(()) => copies::keep_manifest(isolate, source, now),
        Err(problem) => {
            source.report(&format!("the manifest in KV was not taken: {problem}"));
            copies::take_manifest(isolate, source).await;
            isolate.holder.borrow_mut().check_failed(source.now());
        }
    }
}

/// Decides on a request, loading what the decision asks for. Warm, this does
/// not wait. `trace` learns how far it came.
pub async fn decide<S: Source>(
    isolate: &Isolate,
    source: &S,
    snapshot: Option<&Snapshot>,
    head: &Head<'_>,
    now: UnixMs,
    chance: u64,
    trace: &mut Trace,
) -> Result<Plan, Refusal> {
    let unavailable = || {
        Refusal::new(
            Code::SnapshotUnavailable,
            "The gateway has no usable configuration at the moment. Try again shortly.",
        )
    };
    let snapshot = snapshot.ok_or_else(unavailable)?;
    for _ in 0..MAX_LOADS {
        match pipeline::decide(isolate, snapshot, head, now, chance, trace) {
            Ok(plan) => return Ok(plan),
            Err(Halt::Refuse(refusal)) => return Err(refusal),
            Err(Halt::Load(object)) => {
                if !object::obtain_with_providers(isolate, source, snapshot, object).await {
                    break;
                }
            }
            Err(Halt::Fresh(token_id)) => match ask_fresh(isolate, source, token_id).await {
                Ok(true) => {}
                Ok(false) => return Err(Refusal::new(Code::InvalidToken, "The token is unknown.")),
                Err(()) => break,
            },
        }
    }
    Err(unavailable())
}

/// Asks for a token created a moment ago; `Err` if KV could not tell.
async fn ask_fresh<S: Source>(isolate: &Isolate, source: &S, token_id: Uuid) -> Result<bool, ()> {
    let report = |problem: &str| source.report(&format!("fresh token {token_id}: {problem}"));
    let object = match read(isolate, source, &fresh_key(token_id), MANIFEST_CACHE_TTL).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(false),
        Err(error) => {
            report(&error);
            return Err(());
        }
    };
    match Fresh::decode(&object, &isolate.verifier) {
        Ok(fresh)
            if fresh.deployment_id == isolate.settings.deployment_id && fresh.record.id() == token_id =>
        {
            isolate.fresh.remember(fresh);
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(error) => {
            report(&error.to_string());
            Ok(false)
        }
    }
}

async fn read<S: Source>(
    isolate: &Isolate,
    source: &S,
    key: &str,
    cache_ttl: u64,
) -> Result<Option<Vec<u8>>, String> {
    isolate.count(|traffic| traffic.kv_reads += 1);
    let read = match select(pin!(source.read(key, cache_ttl)), pin!(source.sleep(DEADLINE))).await {
        Either::Left((read, _)) => read,
        Either::Right(_) => Err(format!("KV did not answer in {DEADLINE} ms")),
    };
    if read.is_err() {
        isolate.count(|traffic| traffic.kv_failures += 1);
    }
    read
}

#[cfg(test)]
mod tests;
