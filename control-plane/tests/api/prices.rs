//! `/manage/prices`, and what requests cost.

use super::World;
use crate::edge::Isolate;
use axum::http::StatusCode;
use control_plane::clock;
use control_plane::domain::{Act, built_in_prices};
use control_plane::timestamp::Timestamp;
use serde_json::{Value, json};
use shared::event::{Completion, Event, Outcome, Usage, UsageSource};

fn price(model: &str) -> Value {
    json!({ "provider": "openai", "model": model, "input_usd_per_million": "2.5",
        "cached_input_usd_per_million": 1.25, "output_usd_per_million": 10 })
}

fn with(change: &Value) -> Value {
    let mut body = price("gpt-test-1");
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

async fn cost(world: &World, event: &Event) -> Value {
    let list = world.get("/manage/events?limit=100").await.ok(StatusCode::OK);
    let shown = list["data"].as_array().unwrap().iter().find(|each| each["id"] == json!(event.id)).unwrap();
    shown["cost_usd"].clone()
}

#[tokio::test]
async fn a_price_is_set_and_shown() {
    let world = World::start().await;
    let made =
        world.post("/manage/prices", with(&json!({ "source": "contract" }))).await.ok(StatusCode::CREATED);
    assert_eq!(
        [
            &made["input_usd_per_million"],
            &made["cached_input_usd_per_million"],
            &made["output_usd_per_million"]
        ],
        [&json!("2.5"), &json!("1.25"), &json!("10")]
    );
    assert_eq!((&made["provider"], &made["source"]), (&json!("openai"), &json!("contract")));
    let list = world.get("/manage/prices?provider=openai").await.ok(StatusCode::OK);
    assert_eq!(list["data"][0], made);
    assert_eq!(world.get("/manage/prices?provider=groq").await.ok(StatusCode::OK)["data"], json!([]));
    let audit = world.get("/manage/audit?action=price.create").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["after"]["output_usd_per_million"], "10");
}

/// From its time on; what was counted stays as it was counted.
#[tokio::test]
async fn a_new_price_does_not_rewrite_the_past() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let now = clock::now();
    let (first, second) = (isolate.event_at(now - 50_000), isolate.event_at(now - 5_000));
    let unpriced = isolate.event_at(now - 90_000);
    let from = |at: u64| json!({ "valid_from": Timestamp(at) });
    world.post("/manage/prices", with(&from(now - 60_000))).await.ok(StatusCode::CREATED);
    world.events(std::slice::from_ref(&first)).await;
    // 600 × 2.5 + 400 × 1.25 + 500 × 10, in millionths of a dollar.
    assert_eq!(cost(&world, &first).await, "0.007");

    let dearer = with(&json!({ "valid_from": Timestamp(now - 10_000), "output_usd_per_million": "20" }));
    world.post("/manage/prices", dearer).await.ok(StatusCode::CREATED);
    // Late, and as of its own time.
    let late = isolate.event_at(now - 40_000);
    world.events(&[second.clone(), late.clone(), unpriced.clone()]).await;
    assert_eq!(cost(&world, &first).await, "0.007");
    assert_eq!(cost(&world, &late).await, "0.007");
    assert_eq!(cost(&world, &second).await, "0.012");
    assert_eq!(cost(&world, &unpriced).await, json!(null));
    let usage = world.get("/manage/usage").await.ok(StatusCode::OK);
    assert_eq!(usage["data"][0]["cost_usd"], "0.026");
    assert_eq!(usage["data"][0]["unpriced_requests"], 1);
}

/// Not known is not nothing.
#[tokio::test]
async fn without_a_price_there_is_no_cost() {
    let world = World::start().await;
    world.events(&[Isolate::new().event()]).await;
    let usage = world.get("/manage/usage?group_by=model").await.ok(StatusCode::OK);
    assert_eq!(
        (&usage["data"][0]["cost_usd"], &usage["data"][0]["unpriced_requests"]),
        (&json!(null), &json!(1))
    );
}

/// What was given up may have been worked on.
#[tokio::test]
async fn a_refusal_costs_nothing_where_no_provider_worked() {
    let world = World::start().await;
    world.post("/manage/prices", price("*")).await.ok(StatusCode::CREATED);
    let mut isolate = Isolate::new();
    let mut refused = |outcome: Option<Outcome>| {
        let mut event = isolate.event();
        (event.status, event.completion) = (504, Completion::Refused);
        (event.usage, event.usage_source, event.first_byte_at) = (Usage::default(), UsageSource::None, None);
        event.attempts.truncate(usize::from(outcome.is_some()));
        event.attempts.iter_mut().for_each(|attempt| attempt.outcome = outcome.unwrap());
        event
    };
    let free = [None, Some(Outcome::Redirected), Some(Outcome::Abandoned)].map(&mut refused);
    let unknown = [Outcome::TimedOut, Outcome::Unreachable, Outcome::Answered].map(|one| refused(Some(one)));
    world.events(&[free.clone(), unknown.clone()].concat()).await;
    for event in &free {
        assert_eq!(cost(&world, event).await, "0", "{:?}", event.attempts);
    }
    for event in &unknown {
        assert_eq!(cost(&world, event).await, json!(null), "{:?}", event.attempts);
    }
    let usage = world.get("/manage/usage").await.ok(StatusCode::OK);
    assert_eq!(usage["data"][0]["unpriced_requests"], 3);
}

#[tokio::test]
async fn a_price_that_holds_is_not_taken_back() {
    let world = World::start().await;
    let made = world.post("/manage/prices", price("a*")).await.ok(StatusCode::CREATED);
    let path = |made: &Value| format!("/manage/prices/{}", made["id"].as_str().unwrap());
    world.delete(&path(&made)).await.error(409, "conflict");
    let soon = with(&json!({ "valid_from": Timestamp(clock::now() + 3_600_000) }));
    let made = world.post("/manage/prices", soon.clone()).await.ok(StatusCode::CREATED);
    world.post("/manage/prices", soon).await.error(409, "conflict");
    world.delete(&path(&made)).await.ok(StatusCode::NO_CONTENT);
    world.delete(&path(&made)).await.error(404, "not_found");
}

#[tokio::test]
async fn bad_input_is_named_by_its_field() {
    let world = World::start().await;
    for (change, field) in [
        (json!({ "provider": "nobody" }), "provider"),
        (json!({ "model": "" }), "model"),
        (json!({ "model": "*".repeat(9) }), "model"),
        (json!({ "input_usd_per_million": -1 }), "input_usd_per_million"),
        (json!({ "input_usd_per_million": "1e3" }), "input_usd_per_million"),
        (json!({ "input_usd_per_million": null }), "input_usd_per_million"),
        (json!({ "output_usd_per_million": "10001" }), "output_usd_per_million"),
        (json!({ "cached_input_usd_per_million": "0.0000000001" }), "cached_input_usd_per_million"),
        (json!({ "valid_from": "tomorrow" }), "valid_from"),
        (json!({ "valid_from": "2999-01-01T00:00:00Z" }), "valid_from"),
        (json!({ "currency": "EUR" }), "currency"),
    ] {
        let message = world.post("/manage/prices", with(&change)).await.error(400, "invalid_request");
        assert!(message.contains(field), "{change}: {message}");
    }
}

#[tokio::test]
async fn well_known_models_have_a_price_from_the_start() {
    let world = World::start().await;
    let act = Act::system(clock::now());
    for _ in 0..2 {
        world.domain.seed_prices(&act).await.unwrap();
    }
    let seeded = world.get("/manage/audit?action=price.seed").await.ok(StatusCode::OK);
    assert_eq!(seeded["data"].as_array().unwrap().len(), 1);
    assert_eq!(seeded["data"][0]["after"]["added"], built_in_prices::prices().count());
    let mut event = Isolate::new().event();
    event.model = Some("gpt-4o-mini-2024-07-18".into());
    world.events(std::slice::from_ref(&event)).await;
    // 600 × 0.15 + 400 × 0.075 + 500 × 0.6, in millionths of a dollar.
    assert_eq!(cost(&world, &event).await, "0.00042");
    let list = world.get("/manage/prices?provider=anthropic").await.ok(StatusCode::OK);
    assert!(list["data"][0]["source"].as_str().unwrap().contains("2026"));
}
