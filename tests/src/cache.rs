//! The Cache API of one location, in this process: what workerd speaks to the
//! service that `cacheApiOutbound` names. It counts, and fails on demand.
//!
//! A look-up is a GET, answered with `cf-cache-status`; a `put` is a PUT whose
//! body is the response to keep, head and all
//! (workerd, `src/workerd/api/cache.c++`).

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Extract};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const STATUS: &str = "cf-cache-status";

/// What happens to every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// 500, nothing done.
    Fail,
    /// Never answered.
    Hang,
}

#[derive(Debug)]
struct Entry {
    content: Vec<u8>,
    cache_control: String,
}

#[derive(Debug, Default)]
struct State {
    map: BTreeMap<String, Entry>,
    fault: Fault,
    /// In the order in which they were asked for, those that are missing too.
    reads: Vec<String>,
    writes: Vec<String>,
}

/// Stops when dropped. Names are paths of URLs, without the slash before them.
#[derive(Debug)]
pub struct CacheServer {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl CacheServer {
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let routes = Router::new()
            .fallback(get(read).put(write))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { state, address, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn set_fault(&self, fault: Fault) {
        self.state().fault = fault;
    }

    pub fn names(&self, prefix: &str) -> Vec<String> {
        self.state().map.keys().filter(|name| name.starts_with(prefix)).cloned().collect()
    }

    pub fn raw(&self, name: &str) -> Option<Vec<u8>> {
        self.state().map.get(name).map(|entry| entry.content.clone())
    }

    pub fn cache_control(&self, name: &str) -> Option<String> {
        self.state().map.get(name).map(|entry| entry.cache_control.clone())
    }

    pub fn set_raw(&self, name: &str, content: &[u8]) {
        self.state().put(name.to_owned(), content.to_vec(), String::new());
    }

    /// Changes what is kept under each name that starts with `prefix`.
    pub fn damage(&self, prefix: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut state = self.state();
        let entries = state.map.iter_mut().filter(|(name, _)| name.starts_with(prefix));
        entries.for_each(|(_, entry)| change(&mut entry.content));
    }

    /// As a location does that is short of room.
    pub fn forget(&self, prefix: &str) {
        self.state().map.retain(|name, _| !name.starts_with(prefix));
    }

    pub fn reads(&self, prefix: &str) -> usize {
        self.state().reads.iter().filter(|name| name.starts_with(prefix)).count()
    }

    pub fn writes(&self, prefix: &str) -> usize {
        self.state().writes.iter().filter(|name| name.starts_with(prefix)).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for CacheServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn put(&mut self, name: String, content: Vec<u8>, cache_control: String) {
        self.map.insert(name, Entry { content, cache_control });
    }
}

async fn read(Extract(state): Extract<Arc<Mutex<State>>>, uri: Uri) -> Response {
    let name = name(&uri);
    state.lock().unwrap().reads.push(name.clone());
    if let Some(failed) = failed(&state).await {
        return failed;
    }
    match state.lock().unwrap().map.get(&name) {
        Some(entry) => ([(STATUS, "HIT")], entry.content.clone()).into_response(),
        None => (StatusCode::GATEWAY_TIMEOUT, [(STATUS, "MISS")]).into_response(),
    }
}

async fn write(Extract(state): Extract<Arc<Mutex<State>>>, uri: Uri, message: Bytes) -> Response {
    let name = name(&uri);
    state.lock().unwrap().writes.push(name.clone());
    if let Some(failed) = failed(&state).await {
        return failed;
    }
    let end = message.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(message[..end].to_vec()).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let cache_control = head.lines().find_map(|line| line.strip_prefix("cache-control: "));
    let cache_control = cache_control.unwrap_or_default().to_owned();
    state.lock().unwrap().put(name, message[end + 4..].to_vec(), cache_control);
    StatusCode::NO_CONTENT.into_response()
}

async fn failed(state: &Mutex<State>) -> Option<Response> {
    let fault = state.lock().unwrap().fault;
    match fault {
        Fault::None => None,
        Fault::Fail => Some((StatusCode::INTERNAL_SERVER_ERROR, "the test says so").into_response()),
        Fault::Hang => std::future::pending().await,
    }
}

fn name(uri: &Uri) -> String {
    uri.path().trim_start_matches('/').to_owned()
}
