//! `/manage/dead-letters`

use super::World;
use crate::edge::{Isolate, new_id};
use crate::receiver::{Mood, Receiver, WEBHOOK_KEY};
use axum::http::StatusCode;
use control_plane::clock;
use control_plane::events::retain;
use control_plane::store::dead_letters::{self as table, DeadLetterRow};
use serde_json::{Value, json};
use shared::event::{Bodies, Event};
use uuid::Uuid;

/// A webhook, and one event that it refused.
struct Case {
    world: World,
    receiver: Receiver,
    sink: Uuid,
    event: Event,
    letter: String,
}

impl Case {
    async fn start() -> Self {
        let (world, receiver) = (World::start().await, Receiver::start().await);
        let sink = sink(&world, "hook", &receiver.url).await;
        let mut event = Isolate::new().event();
        event.bodies = Bodies { request_body: Some("{}".into()), ..Bodies::default() };
        world.events(std::slice::from_ref(&event)).await;
        let letter = refused(&world, sink, event.id).await;
        Self { world, receiver, sink, event, letter: format!("/manage/dead-letters/{letter}") }
    }

    async fn replay(&self) -> crate::world::Answer {
        self.world.post(&format!("{}/replay", self.letter), json!({})).await
    }

    async fn audit(&self, action: &str) -> Vec<Value> {
        let list = self.world.get(&format!("/manage/audit?action={action}")).await.ok(StatusCode::OK);
        list["data"].as_array().unwrap().clone()
    }

    /// How many the sink says that it has.
    async fn count(&self) -> Value {
        let sink = self.world.get(&format!("/manage/sinks/{}", self.sink)).await.ok(StatusCode::OK);
        sink["state"]["dead_letters"].clone()
    }
}

async fn sink(world: &World, name: &str, url: &str) -> Uuid {
    let body = json!({ "name": name, "kind": "webhook", "settings": { "url": url }, "secret": WEBHOOK_KEY,
        "timeout_seconds": 1 });
    let sink = world.post("/manage/sinks", body).await.ok(StatusCode::CREATED);
    sink["id"].as_str().unwrap().parse().unwrap()
}

pub(super) async fn refused(world: &World, sink_id: Uuid, event_id: Uuid) -> Uuid {
    let created_at = clock::now();
    let row = DeadLetterRow {
        id: new_id(created_at),
        sink_id,
        event_id,
        reason: "it answered 400".to_owned(),
        created_at: created_at.cast_signed(),
    };
    let mut tx = world.store.write().await.unwrap();
    table::insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    row.id
}

#[tokio::test]
async fn are_shown_with_their_event() {
    let case = Case::start().await;
    let shown = case.world.get(&case.letter).await.ok(StatusCode::OK);
    assert_eq!(shown["sink"], json!({ "id": case.sink, "name": "hook" }));
    assert_eq!((&shown["event_id"], &shown["reason"]), (&json!(case.event.id), &json!("it answered 400")));
    let events = case.world.get("/manage/events?bodies=true").await.ok(StatusCode::OK);
    assert_eq!(shown["event"], events["data"][0]);
    assert_eq!(shown["event"]["request_body"], "{}");
    assert_eq!(case.count().await, 1);

    let other = sink(&case.world, "other", &case.receiver.url).await;
    refused(&case.world, other, case.event.id).await;
    // Refused once more it is one.
    refused(&case.world, other, case.event.id).await;
    let names = async |query: &str| {
        let list = case.world.get(&format!("/manage/dead-letters?{query}")).await.ok(StatusCode::OK);
        let names = list["data"].as_array().unwrap().iter();
        let names: Vec<String> =
            names.map(|each| each["sink"]["name"].as_str().unwrap().to_owned()).collect();
        (names, list["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(names("").await.0, ["other", "hook"]);
    assert_eq!(names(&format!("sink_id={}", case.sink)).await.0, ["hook"]);
    let (first, cursor) = names("limit=1").await;
    assert_eq!(first, ["other"]);
    assert_eq!(names(&format!("cursor={}", cursor.unwrap())).await.0, ["hook"]);
    for bad in ["sink_id=x", "limit=0", "name=hook"] {
        case.world.get(&format!("/manage/dead-letters?{bad}")).await.error(400, "invalid_request");
    }
    case.world.get(&format!("/manage/dead-letters/{}", Uuid::nil())).await.error(404, "not_found");
}

#[tokio::test]
async fn what_is_taken_now_is_gone() {
    let case = Case::start().await;
    case.replay().await.ok(StatusCode::NO_CONTENT);
    let [event] = case.receiver.take().try_into().unwrap();
    assert_eq!((&event["id"], &event["request_body"]), (&json!(case.event.id), &json!("{}")));
    case.world.get(&case.letter).await.error(404, "not_found");
    case.replay().await.error(404, "not_found");
    assert_eq!(case.count().await, 0);
    let [record] = case.audit("dead_letter.replay").await.try_into().unwrap();
    let before = json!({ "sink_id": case.sink, "event_id": case.event.id, "reason": "it answered 400" });
    assert_eq!(record["before"], before);
    assert_eq!(record["after"], json!({ "is_delivered": true, "error": null }));
}

#[tokio::test]
async fn what_is_refused_again_stays_with_the_new_reason() {
    let case = Case::start().await;
    case.receiver.be(Mood::Answers(StatusCode::UNPROCESSABLE_ENTITY));
    let message = case.replay().await.error(502, "sink_refused");
    assert_eq!(message, "the sink refused it: it answered 422: so it says");
    let shown = case.world.get(&case.letter).await.ok(StatusCode::OK);
    assert_eq!(shown["reason"], "it answered 422: so it says");
    let [record] = case.audit("dead_letter.replay").await.try_into().unwrap();
    assert_eq!(record["after"]["is_delivered"], false);
}

#[tokio::test]
async fn while_the_sink_takes_nothing_it_stays_as_it_was() {
    let case = Case::start().await;
    for (mood, said) in [
        (
            Mood::Answers(StatusCode::SERVICE_UNAVAILABLE),
            "the sink did not take it: it answered 503: so it says",
        ),
        (Mood::Hangs, "the sink did not take it: it did not answer within 1 s"),
    ] {
        case.receiver.be(mood);
        let answer = case.replay().await;
        assert_eq!(answer.headers["retry-after"], "5");
        assert_eq!(answer.error(503, "sink_unavailable"), said);
    }
    let shown = case.world.get(&case.letter).await.ok(StatusCode::OK);
    assert_eq!(shown["reason"], "it answered 400");
    assert_eq!(case.audit("dead_letter.replay").await.len(), 2);
}

#[tokio::test]
async fn are_discarded_by_hand_and_with_their_sink() {
    let case = Case::start().await;
    case.world.delete(&case.letter).await.ok(StatusCode::NO_CONTENT);
    case.world.delete(&case.letter).await.error(404, "not_found");
    let [record] = case.audit("dead_letter.discard").await.try_into().unwrap();
    assert_eq!(record["before"]["event_id"], json!(case.event.id));

    refused(&case.world, case.sink, case.event.id).await;
    case.world.delete(&format!("/manage/sinks/{}", case.sink)).await.ok(StatusCode::NO_CONTENT);
    let list = case.world.get("/manage/dead-letters").await.ok(StatusCode::OK);
    assert_eq!(list["data"], json!([]));
    let [record] = case.audit("sink.delete").await.try_into().unwrap();
    assert_eq!(record["before"]["dead_letters"], 1);
}

#[tokio::test]
async fn go_with_their_events() {
    let case = Case::start().await;
    let day = 86_400_000;
    let old = refused(&case.world, case.sink, new_id(clock::now() - 91 * day)).await;
    let old = format!("/manage/dead-letters/{old}");
    assert_eq!(case.world.get(&old).await.ok(StatusCode::OK)["event"], json!(null));
    let answer = case.world.post(&format!("{old}/replay"), json!({})).await;
    assert!(answer.error(410, "gone").contains("discard"));
    assert_eq!(case.receiver.take(), [Value::Null; 0]);

    let removed = retain::run(&case.world.store, 90, clock::now()).await.unwrap();
    assert_eq!((removed.events, removed.dead_letters), (0, 1));
    case.world.get(&old).await.error(404, "not_found");
    case.world.get(&case.letter).await.ok(StatusCode::OK);
}

/// Nothing of it was copied.
#[tokio::test]
async fn what_is_erased_of_the_event_is_erased_here() {
    let case = Case::start().await;
    let project = case.world.project("a").await;
    let token = case.world.token(&project).await["id"].as_str().unwrap().to_owned();
    let mut event = Isolate::new().event();
    (event.project_id, event.token_id) = (Some(project.parse().unwrap()), Some(token.parse().unwrap()));
    event.bodies = Bodies { request_body: Some("{}".into()), ..Bodies::default() };
    case.world.events(std::slice::from_ref(&event)).await;
    let letter = refused(&case.world, case.sink, event.id).await;
    let erased = case.world.delete(&format!("/manage/tokens/{token}/events")).await.ok(StatusCode::OK);
    assert_eq!(erased["erased_events"], 1);
    let shown = case.world.get(&format!("/manage/dead-letters/{letter}")).await.ok(StatusCode::OK);
    assert_eq!((&shown["event"]["country"], &shown["event"]["request_body"]), (&json!(null), &json!(null)));
    case.world
        .post(&format!("/manage/dead-letters/{letter}/replay"), json!({}))
        .await
        .ok(StatusCode::NO_CONTENT);
    let [event] = case.receiver.take().try_into().unwrap();
    assert_eq!(event["country"], json!(null));
}
