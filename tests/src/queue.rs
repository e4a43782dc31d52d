//! The queue between isolates and the control plane, in this process: it takes
//! messages as workerd's binding sends them, and hands them in batches to the
//! queue handler of a worker. Like the real one it outlives isolates and delivers
//! in no order and at least once: some of what is acknowledged comes again.

use crate::soak::dice::Dice;
use crate::workerd::Workerd;
use axum::Router;
use axum::extract::{DefaultBodyLimit, State as Extract};
use axum::routing::post;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// As in wrangler.toml.
const NAME: &str = "latchkey-events";
const MAX_BATCH: usize = 50;
/// Tests do not wait as long as the handler asks for.
const SECOND: Duration = Duration::from_millis(100);

/// How badly it behaves, within what a queue may do.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// So many of the messages that were acknowledged come again, in percent.
    again: usize,
    /// For how long at most a message is held back, while later ones pass it.
    late: Duration,
    /// How long messages are collected.
    collecting: Duration,
}

pub const USUAL: Manners = Manners { again: 5, late: Duration::ZERO, collecting: Duration::from_millis(50) };
pub const BAD: Manners = Manners { again: 25, late: Duration::from_secs(3), ..USUAL };
/// As in wrangler.toml, and nothing amiss.
pub const AS_CONFIGURED: Manners =
    Manners { again: 0, late: Duration::ZERO, collecting: Duration::from_secs(1) };

/// What became of messages so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    pub messages: usize,
    pub batches: usize,
    /// Deliveries that the handler did not acknowledge.
    pub retries: usize,
    /// Events that were acknowledged and came again.
    pub events_again: usize,
}

#[derive(Debug)]
struct Message {
    body: String,
    /// Deliveries so far.
    attempts: u32,
    due: Instant,
    /// It was acknowledged once.
    is_again: bool,
}

#[derive(Debug)]
struct State {
    waiting: Vec<Message>,
    in_hand: usize,
    manners: Manners,
    dice: Dice,
    traffic: Traffic,
}

/// Stops when dropped.
#[derive(Debug)]
pub struct Queue {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    taking: JoinHandle<()>,
    delivering: Vec<JoinHandle<()>>,
}

impl Queue {
    pub async fn start(manners: Manners, dice: Dice) -> Self {
        let state = State { waiting: Vec::new(), in_hand: 0, manners, dice, traffic: Traffic::default() };
        let state = Arc::new(Mutex::new(state));
        let routes = Router::new().route("/message", post(take));
        let routes = routes.layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taking = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { state, address, taking, delivering: Vec::new() }
    }

    /// For the binding `EVENTS`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `consumer` gets batches, beside those there are.
    pub fn deliver_to(&mut self, consumer: Workerd) {
        let state = Arc::clone(&self.state);
        let collecting = lock(&state).manners.collecting;
        self.delivering.push(tokio::spawn(async move {
            loop {
                deliver(&state, &consumer).await;
                sleep(collecting).await;
            }
        }));
    }

    pub fn traffic(&self) -> Traffic {
        lock(&self.state).traffic
    }

    /// Everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.waiting.is_empty() && state.in_hand == 0
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.taking.abort();
        self.delivering.iter().for_each(JoinHandle::abort);
    }
}

impl State {
    /// Some that are due, in no order.
    fn batch(&mut self) -> Vec<Message> {
        let now = Instant::now();
        let mut batch: Vec<Message> = self.waiting.extract_if(.., |message| message.due <= now).collect();
        for at in (1..batch.len()).rev() {
            batch.swap(at, self.dice.below(at + 1));
        }
        self.waiting.extend(batch.drain(batch.len().min(MAX_BATCH)..));
        for message in &mut batch {
            message.attempts += 1;
        }
        self.in_hand += batch.len();
        batch
    }

    fn acknowledged(&mut self, mut message: Message) {
        if message.is_again {
            self.traffic.events_again += message.body.lines().count();
        } else if self.dice.percent(self.manners.again) {
            message.is_again = true;
            message.due = self.due();
            self.waiting.push(message);
        }
    }

    fn due(&mut self) -> Instant {
        let late = u64::try_from(self.manners.late.as_millis()).unwrap();
        Instant::now() + self.dice.millis(0..late + 1)
    }

    fn again_later(&mut self, mut message: Message, seconds: u64) {
        self.traffic.retries += 1;
        message.due = Instant::now() + SECOND * u32::try_from(seconds).unwrap();
        self.waiting.push(message);
    }
}

async fn take(Extract(state): Extract<Arc<Mutex<State>>>, body: String) -> axum::Json<Value> {
    let mut state = lock(&state);
    state.traffic.messages += 1;
    let due = state.due();
    state.waiting.push(Message { body, attempts: 0, due, is_again: false });
    let metrics = json!({"backlogCount": 0, "backlogBytes": 0, "oldestMessageTimestamp": 0});
    axum::Json(json!({"metadata": {"metrics": metrics}}))
}

async fn deliver(state: &Mutex<State>, consumer: &Workerd) {
    let batch = lock(state).batch();
    if batch.is_empty() {
        return;
    }
    let messages: Vec<(u32, &str)> =
        batch.iter().map(|message| (message.attempts, message.body.as_str())).collect();
    let delivered = consumer.deliver(NAME, &messages).await;
    assert!(delivered.is_ok, "{delivered:?}");
    let mut state = lock(state);
    state.traffic.batches += 1;
    state.in_hand -= batch.len();
    for (at, message) in batch.into_iter().enumerate() {
        let delay = delivered.again.iter().find(|(again, _)| *again == at).map(|(_, seconds)| *seconds);
        match delay {
            Some(seconds) => state.again_later(message, seconds),
            None => state.acknowledged(message),
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap()
}
