//! A `PostgreSQL` that is killed, that hangs, that cannot be reached.

use crate::database::Database;
use crate::postgres_server::{PASSWORD, Postgres as Server};
use crate::world::{self, request};
use axum::Router;
use axum::http::{Method, StatusCode};
use control_plane::store::sql::query;
use control_plane::store::{Store, migrate};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tower::ServiceExt;

type World = world::World<Killable>;

/// A database on a server of its own.
struct Killable {
    server: Server,
    url: String,
}

impl Database for Killable {
    fn create() -> Self {
        let server = Server::start();
        let url = server.create_database();
        Self { server, url }
    }

    fn url(&self) -> String {
        self.url.clone()
    }
}

/// Creates tokens one after the other until told to end, and tells each outcome:
/// the id, or the status of a failure.
async fn create_tokens(
    router: Router,
    project: String,
    ended: Arc<AtomicBool>,
    outcomes: mpsc::UnboundedSender<Result<String, StatusCode>>,
) {
    while !ended.load(Ordering::Relaxed) {
        let body = json!({ "project_id": project, "name": "t" });
        let request = request(Method::POST, "/manage/tokens", Some(body));
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let outcome = if status == StatusCode::CREATED {
            Ok(body["id"].as_str().unwrap().to_owned())
        } else {
            Err(status)
        };
        outcomes.send(outcome).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_a_killed_database_and_the_rest_goes_on() {
    let world = World::start().await;
    let project = world.project("a").await;
    let ended = Arc::new(AtomicBool::new(false));
    let (sender, mut outcomes) = mpsc::unbounded_channel();
    let creating: Vec<_> = (0..3)
        .map(|_| create_tokens(world.router.clone(), project.clone(), Arc::clone(&ended), sender.clone()))
        .map(tokio::spawn)
        .collect();
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        // Ten in a row: it works again, or still.
        let mut in_a_row = 0;
        while in_a_row < 10 {
            match outcomes.recv().await.unwrap() {
                Ok(id) => {
                    acknowledged.push(id);
                    in_a_row += 1;
                }
                Err(_) => in_a_row = 0,
            }
        }
        let server = &world.database.server;
        tokio::task::block_in_place(|| server.kill());
        loop {
            match outcomes.recv().await.unwrap() {
                Ok(id) => acknowledged.push(id),
                Err(status) => break assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        world.get("/readyz").await.ok(StatusCode::SERVICE_UNAVAILABLE);
        tokio::task::block_in_place(|| server.restart());
    }
    ended.store(true, Ordering::Relaxed);
    for creating in creating {
        creating.await.unwrap();
    }
    for id in acknowledged {
        world.get(&format!("/manage/tokens/{id}")).await.ok(StatusCode::OK);
    }
    assert_eq!(world.get("/readyz").await.body["database"], "ok");
}

#[tokio::test]
async fn a_database_that_hangs_holds_no_request() {
    let world = World::start().await;
    world.project("a").await;
    world.database.server.pause();
    let answers = async || {
        world.get("/manage/projects").await.error(500, "internal");
        world.post("/manage/projects", json!({ "name": "b" })).await.error(500, "internal");
        let ready = world.get("/readyz").await.ok(StatusCode::SERVICE_UNAVAILABLE);
        assert!(ready["database"].as_str().unwrap().contains("DATABASE_URL"));
    };
    // Well below the time limit of a request, which would have another code.
    tokio::time::timeout(Duration::from_secs(25), answers()).await.unwrap();
    world.database.server.resume();
    world.get("/manage/projects").await.ok(StatusCode::OK);
    world.post("/manage/projects", json!({ "name": "c" })).await.ok(StatusCode::CREATED);
}

/// The server ends what its client does not: a process that was stopped or cut
/// off must not keep others from the rows that it holds.
#[tokio::test]
async fn transactions_are_bounded_and_reads_do_not_write() {
    let url = Server::shared().create_database();
    migrate::up(&url).await.unwrap();
    let store = Store::connect(&url).await.unwrap();
    let setting = "select current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' ' || \
                   current_setting('idle_in_transaction_session_timeout') || ' ' || \
                   current_setting('transaction_isolation') || ' ' || current_setting('jit')";
    let mut tx = store.write().await.unwrap();
    assert_eq!(query(setting).scalar::<String>(&mut tx).await.unwrap(), "1min 10s 15s read committed off");
    drop(tx);
    let mut tx = store.read().await.unwrap();
    assert_eq!(query(setting).scalar::<String>(&mut tx).await.unwrap(), "1min 0 15min repeatable read off");
    let refused = query("delete from outbox").execute(&mut tx).await.unwrap_err();
    assert!(refused.to_string().contains("read-only"), "{refused}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_without_the_password() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = format!("postgres://latchkey:{PASSWORD}@127.0.0.1:{port}/latchkey");
    let there = Server::shared().create_database();
    let missing = format!("{there}_not");
    let stranger = there.replace(PASSWORD, "hush-wrong");
    for (url, said) in
        [(nobody, "refused"), (missing, "does not exist"), (stranger, "password authentication failed")]
    {
        let message = migrate::up(&url).await.unwrap_err().to_string();
        assert!(message.contains(said) && message.contains("DATABASE_URL"), "{message}");
        assert!(!message.contains("hush"), "{message}");
    }
}
