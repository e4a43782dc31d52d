//! Workers KV in this process: Cloudflare's REST API for the control plane, and
//! the protocol that workerd's `kvNamespace` binding speaks, over one map. It
//! counts, and fails on demand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

// Named, so that this file can also be included by path from another package.
#[path = "kv/binding.rs"]
mod binding;
#[path = "kv/held.rs"]
mod held;
#[path = "kv/rest.rs"]
mod rest;

pub use held::HeldWrite;

use axum::Router;
use axum::response::{IntoResponse, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub const NAMESPACE: &str = "namespace";
const REST_PATH: &str = "/client/v4";

/// The largest value KV takes.
const MAX_VALUE_LEN: usize = 25 * 1024 * 1024;

/// Who speaks to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The control plane.
    Rest,
    /// The worker.
    Binding,
}

/// What happens to every request of a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// 500, nothing done.
    Fail,
    /// Done, and then 500: the caller cannot know.
    FailAfter,
    /// 429 with `Retry-After` in seconds.
    RateLimit(u64),
    /// Never answered.
    Hang,
    Delay(Duration),
}

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    metadata: Option<String>,
    expires: Option<Instant>,
}

type Map = BTreeMap<String, Entry>;

/// What became of a key.
#[derive(Clone, Debug)]
pub struct Change {
    pub key: String,
    /// None when it was deleted.
    pub value: Option<Vec<u8>>,
    /// Seconds.
    pub ttl: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    map: Map,
    /// What the binding side sees instead, while frozen.
    frozen: Option<Map>,
    faults: BTreeMap<Side, Fault>,
    /// Prefixes that the binding side finds missing.
    hidden: BTreeSet<String>,
    hold: Option<held::Hold>,
    /// Keys in the order they were read or written, missing ones included.
    reads: Vec<(Side, String)>,
    writes: Vec<(Side, String)>,
    /// Changes that nobody has taken yet, where they are kept.
    journal: Option<Vec<Change>>,
    /// Requests of the REST side, for its call limit.
    rest_calls: usize,
    authorization: Option<String>,
}

/// Stops when dropped.
#[derive(Debug)]
pub struct KvServer {
    state: Arc<Mutex<State>>,
    rest: SocketAddr,
    binding: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl KvServer {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (rest, rest_task) = serve(Router::new().nest(REST_PATH, rest::routes(Arc::clone(&state)))).await;
        let (binding, binding_task) = serve(binding::routes(Arc::clone(&state))).await;
        Self { state, rest, binding, tasks: [rest_task, binding_task] }
    }

    /// For `KV_API_BASE`, with [`NAMESPACE`] for `KV_NAMESPACE_ID`.
    pub fn rest_base(&self) -> String {
        format!("http://{}{REST_PATH}", self.rest)
    }

    /// For the service behind a `kvNamespace` binding.
    pub fn binding_address(&self) -> SocketAddr {
        self.binding
    }

    pub fn set_fault(&self, side: Side, fault: Fault) {
        self.state().faults.insert(side, fault);
    }

    /// Keeps back the control plane's next write of a key that starts with
    /// `prefix`, in bulk or alone; others pass.
    pub fn hold_write(&self, prefix: &str) -> HeldWrite {
        let (order, write) = held::Hold::new(prefix);
        self.state().hold = Some(order);
        write
    }

    /// The binding side finds no key that starts with `prefix`.
    pub fn hide(&self, prefix: &str) {
        self.state().hidden.insert(prefix.to_owned());
    }

    pub fn unhide_all(&self) {
        self.state().hidden.clear();
    }

    /// The binding side keeps seeing what is there now, as when KV replicates late.
    pub fn freeze(&self) {
        let mut state = self.state();
        state.frozen = Some(state.map.clone());
    }

    pub fn thaw(&self) {
        self.state().frozen = None;
    }

    pub fn raw(&self, key: &str) -> Option<Vec<u8>> {
        self.state().map.get(key).map(|entry| entry.value.clone())
    }

    pub fn set_raw(&self, key: &str, value: &[u8]) {
        self.state().put(key.to_owned(), value.to_vec(), None, None);
    }

    pub fn remove(&self, key: &str) {
        self.state().map.remove(key);
    }

    /// The changes since this was last called, in order; the first call begins to keep them.
    pub fn take_changes(&self) -> Vec<Change> {
        self.state().journal.replace(Vec::new()).unwrap_or_default()
    }

    /// What deleting the local KV's folder does.
    pub fn clear(&self) {
        self.state().map.clear();
    }

    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.state().map.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub fn reads(&self, side: Side, prefix: &str) -> usize {
        count(&self.state().reads, side, prefix)
    }

    pub fn writes(&self, side: Side, prefix: &str) -> usize {
        count(&self.state().writes, side, prefix)
    }

    /// Keys in the order in which the control plane wrote them.
    pub fn written(&self) -> Vec<String> {
        self.state()
            .writes
            .iter()
            .filter(|(side, _)| *side == Side::Rest)
            .map(|(_, key)| key.clone())
            .collect()
    }

    /// Calls of the REST API, bulk writes counted once.
    pub fn rest_calls(&self) -> usize {
        self.state().rest_calls
    }

    /// The `Authorization` of the last REST call.
    pub fn authorization(&self) -> Option<String> {
        self.state().authorization.clone()
    }

    pub fn reset_counts(&self) {
        let mut state = self.state();
        state.reads.clear();
        state.writes.clear();
        state.rest_calls = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for KvServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl State {
    fn get(&mut self, side: Side, key: &str) -> Option<Entry> {
        self.reads.push((side, key.to_owned()));
        let is_hidden = side == Side::Binding && self.hidden.iter().any(|prefix| key.starts_with(prefix));
        let entry = self.seen_by(side).get(key).filter(|entry| entry.is_live()).cloned();
        entry.filter(|_| !is_hidden)
    }

    /// What keeps a write of these keys back; it does so once.
    fn hold_of<'k>(&mut self, mut keys: impl Iterator<Item = &'k String>) -> Option<held::Hold> {
        self.hold.take_if(|hold| keys.any(|key| hold.concerns(key)))
    }

    fn seen_by(&self, side: Side) -> &Map {
        match (&self.frozen, side) {
            (Some(frozen), Side::Binding) => frozen,
            (_, Side::Rest) | (None, Side::Binding) => &self.map,
        }
    }

    fn put(&mut self, key: String, value: Vec<u8>, metadata: Option<String>, ttl: Option<u64>) {
        self.note(&key, Some(&value), ttl);
        let expires = ttl.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        self.map.insert(key, Entry { value, metadata, expires });
    }

    fn delete(&mut self, key: &str) {
        self.note(key, None, None);
        self.map.remove(key);
    }

    fn note(&mut self, key: &str, value: Option<&Vec<u8>>, ttl: Option<u64>) {
        if let Some(journal) = &mut self.journal {
            journal.push(Change { key: key.to_owned(), value: value.cloned(), ttl });
        }
    }

    /// Names after `cursor`, and the next cursor.
    fn list(&self, side: Side, prefix: &str, cursor: &str, limit: usize) -> (Vec<String>, Option<String>) {
        let live = self.seen_by(side).iter().filter(|(_, entry)| entry.is_live()).map(|(key, _)| key);
        let mut names = live.filter(|key| key.starts_with(prefix) && key.as_str() > cursor);
        let page: Vec<String> = names.by_ref().take(limit).cloned().collect();
        let next = names.next().and(page.last().cloned());
        (page, next)
    }
}

impl Entry {
    fn is_live(&self) -> bool {
        self.expires.is_none_or(|at| at > Instant::now())
    }
}

/// Answers `request`, unless the side's fault says otherwise.
async fn with_fault(
    state: &Mutex<State>,
    side: Side,
    answer: impl FnOnce(&mut State) -> Response,
) -> Response {
    let fault = state.lock().unwrap().faults.get(&side).copied().unwrap_or_default();
    let failed = || (axum::http::StatusCode::INTERNAL_SERVER_ERROR, "the test says so").into_response();
    match fault {
        Fault::None => {}
        Fault::Fail => return failed(),
        Fault::FailAfter => {
            answer(&mut state.lock().unwrap());
            return failed();
        }
        Fault::RateLimit(seconds) => {
            let headers = [("retry-after", seconds.to_string())];
            return (axum::http::StatusCode::TOO_MANY_REQUESTS, headers).into_response();
        }
        Fault::Hang => std::future::pending().await,
        Fault::Delay(delay) => tokio::time::sleep(delay).await,
    }
    answer(&mut state.lock().unwrap())
}

fn count(log: &[(Side, String)], side: Side, prefix: &str) -> usize {
    log.iter().filter(|(by, key)| *by == side && key.starts_with(prefix)).count()
}

async fn serve(routes: Router) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (address, task)
}
