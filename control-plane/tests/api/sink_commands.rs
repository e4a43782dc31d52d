//! `latchkey sinks` and `latchkey dead-letters`, as people and programs run them.

use super::World;
use super::dead_letters::refused;
use super::served::Served;
use crate::edge::{Isolate, new_id};
use crate::receiver::{Mood, Receiver, WEBHOOK_KEY};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

struct Case {
    world: World,
    served: Served,
    receiver: Receiver,
    settings: String,
}

impl Case {
    async fn start() -> Self {
        let (world, receiver) = (World::start().await, Receiver::start().await);
        let served = Served::of(&world).await;
        let settings = json!({ "url": receiver.url }).to_string();
        Self { world, served, receiver, settings }
    }

    /// A webhook; its secret comes through standard input.
    async fn add(&self, name: &str) -> Value {
        let arguments = ["sinks", "add", name, "--kind", "webhook", "--settings", &self.settings];
        let mut command = self.served.latchkey(&arguments);
        command.args(["--secret-file", "-", "--timeout-seconds", "1", "--json"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{WEBHOOK_KEY}\n").as_bytes()).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Sinks of these names, and an event that each of them refused.
    async fn refused(&self, names: &[&str]) -> Vec<Uuid> {
        let event = Isolate::new().event();
        self.world.events(std::slice::from_ref(&event)).await;
        let mut letters = Vec::new();
        for name in names {
            let sink = self.add(name).await["id"].as_str().unwrap().parse().unwrap();
            letters.push(refused(&self.world, sink, event.id).await);
        }
        letters
    }
}

#[tokio::test]
async fn sinks_are_added_shown_changed_tested_and_removed() {
    let Case { served, receiver, settings, .. } = &Case::start().await;
    assert_eq!(served.says(&["sinks", "list"]).await, "there are no sinks\n");
    let folder = tempfile::TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, format!("{WEBHOOK_KEY}\n")).unwrap();
    let secret = secret.to_str().unwrap();
    let add = ["sinks", "add", "hook", "--kind", "webhook", "--settings", settings];
    assert!(served.complains(&add).await.contains("secret: is required"));
    let added = served.says(&[&add[..], &["--secret-file", secret, "--inactive"]].concat()).await;
    assert!(added.contains("name             hook\n") && added.contains("lag_events       0\n"), "{added}");
    assert!(!added.contains(&WEBHOOK_KEY[..10]));
    let [sink] = served.objects(&["sinks", "show", "hook", "--json"]).await.try_into().unwrap();
    assert_eq!((&sink["is_active"], &sink["has_secret"]), (&json!(false), &json!(true)));

    let set = [
        "sinks",
        "set",
        "hook",
        "--name",
        "b",
        "--active",
        "true",
        "--batch-size",
        "7",
        "--timeout-seconds",
        "1",
    ];
    served.says(&set).await;
    let shown = served.says(&["sinks", "show", sink["id"].as_str().unwrap()]).await;
    for line in
        ["name             b\n", "is_active        true\n", "batch_size       7\n", "timeout_seconds  1\n"]
    {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let list = served.says(&["sinks", "list"]).await;
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows.len(), &rows[1][..4]), (2, &["b", "webhook", "yes", "0"][..]), "{list}");
    assert_eq!(served.objects(&["sinks", "list", "--json"]).await[0]["id"], sink["id"]);

    assert!(served.says(&["sinks", "test", "b"]).await.starts_with("delivered in "));
    assert_eq!(receiver.take().len(), 1);
    receiver.be(Mood::Hangs);
    let complaint = served.complains(&["sinks", "test", "b"]).await;
    assert!(complaint.contains("it was not delivered: it did not answer within 1 s"), "{complaint}");

    assert!(served.complains(&["sinks", "show", "hook"]).await.contains("there is no sink `hook`"));
    assert_eq!(served.says(&["sinks", "remove", "b"]).await, "removed b\n");
    assert!(served.objects(&["sinks", "list", "--json"]).await.is_empty());
}

#[tokio::test]
async fn what_is_no_object_is_said_before_anything_is_asked() {
    let case = Case::start().await;
    let add = ["sinks", "add", "hook", "--kind", "webhook", "--settings", "url"];
    let output = case.served.latchkey(&add).output().await.unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && message.contains("must be a JSON object"), "{message}");
    let add = ["sinks", "add", "hook", "--kind", "webhook", "--secret-file", "/nonexistent"];
    assert!(case.served.complains(&add).await.contains("the secret cannot be read from /nonexistent"));
}

#[tokio::test]
async fn dead_letters_are_shown_replayed_and_discarded() {
    let case = Case::start().await;
    let served = &case.served;
    assert_eq!(served.says(&["dead-letters", "list"]).await, "there are no dead letters\n");
    let letters = case.refused(&["one", "two", "three"]).await;
    let [one, two, _] = letters.iter().map(Uuid::to_string).collect::<Vec<_>>().try_into().unwrap();
    let list = served.says(&["dead-letters", "list"]).await;
    assert!(list.lines().count() == 4 && list.contains("it answered 400"), "{list}");
    let found = served.objects(&["dead-letters", "list", "--sink", "two", "--json"]).await;
    assert_eq!((found.len(), &found[0]["id"]), (1, &json!(two)));
    let [shown] = served.objects(&["dead-letters", "show", &one, "--json"]).await.try_into().unwrap();
    assert_eq!(shown["event"]["endpoint"], "/v1/chat/completions");
    assert!(served.says(&["dead-letters", "show", &one]).await.contains("sink    one\n"));

    case.receiver.be(Mood::Answers(StatusCode::BAD_REQUEST));
    let complaint = served.complains(&["dead-letters", "replay", &one]).await;
    assert!(complaint.contains("the sink refused it: it answered 400"), "{complaint}");
    case.receiver.be(Mood::Answers(StatusCode::OK));
    let said = served.says(&["dead-letters", "replay", &one]).await;
    assert_eq!(said, "delivered 1, refused again 0, no longer kept 0\n");
    served.says(&["dead-letters", "discard", &two]).await;
    assert!(served.complains(&["dead-letters", "discard", &two]).await.contains("404"));
    let left = served.objects(&["dead-letters", "list", "--json"]).await;
    assert_eq!((left.len(), &left[0]["sink"]["name"]), (1, &json!("three")));
}

#[tokio::test]
async fn all_are_replayed_page_after_page() {
    let case = Case::start().await;
    case.refused(&["other"]).await;
    let sink: Uuid = case.add("many").await["id"].as_str().unwrap().parse().unwrap();
    let mut isolate = Isolate::new();
    let events: Vec<_> = (0..130).map(|_| isolate.event()).collect();
    case.world.events(&events).await;
    for event in &events {
        refused(&case.world, sink, event.id).await;
    }
    refused(&case.world, sink, new_id(control_plane::clock::now() - 1_000)).await;

    case.receiver.be(Mood::Answers(StatusCode::SERVICE_UNAVAILABLE));
    let complaint = case.served.complains(&["dead-letters", "replay", "--all"]).await;
    assert!(
        complaint.contains("sink many: 503") && complaint.contains("0 were delivered before"),
        "{complaint}"
    );
    assert_eq!(case.receiver.take().len(), 1);

    case.receiver.be(Mood::Answers(StatusCode::BAD_REQUEST));
    let output = case.served.latchkey(&["dead-letters", "replay", "--all", "--sink", "other", "--json"]);
    let output = { output }.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told, json!({ "delivered": 0, "refused": 1, "gone": 0 }));

    case.receiver.be(Mood::Answers(StatusCode::OK));
    case.receiver.take();
    let complaint = case.served.complains(&["dead-letters", "replay", "--all"]).await;
    assert!(complaint.contains("1 dead letters stay"), "{complaint}");
    assert_eq!(case.receiver.take().len(), 131);
    assert_eq!(case.served.objects(&["dead-letters", "list", "--json"]).await.len(), 1);
}
