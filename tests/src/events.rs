//! Where the edge's events go, in this process: the queue that workerd's binding
//! speaks to, and the control plane as far as it takes events. Both count, and
//! fail on demand.
//!
//! A message is a POST of `/message` whose body is the text
//! (workerd, `src/workerd/api/queue.c++`).

use crate::edge::until;
use crate::keys;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;
use shared::event::Event;
use shared::header;
use shared::signed_call::{Call, CallError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Queue,
    ControlPlane,
}

/// What happens to every request of a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// This status, nothing taken.
    Status(u16),
    /// The same, for bodies with more lines than that.
    MoreLinesThan(usize, u16),
    Hang,
    Delay(Duration),
    /// Its clock is so many seconds ahead.
    Skew(i64),
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<Side, Fault>,
    /// What was taken, in the order in which it came.
    taken: Vec<(Side, String)>,
    asked: BTreeMap<Side, usize>,
    nonces: Vec<String>,
    /// What is taken is not kept.
    is_forgetful: bool,
}

/// Stops when dropped.
#[derive(Debug)]
pub struct EventServer {
    state: Arc<Mutex<State>>,
    queue: SocketAddr,
    control_plane: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl EventServer {
    pub async fn start() -> Self {
        Self::with(State::default()).await
    }

    /// For benchmarks: what it takes is gone.
    pub async fn forgetful() -> Self {
        Self::with(State { is_forgetful: true, ..State::default() }).await
    }

    async fn with(state: State) -> Self {
        let state = Arc::new(Mutex::new(state));
        let (queue, serving_queue) = serve(Router::new().route("/message", post(message)), &state).await;
        let (control_plane, serving) = serve(Router::new().route("/edge/events", post(call)), &state).await;
        Self { state, queue, control_plane, tasks: [serving_queue, serving] }
    }

    pub fn queue_address(&self) -> SocketAddr {
        self.queue
    }

    pub fn control_plane_url(&self) -> String {
        format!("http://{}", self.control_plane)
    }

    pub fn set_fault(&self, side: Side, fault: Fault) {
        self.state().faults.insert(side, fault);
    }

    /// The bodies that a side took.
    pub fn taken(&self, side: Side) -> Vec<String> {
        self.state().taken.iter().filter(|(taker, _)| *taker == side).map(|(_, body)| body.clone()).collect()
    }

    /// How often a side was asked, faults included.
    pub fn asked(&self, side: Side) -> usize {
        self.state().asked.get(&side).copied().unwrap_or_default()
    }

    /// All that came, on either way, in the order in which it came. Each is one
    /// that the control plane would take.
    pub fn all(&self) -> Vec<Event> {
        let state = self.state();
        let lines = state.taken.iter().flat_map(|(_, body)| body.lines());
        lines
            .map(|line| Event::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// The only event with this id, once it has come.
    pub async fn of(&self, id: &str) -> Event {
        let id: Uuid = id.parse().unwrap();
        self.only(|event| event.id == id).await
    }

    /// The only event of a request for this model, options and all, once it has come.
    pub async fn asking_for(&self, model: &str) -> Event {
        self.only(|event| event.model_requested.as_deref() == Some(model)).await
    }

    /// The only event that is so, once it has come.
    pub async fn only(&self, is_so: impl Fn(&Event) -> bool) -> Event {
        let found = || self.all().into_iter().filter(|event| is_so(event)).collect::<Vec<_>>();
        until("the event comes", async || !found().is_empty()).await;
        let mut found = found();
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn take(&mut self, side: Side, body: String) {
        if !self.is_forgetful {
            self.taken.push((side, body));
        }
    }
}

impl Drop for EventServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(routes: Router<Arc<Mutex<State>>>, state: &Arc<Mutex<State>>) -> (SocketAddr, JoinHandle<()>) {
    let routes = routes.layer(DefaultBodyLimit::disable()).with_state(Arc::clone(state));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }))
}

async fn message(Extract(state): Extract<Arc<Mutex<State>>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(headers["x-msg-fmt"], "text");
    assert!(text.len() <= 128_000, "a message of {} bytes", text.len());
    if let Some(failed) = failed(&state, Side::Queue, &text).await {
        return failed;
    }
    state.lock().unwrap().take(Side::Queue, text);
    let metrics = json!({"backlogCount": 0, "backlogBytes": 0, "oldestMessageTimestamp": 0});
    axum::Json(json!({"metadata": {"metrics": metrics}})).into_response()
}

async fn call(Extract(state): Extract<Arc<Mutex<State>>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert_eq!(headers["content-type"], "application/x-ndjson");
    if let Some(failed) = failed(&state, Side::ControlPlane, &text).await {
        return failed;
    }
    let mut state = state.lock().unwrap();
    let skew = match state.faults.get(&Side::ControlPlane) {
        Some(Fault::Skew(seconds)) => *seconds,
        _ => 0,
    };
    let now = (crate::fixture::now() / 1000).saturating_add_signed(skew);
    let value = |name: &str| headers[name].to_str().unwrap();
    let (time, nonce) = (value(header::CALL_TIME).parse().unwrap(), value(header::CALL_NONCE));
    let call = Call { time, nonce, method: "POST", path: "/edge/events", body: &body };
    match call.verify(value(header::CALL_SIGNATURE), &keys::ingest_keys(), now) {
        Ok(()) => {}
        Err(CallError::Skew) => {
            return (StatusCode::UNAUTHORIZED, [(header::CALL_TIME, now.to_string())]).into_response();
        }
        Err(error) => panic!("{error}"),
    }
    assert!(!state.nonces.iter().any(|earlier| earlier == nonce), "a nonce twice");
    state.nonces.push(nonce.to_owned());
    state.take(Side::ControlPlane, text);
    StatusCode::NO_CONTENT.into_response()
}

async fn failed(state: &Mutex<State>, side: Side, text: &str) -> Option<Response> {
    let fault = {
        let mut state = state.lock().unwrap();
        *state.asked.entry(side).or_default() += 1;
        state.faults.get(&side).copied().unwrap_or_default()
    };
    let refused =
        |status: u16| Some((StatusCode::from_u16(status).unwrap(), "the test says so").into_response());
    match fault {
        Fault::Status(status) => refused(status),
        Fault::MoreLinesThan(lines, status) if text.lines().count() > lines => refused(status),
        Fault::None | Fault::Skew(_) | Fault::MoreLinesThan(..) => None,
        Fault::Hang => std::future::pending().await,
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            None
        }
    }
}
