//! `/manage/sinks`

use super::World;
use crate::edge::Isolate;
use crate::receiver::{Mood, Receiver, WEBHOOK_KEY};
use axum::http::StatusCode;
use control_plane::store::sinks as table;
use serde_json::{Value, json};
use uuid::Uuid;

fn with(body: &Value, change: &Value) -> Value {
    let mut body = body.clone();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

fn file() -> Value {
    json!({ "name": "archive", "kind": "file", "settings": { "name": "events" } })
}

fn webhook(url: &str) -> Value {
    json!({ "name": "hook", "kind": "webhook", "settings": { "url": url }, "secret": WEBHOOK_KEY })
}

async fn made(world: &World, body: Value) -> (String, Value) {
    let sink = world.post("/manage/sinks", body).await.ok(StatusCode::CREATED);
    (format!("/manage/sinks/{}", sink["id"].as_str().unwrap()), sink)
}

async fn audit(world: &World, action: &str) -> Vec<Value> {
    let list = world.get(&format!("/manage/audit?action={action}&limit=100")).await.ok(StatusCode::OK);
    list["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn are_made_shown_changed_and_deleted() {
    let world = World::start().await;
    world.events(&[Isolate::new().event()]).await;
    let (path, sink) = made(&world, file()).await;
    assert_eq!((&sink["kind"], &sink["settings"]), (&json!("file"), &json!({ "name": "events" })));
    assert_eq!((&sink["batch_size"], &sink["timeout_seconds"]), (&json!(1_000), &json!(30)));
    assert_eq!((&sink["is_active"], &sink["has_secret"]), (&json!(true), &json!(false)));
    // What was counted before is not for it.
    let state = &sink["state"];
    assert_eq!(
        (&state["position"], &state["lag_events"], &state["lag_seconds"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!(
        (&state["delivered"], &state["skipped"], &state["dead_letters"], &state["failures"]),
        (&json!(0), &json!(0), &json!(0), &json!(0))
    );
    assert_eq!((&state["error"], &state["delivered_at"]), (&json!(null), &json!(null)));
    assert_eq!(world.get(&path).await.ok(StatusCode::OK), sink);

    let mut isolate = Isolate::new();
    let old = isolate.event_at(control_plane::clock::now() - 50_000);
    world.events(&[old, isolate.event(), isolate.event()]).await;
    let state = &world.get(&path).await.ok(StatusCode::OK)["state"];
    assert_eq!((&state["position"], &state["lag_events"]), (&json!(1), &json!(3)));
    assert!((49..80).contains(&state["lag_seconds"].as_u64().unwrap()), "{state}");

    let change = json!({ "name": "b.2", "is_active": false, "batch_size": 7, "timeout_seconds": 300,
        "settings": { "name": "others", "max_bytes": 2_000_000, "max_age_seconds": 60 } });
    let changed = world.patch(&path, change.clone()).await.ok(StatusCode::OK);
    for (field, value) in change.as_object().unwrap() {
        assert_eq!(&changed[field], value);
    }
    assert_eq!(changed["state"]["position"], 1);
    let same = world.patch(&path, change).await.ok(StatusCode::OK);
    assert_eq!(same["updated_at"], changed["updated_at"]);

    let (_, other) = made(&world, file()).await;
    let listed = world.get("/manage/sinks").await.ok(StatusCode::OK);
    assert_eq!((&listed["data"][0]["id"], &listed["data"][1]["id"]), (&other["id"], &changed["id"]));
    let page = world.get("/manage/sinks?limit=1").await.ok(StatusCode::OK);
    let next = format!("/manage/sinks?cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(world.get(&next).await.ok(StatusCode::OK)["data"][0]["id"], changed["id"]);

    world.delete(&path).await.ok(StatusCode::NO_CONTENT);
    world.get(&path).await.error(404, "not_found");
    world.delete(&path).await.error(404, "not_found");
    world.patch(&path, json!({})).await.error(404, "not_found");
    world.post(&format!("{path}/test"), json!({})).await.error(404, "not_found");

    let [record] = audit(&world, "sink.update").await.try_into().unwrap();
    assert_eq!((&record["before"]["name"], &record["after"]["name"]), (&json!("archive"), &json!("b.2")));
    assert_eq!(record["after"]["has_new_secret"], json!(null));
    assert_eq!(audit(&world, "sink.create").await.len(), 2);
    let [record] = audit(&world, "sink.delete").await.try_into().unwrap();
    assert_eq!((&record["before"]["dead_letters"], &record["after"]), (&json!(0), &json!(null)));
}

#[tokio::test]
async fn a_change_is_a_new_version() {
    let world = World::start().await;
    let (path, sink) = made(&world, file()).await;
    let id: Uuid = sink["id"].as_str().unwrap().parse().unwrap();
    let version =
        async || table::get(&mut world.store.read().await.unwrap(), id).await.unwrap().unwrap().version;
    let first = version().await;
    world.patch(&path, json!({ "is_active": true })).await.ok(StatusCode::OK);
    assert_eq!(version().await, first);
    world.patch(&path, json!({ "is_active": false })).await.ok(StatusCode::OK);
    assert_eq!(version().await, first + 1);
}

#[tokio::test]
async fn bad_input_is_named_by_its_field() {
    let world = World::start().await;
    let hook = webhook("https://hooks.example.com/a");
    let lunary = json!({ "name": "l", "kind": "lunary", "secret": "key" });
    for (body, change, named) in [
        (file(), json!({ "name": "" }), "name: must be 1 to 64"),
        (file(), json!({ "name": "a b" }), "name: must be 1 to 64"),
        (file(), json!({ "name": "ü" }), "name: must be 1 to 64"),
        (file(), json!({ "name": "a".repeat(65) }), "name: must be 1 to 64"),
        (file(), json!({ "kind": "kafka" }), "kind: must be one of `file`, `webhook`, `lunary`, `helicone`"),
        (file(), json!({ "color": "red" }), "unknown field `color`"),
        (file(), json!({ "secret": "sk-misplaced" }), "secret: a sink of kind `file` has none"),
        (file(), json!({ "settings": {} }), "settings: missing field `name`"),
        (file(), json!({ "settings": { "name": "a/b" } }), "settings: name: must be"),
        (
            file(),
            json!({ "settings": { "name": "a", "url": "sk-misplaced" } }),
            "settings: unknown field `url`",
        ),
        (
            file(),
            json!({ "settings": { "name": "a", "max_bytes": "sk-misplaced" } }),
            "settings: max_bytes: expected",
        ),
        (file(), json!({ "settings": { "name": "a", "max_bytes": 1 } }), "settings: max_bytes is at least"),
        (file(), json!({ "settings": { "name": "a", "max_age_seconds": 1 } }), "max_age_seconds at least 60"),
        (file(), json!({ "settings": "sk-misplaced" }), "settings: expected a map"),
        (file(), json!({ "batch_size": 0 }), "batch_size: must be from 1 to 10000"),
        (file(), json!({ "batch_size": 10_001 }), "batch_size: must be from 1 to 10000"),
        (file(), json!({ "batch_size": null }), "batch_size: expected"),
        (file(), json!({ "timeout_seconds": 0 }), "timeout_seconds: must be from 1 to 300"),
        (file(), json!({ "timeout_seconds": 301 }), "timeout_seconds: must be from 1 to 300"),
        (hook.clone(), json!({ "secret": "sk-misplaced" }), "secret: must be 32 bytes in base64"),
        (hook.clone(), json!({ "secret": "a".repeat(5_000) }), "secret: has at most 4096"),
        (hook.clone(), json!({ "batch_size": 5_001 }), "batch_size: must be from 1 to 5000"),
        (
            hook.clone(),
            json!({ "settings": { "url": "http://hooks.example.com" } }),
            "settings: url: must start with",
        ),
        (
            hook.clone(),
            json!({ "settings": { "url": "https://u:p@hooks.example.com" } }),
            "settings: url: must have",
        ),
        (hook, json!({ "settings": { "url": 7 } }), "settings: url: expected a string"),
        (lunary.clone(), json!({ "secret": "two words" }), "secret: is not a key"),
        (lunary.clone(), json!({ "batch_size": 101 }), "batch_size: must be from 1 to 100"),
        (lunary, json!({ "settings": { "base_url": "sk-misplaced" } }), "settings: base_url: is not a URL"),
    ] {
        let message = world.post("/manage/sinks", with(&body, &change)).await.error(400, "invalid_request");
        assert!(message.contains(named) && !message.contains("misplaced"), "{change}: {message}");
    }
    for kind in ["webhook", "lunary", "helicone"] {
        let settings = if kind == "webhook" { json!({ "url": "https://a.example" }) } else { json!({}) };
        let body = json!({ "name": "a", "kind": kind, "settings": settings });
        let message = world.post("/manage/sinks", body).await.error(400, "invalid_request");
        assert_eq!(message, "secret: is required");
    }
    assert_eq!(world.get("/manage/sinks").await.ok(StatusCode::OK)["data"], json!([]));
    assert_eq!(audit(&world, "sink.create").await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_operator_says_what_sinks_may_do() {
    let world = World::strict().await;
    let message = world.post("/manage/sinks", file()).await.error(400, "invalid_request");
    assert!(message.contains("SINK_FILE_DIR"), "{message}");
    for url in [
        "http://127.0.0.1:1",
        "https://10.0.0.1",
        "https://169.254.169.254",
        "https://[::1]",
        "https://intern",
    ] {
        let message = world.post("/manage/sinks", webhook(url)).await.error(400, "invalid_request");
        assert!(message.contains("ALLOW_PRIVATE_UPSTREAMS"), "{url}: {message}");
        let lunary =
            json!({ "name": "l", "kind": "lunary", "secret": "key", "settings": { "base_url": url } });
        world.post("/manage/sinks", lunary).await.error(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_name_is_one_sinks() {
    let world = World::start().await;
    made(&world, file()).await;
    let message = world.post("/manage/sinks", file()).await.error(409, "conflict");
    assert_eq!(message, "there is a sink of this name");
    let (path, _) = made(&world, with(&file(), &json!({ "name": "b" }))).await;
    world.patch(&path, json!({ "name": "archive" })).await.error(409, "conflict");
}

#[tokio::test]
async fn there_are_32_at_most_whoever_makes_them() {
    let world = World::start().await;
    let new = |number: usize| with(&file(), &json!({ "name": format!("s{number}") }));
    for number in 0..30 {
        made(&world, new(number)).await;
    }
    let posts = (30..36).map(|number| world.post("/manage/sinks", new(number)));
    let answers = futures_util::future::join_all(posts).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count(), 2);
    let message = world.post("/manage/sinks", new(40)).await.error(409, "conflict");
    assert!(message.contains("32 sinks"), "{message}");
    let listed = world.get("/manage/sinks?limit=100").await.ok(StatusCode::OK);
    assert_eq!(listed["data"].as_array().unwrap().len(), 32);
}

#[tokio::test]
async fn a_secret_is_shown_nowhere_and_goes_to_no_other_host() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let (path, sink) = made(&world, webhook(&receiver.url)).await;
    let id: Uuid = sink["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(sink["has_secret"], true);
    let row = async || table::get(&mut world.store.read().await.unwrap(), id).await.unwrap().unwrap();
    let sealed = row().await.secret.unwrap();
    assert!(sealed.starts_with("v1.") && !sealed.contains(&WEBHOOK_KEY[..10]), "{sealed}");

    let elsewhere = json!({ "settings": { "url": "https://hooks.example.com/a" } });
    let message = world.patch(&path, elsewhere.clone()).await.error(400, "invalid_request");
    assert!(message.starts_with("secret: must be given too"), "{message}");
    let same_host = json!({ "settings": { "url": receiver.url.replace("/events", "/others") } });
    world.patch(&path, same_host).await.ok(StatusCode::OK);
    assert_eq!(row().await.secret.unwrap(), sealed);
    let other_key = "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=";
    world.patch(&path, with(&elsewhere, &json!({ "secret": other_key }))).await.ok(StatusCode::OK);
    world.patch(&path, json!({ "secret": "short" })).await.error(400, "invalid_request");
    world.patch(&path, json!({ "secret": null })).await.error(400, "invalid_request");
    assert_ne!(row().await.secret.unwrap(), sealed);

    let records = audit(&world, "sink.update").await;
    assert_eq!(records[0]["after"]["has_new_secret"], true);
    world.delete(&path).await.ok(StatusCode::NO_CONTENT);
    let all = world.get("/manage/audit?limit=100").await.ok(StatusCode::OK).to_string();
    for key in [WEBHOOK_KEY, other_key] {
        assert!(!sink.to_string().contains(&key[..10]) && !all.contains(&key[..10]));
    }
    assert!(!all.contains("v1."), "{all}");
}

/// Its key is lost, say, or the operator no longer lets it write.
#[tokio::test]
async fn one_that_no_longer_opens_can_be_stopped_and_mended() {
    let world = World::start().await;
    let (path, sink) = made(&world, webhook("https://hooks.example.com/a")).await;
    let id: Uuid = sink["id"].as_str().unwrap().parse().unwrap();
    let mut tx = world.store.write().await.unwrap();
    table::reseal(&mut tx, id, "v1.0000000000000000.AAAA").await.unwrap();
    tx.commit().await.unwrap();
    let tested = world.post(&format!("{path}/test"), json!({})).await.ok(StatusCode::OK);
    assert!(tested["error"].as_str().unwrap().starts_with("secret: "), "{tested}");
    world.patch(&path, json!({ "is_active": false })).await.ok(StatusCode::OK);
    let message = world.patch(&path, json!({ "is_active": true })).await.error(400, "invalid_request");
    assert!(message.starts_with("secret: "), "{message}");
    world.patch(&path, json!({ "is_active": true, "secret": WEBHOOK_KEY })).await.ok(StatusCode::OK);
}

#[tokio::test]
async fn a_test_delivers_a_made_up_event_and_changes_nothing() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let body = with(&webhook(&receiver.url), &json!({ "timeout_seconds": 1, "is_active": false }));
    let (path, sink) = made(&world, body).await;
    let test = async || world.post(&format!("{path}/test"), json!({})).await.ok(StatusCode::OK);

    let tested = test().await;
    assert_eq!((&tested["is_delivered"], &tested["error"]), (&json!(true), &json!(null)));
    assert!(tested["took_ms"].is_u64());
    let [event] = receiver.take().try_into().unwrap();
    assert_eq!((&event["endpoint"], &event["requests"]), (&json!("/latchkey/test"), &json!(1)));
    assert_eq!(event["project_id"], json!(Uuid::nil()));

    for (mood, error) in [
        (Mood::Answers(StatusCode::BAD_REQUEST), "it answered 400: so it says"),
        (Mood::Answers(StatusCode::INTERNAL_SERVER_ERROR), "it answered 500: so it says"),
        (Mood::Hangs, "it did not answer within 1 s"),
    ] {
        receiver.be(mood);
        let tested = test().await;
        assert_eq!((&tested["is_delivered"], &tested["error"]), (&json!(false), &json!(error)));
        assert_eq!(receiver.take().len(), 1);
    }
    assert_eq!(world.get(&path).await.ok(StatusCode::OK), sink);
    let records = audit(&world, "sink.test").await;
    assert_eq!(records.len(), 4);
    let after = json!({ "is_delivered": false, "error": "it did not answer within 1 s" });
    assert_eq!((&records[0]["resource_id"], &records[0]["after"]), (&sink["id"], &after));
    let events = world.get("/manage/events").await.ok(StatusCode::OK);
    assert_eq!(events["data"], json!([]));
}

#[tokio::test]
async fn a_test_of_each_other_kind_arrives() {
    let world = World::start().await;
    let receiver = Receiver::start().await;
    let (path, _) = made(&world, file()).await;
    let tested = world.post(&format!("{path}/test"), json!({})).await.ok(StatusCode::OK);
    assert_eq!(tested["is_delivered"], true, "{tested}");
    let mut files = std::fs::read_dir(world.files.path()).unwrap();
    let text = std::fs::read_to_string(files.next().unwrap().unwrap().path()).unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event["endpoint"], "/latchkey/test");

    let base = receiver.url.replace("/events", "");
    for kind in ["lunary", "helicone"] {
        let settings = json!({ "base_url": base });
        let body = json!({ "name": kind, "kind": kind, "secret": "key", "settings": settings });
        let (path, _) = made(&world, body).await;
        world.post(&format!("{path}/test"), json!({})).await.ok(StatusCode::OK);
        let told = Value::from(receiver.take()).to_string();
        assert!(told.contains("latchkey-test"), "{kind}: {told}");
    }
}
