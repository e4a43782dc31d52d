//! Who delivers to which sink, while people change them.

use super::World;
use crate::edge::Isolate;
use crate::recorder::sink;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use control_plane::clock;
use control_plane::sinks::kind::Surroundings;
use control_plane::sinks::open::place;
use control_plane::sinks::supervisor::Supervisor;
use control_plane::store::sinks::{self, SinkRow};
use serde_json::Value;
use shared::event::Event;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Where a webhook posts to.
#[derive(Clone, Default)]
struct Receiver {
    ids: Arc<Mutex<Vec<Uuid>>>,
    hangs: Arc<AtomicBool>,
}

struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let router = Router::new().route("/events", post(receive)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn ids(&self) -> Vec<Uuid> {
        self.ids.lock().unwrap().clone()
    }

    /// Until it has these, in this order.
    async fn has(&self, ids: &[Uuid]) {
        while self.ids() != ids {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn receive(State(receiver): State<Receiver>, body: Bytes) -> StatusCode {
    if receiver.hangs.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let ids = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let ids = ids.map(|event| event["id"].as_str().unwrap().parse().unwrap());
    receiver.ids.lock().unwrap().extend(ids.collect::<Vec<Uuid>>());
    StatusCode::NO_CONTENT
}

async fn webhook(world: &World, name: &str, to: &Receiver) -> SinkRow {
    let row = sink(world, name, 10).await;
    let url = to.start().await;
    let secret = STANDARD.encode([7; 32]);
    let secret = world.domain.vault.seal_at_rest(&secret, place(row.id, "webhook")).unwrap();
    let mut tx = world.store.write().await.unwrap();
    sinks::delete(&mut tx, row.id).await.unwrap();
    let settings = serde_json::json!({ "url": url }).to_string();
    let row = SinkRow { kind: "webhook".into(), settings, secret: Some(secret), timeout_seconds: 300, ..row };
    sinks::insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    row
}

fn start(world: &World) -> Running {
    let supervisor = Supervisor {
        store: world.store.clone(),
        vault: Arc::clone(&world.domain.vault),
        surroundings: Arc::new(Surroundings { allow_private: true, file_dir: None }),
        counted: watch::Sender::default().subscribe(),
        clock: clock::now,
        holder: crate::edge::new_id(1),
    };
    let (stop, shutdown) = watch::channel(false);
    Running { stop, task: tokio::spawn(supervisor.run(shutdown)) }
}

impl Running {
    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

async fn counted(world: &World, count: usize) -> Vec<Uuid> {
    let mut isolate = Isolate::new();
    let events: Vec<Event> = (0..count).map(|_| isolate.event()).collect();
    world.events(&events).await;
    events.iter().map(|event| event.id).collect()
}

async fn now(world: &World, row: &SinkRow) -> SinkRow {
    sinks::get(&mut world.store.read().await.unwrap(), row.id).await.unwrap().unwrap()
}

async fn change(world: &World, row: &SinkRow) {
    let mut tx = world.store.write().await.unwrap();
    sinks::update(&mut tx, row).await.unwrap();
    tx.commit().await.unwrap();
}

async fn is_given_back(world: &World, row: &SinkRow) {
    while now(world, row).await.holder.is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_sink_that_does_not_answer_holds_up_no_other() {
    let world = World::start().await;
    let (slow, quick) = (Receiver::default(), Receiver::default());
    slow.hangs.store(true, Ordering::Relaxed);
    webhook(&world, "slow", &slow).await;
    webhook(&world, "quick", &quick).await;
    let running = start(&world);
    let ids = counted(&world, 25).await;
    quick.has(&ids).await;
    assert!(slow.ids().is_empty());
    // Nor the end.
    running.end().await;
}

#[tokio::test]
async fn a_change_counts_at_once() {
    let world = World::start().await;
    let (first, second) = (Receiver::default(), Receiver::default());
    let row = webhook(&world, "a", &first).await;
    let running = start(&world);
    let before = counted(&world, 3).await;
    first.has(&before).await;

    // Paused: it keeps its place.
    change(&world, &SinkRow { is_active: false, ..row.clone() }).await;
    is_given_back(&world, &row).await;
    let after = counted(&world, 3).await;
    let settings = serde_json::json!({ "url": second.start().await }).to_string();
    change(&world, &SinkRow { settings, ..row.clone() }).await;
    second.has(&after).await;
    assert_eq!(first.ids(), before);

    let mut tx = world.store.write().await.unwrap();
    sinks::delete(&mut tx, row.id).await.unwrap();
    tx.commit().await.unwrap();
    counted(&world, 1).await;
    running.end().await;
    assert_eq!(second.ids(), after);
}

#[tokio::test]
async fn of_two_control_planes_one_delivers_and_the_other_goes_on() {
    let world = World::start().await;
    let receiver = Receiver::default();
    let row = webhook(&world, "a", &receiver).await;
    let (first, second) = (start(&world), start(&world.beside().await));
    let mut ids = counted(&world, 30).await;
    receiver.has(&ids).await;
    first.end().await;
    ids.extend(counted(&world, 30).await);
    receiver.has(&ids).await;
    second.end().await;
    is_given_back(&world, &row).await;
    ids.extend(counted(&world, 5).await);
    let third = start(&world);
    receiver.has(&ids).await;
    third.end().await;
}

#[tokio::test]
async fn a_sink_that_cannot_be_opened_says_why() {
    let world = World::start().await;
    let row = sink(&world, "a", 10).await;
    let running = start(&world);
    while now(&world, &row).await.error.is_none() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = now(&world, &row).await.error.unwrap();
    assert!(error.starts_with("it cannot be opened: "), "{error}");
    is_given_back(&world, &row).await;
    running.end().await;
}
