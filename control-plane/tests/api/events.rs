//! `/manage/events` and what belongs to it.

use super::World;
use crate::edge::{Batch, Isolate, lines};
use axum::http::{Method, StatusCode};
use control_plane::clock;
use control_plane::events::retain;
use control_plane::store::sql::query;
use serde_json::{Value, json};
use shared::event::{Bodies, Completion, Event, MAX_BODIES_LEN, Usage, UsageSource};
use tower::ServiceExt as _;
use uuid::Uuid;

const DAY_MS: u64 = 86_400_000;

async fn ids(world: &World, query: &str) -> Vec<String> {
    let list = world.get(&format!("/manage/events?{query}")).await.ok(StatusCode::OK);
    list["data"].as_array().unwrap().iter().map(|each| each["id"].as_str().unwrap().to_owned()).collect()
}

fn id_of(event: &Event) -> String {
    event.id.to_string()
}

async fn text(world: &World, path: &str) -> (StatusCode, String, String) {
    let request = crate::world::request(Method::GET, path, None);
    let response = world.router.clone().oneshot(request).await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn are_shown_as_they_were_newest_first() {
    let world = World::start().await;
    let project = world.project("a").await;
    let token = world.token(&project).await["id"].as_str().unwrap().to_owned();
    let mut isolate = Isolate::new();
    let now = clock::now();
    let mut old = isolate.event_at(now - 60_000);
    old.project_id = Some(project.parse().unwrap());
    old.token_id = Some(token.parse().unwrap());
    let mut new = isolate.event_at(now - 5_000);
    (new.status, new.completion, new.error_code) = (401, Completion::Refused, Some("token_expired".into()));
    (new.usage, new.usage_source, new.model, new.first_byte_at) =
        (Usage::default(), UsageSource::None, None, None);
    new.attempts.clear();
    world.events(&[old.clone(), new.clone()]).await;

    let list = world.get("/manage/events").await.ok(StatusCode::OK);
    let [first, second] = list["data"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!((&first["id"], &second["id"]), (&json!(new.id), &json!(old.id)));
    assert_eq!((&first["error_code"], &first["completion"]), (&json!("token_expired"), &json!("refused")));
    assert_eq!((&first["project_id"], &first["input_tokens"]), (&json!(null), &json!(null)));
    // Nothing was used: that is known.
    assert_eq!(first["cost_usd"], "0");
    assert_eq!((&second["project_id"], &second["token_id"]), (&json!(project), &json!(token)));
    assert_eq!((&second["model"], &second["model_requested"]), (&json!("gpt-test-1"), &json!("gpt-test")));
    assert_eq!(second["attempts"][0]["outcome"], "answered");
    assert_eq!((&second["usage_source"], &second["reasoning_tokens"]), (&json!("reported"), &json!(50)));
    // No price is known for this model.
    assert_eq!(second["cost_usd"], json!(null));
    assert!(second["started_at"].as_str().unwrap().ends_with('Z'));

    let shown = world.get(&format!("/manage/tokens/{token}")).await.ok(StatusCode::OK);
    assert_eq!((&shown["request_count"], &shown["last_used_at"]), (&json!(1), &second["started_at"]));
    let unused = world.token(&project).await;
    assert_eq!((&unused["request_count"], &unused["last_used_at"]), (&json!(0), &json!(null)));
    let listed = world.get(&format!("/manage/tokens?project_id={project}")).await.ok(StatusCode::OK);
    assert_eq!(listed["data"][1]["request_count"], 1);
}

#[tokio::test]
async fn are_filtered_and_paged() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let now = clock::now();
    let (project, token) = (crate::edge::new_id(1), crate::edge::new_id(2));
    let mut all: Vec<Event> = (0..9).map(|number| isolate.event_at(now - 100_000 + number * 1_000)).collect();
    all[2].project_id = Some(project);
    for event in &mut all[3..6] {
        (event.project_id, event.token_id) = (Some(project), Some(token));
    }
    all[4].status = 500;
    all[7].model = Some("other".into());
    world.events(&all).await;
    let of = |numbers: &[usize]| numbers.iter().map(|&number| id_of(&all[number])).collect::<Vec<_>>();
    assert_eq!(ids(&world, &format!("project_id={project}")).await, of(&[5, 4, 3, 2]));
    assert_eq!(ids(&world, &format!("token_id={token}")).await, of(&[5, 4, 3]));
    assert_eq!(ids(&world, &format!("token_id={token}&project_id={project}&status=200")).await, of(&[5, 3]));
    assert_eq!(ids(&world, &format!("token_id={token}&project_id={token}")).await, of(&[]));
    assert_eq!(ids(&world, "status=500").await, of(&[4]));
    assert_eq!(ids(&world, "model=other").await, of(&[7]));
    assert_eq!(ids(&world, "model=gpt-test&limit=100").await.len(), 9);
    let at = |number: usize| control_plane::timestamp::Timestamp(all[number].started_at).to_string();
    assert_eq!(ids(&world, &format!("from={}&to={}", at(3), at(5))).await, of(&[4, 3]));

    let mut seen = Vec::new();
    let mut path = "/manage/events?limit=4".to_owned();
    loop {
        let page = world.get(&path).await.ok(StatusCode::OK);
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|each| each["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/manage/events?limit=4&cursor={cursor}");
    }
    assert_eq!(seen, of(&[8, 7, 6, 5, 4, 3, 2, 1, 0]));
    for bad in [
        "status=x",
        "status=70000",
        "from=yesterday",
        "format=xml",
        "project_id=x",
        "limit=101",
        "page=2",
        "model=%00",
        "format=csv&limit=5",
    ] {
        world.get(&format!("/manage/events?{bad}")).await.error(400, "invalid_request");
    }
}

#[tokio::test]
async fn are_exported_whole() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let now = clock::now();
    let mut all: Vec<Event> = (0..2_500).map(|number| isolate.event_at(now - 600_000 + number)).collect();
    all[2_499].model = Some("=cmd(),\"x\"".into());
    all[0].status = 500;
    world.events(&all).await;
    let (status, kind, body) = text(&world, "/manage/events?format=jsonl").await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/x-ndjson"));
    let exported: Vec<Value> = body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected: Vec<Value> = all.iter().rev().map(|event| json!(event.id)).collect();
    assert_eq!(exported.iter().map(|event| event["id"].clone()).collect::<Vec<_>>(), expected);

    let (_, kind, body) = text(&world, "/manage/events?format=csv").await;
    assert_eq!(kind, "text/csv; charset=utf-8");
    let mut lines = body.split("\r\n");
    assert!(lines.next().unwrap().starts_with("id,started_at,"));
    assert!(lines.next().unwrap().contains(",\"'=cmd(),\"\"x\"\"\","));
    assert_eq!(lines.filter(|line| !line.is_empty()).count(), 2_499);
    let (_, _, body) = text(&world, "/manage/events?format=csv&status=500").await;
    assert_eq!(body.lines().count(), 2);
}

/// An isolate numbers its events, so what did not come is seen.
#[tokio::test]
async fn what_is_missing_is_seen() {
    let world = World::start().await;
    let (mut whole, mut broken) = (Isolate::new(), Isolate::new());
    let all: Vec<Event> = (0..10).map(|_| broken.event()).collect();
    world.events(&[whole.event(), whole.event()]).await;
    world.events(&[&all[..3], &all[8..9]].concat()).await;
    let gaps = world.get("/manage/events/gaps").await.ok(StatusCode::OK);
    let [gap] = gaps["data"].as_array().unwrap().as_slice() else { panic!("{gaps}") };
    assert_eq!(gap["isolate_id"], json!(broken.id));
    assert_eq!((&gap["max_seq"], &gap["received"], &gap["missing"]), (&json!(9), &json!(4), &json!(5)));
    let status = world.get("/manage/events/status").await.ok(StatusCode::OK);
    assert_eq!((&status["missing"], &status["waiting_batches"]), (&json!(5), &json!(0)));
    // What was late closes it.
    world.events(&all[3..8]).await;
    let gaps = world.get("/manage/events/gaps").await.ok(StatusCode::OK);
    assert_eq!(gaps["data"], json!([]));
}

/// An isolate says with each event how many requests it has under way: when it is
/// silent, they are lost, though none of them got a number.
#[tokio::test]
async fn what_a_silent_isolate_had_under_way_is_lost() {
    let world = World::start().await;
    let (mut alive, mut killed, mut idle) = (Isolate::new(), Isolate::new(), Isolate::new());
    let mut of_killed: Vec<Event> = (1..=3).map(|in_flight| Event { in_flight, ..killed.event() }).collect();
    // Whatever comes last, the highest number tells.
    of_killed.reverse();
    world.events(&of_killed[..2]).await;
    world.events(&of_killed[2..]).await;
    world.events(&[Event { in_flight: 9, ..alive.event() }, idle.event()]).await;
    let gaps = async || world.get("/manage/events/gaps").await.ok(StatusCode::OK)["data"].clone();
    let lost = async || world.get("/manage/events/status").await.ok(StatusCode::OK)["lost_in_flight"].clone();
    assert_eq!((gaps().await, lost().await), (json!([]), json!(0)));

    for (isolate, minutes) in [(killed.id, 16), (idle.id, 16), (alive.id, 14)] {
        let mut tx = world.store.write().await.unwrap();
        query("update event_isolates set last_received_at = last_received_at - $2 where isolate_id = $1")
            .bind(isolate)
            .bind(minutes * 60_000_i64)
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }
    let found = gaps().await;
    let [gap] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(gap["isolate_id"], json!(killed.id));
    assert_eq!((&gap["lost_in_flight"], &gap["missing"], &gap["max_seq"]), (&json!(3), &json!(0), &json!(3)));
    assert_eq!(lost().await, 3);
    // It was only slow.
    world.events(&[Event { in_flight: 2, ..killed.event() }]).await;
    assert_eq!((gaps().await, lost().await), (json!([]), json!(0)));
}

#[tokio::test]
async fn what_waits_and_what_is_no_event_is_seen() {
    let world = World::start().await;
    let mut body = lines(&[Isolate::new().event()]);
    body.extend_from_slice(b"{\"v\":9}\n\xff\x00\n");
    world.batch(&Batch::new(body)).await.ok(StatusCode::OK);
    let status = world.get("/manage/events/status").await.ok(StatusCode::OK);
    assert_eq!(status["waiting_batches"], 1);
    assert!(status["oldest_waiting_at"].is_string());
    world.count().await;
    let status = world.get("/manage/events/status").await.ok(StatusCode::OK);
    assert_eq!(
        status,
        json!({ "waiting_batches": 0, "oldest_waiting_at": null, "missing": 0, "lost_in_flight": 0, "set_aside": 2, "duplicates": 0 })
    );
    let list = world.get("/manage/events/set-aside").await.ok(StatusCode::OK);
    let mut shown: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|each| each["line"].as_str().unwrap()).collect();
    shown.sort_unstable();
    assert_eq!(shown, ["{\"v\":9}", "\u{fffd}\u{fffd}"]);
    assert!(list["data"][0]["reason"].as_str().unwrap().contains("not an event"));
    let page = world.get("/manage/events/set-aside?limit=1").await.ok(StatusCode::OK);
    assert!(page["next_cursor"].is_string());
}

#[tokio::test]
async fn retention_removes_events_and_keeps_their_sums() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let now = clock::now();
    let old: Vec<Event> = (0..50).map(|number| isolate.event_at(now - 20 * DAY_MS + number)).collect();
    world.events(&old).await;
    world.events(&[isolate.event()]).await;
    let before = world.get("/manage/usage").await.ok(StatusCode::OK);
    let removed = retain::run(&world.store, 10, now).await.unwrap();
    assert_eq!((removed.events, removed.ledger), (50, 0));
    assert_eq!(ids(&world, "limit=100").await.len(), 1);
    assert_eq!(world.get("/manage/usage").await.ok(StatusCode::OK), before);
    assert_eq!(before["data"][0]["requests"], 51);
    // They are still known: what comes again does not count again.
    world.events(&old).await;
    assert_eq!(world.get("/manage/usage").await.ok(StatusCode::OK), before);
    // 30 days after the events, the ledger forgets them too.
    assert_eq!(retain::run(&world.store, 10, now + 39 * DAY_MS).await.unwrap().ledger, 0);
    assert_eq!(retain::run(&world.store, 10, now + 42 * DAY_MS).await.unwrap().ledger, 51);
    assert_eq!(world.get("/manage/usage").await.ok(StatusCode::OK), before);
    let gaps: i64 = query("select count(*) from event_isolates")
        .scalar(&mut world.store.read().await.unwrap())
        .await
        .unwrap();
    assert_eq!(gaps, 0);
}

#[tokio::test]
async fn what_they_hold_of_a_person_is_erased() {
    let world = World::start().await;
    let project = world.project("a").await;
    let body = json!({ "project_id": project, "name": "t", "metadata": { "person": "Ada" } });
    let token = world.post("/manage/tokens", body).await.ok(StatusCode::CREATED);
    let path = format!("/manage/tokens/{}", token["id"].as_str().unwrap());
    let token_id: Uuid = token["id"].as_str().unwrap().parse().unwrap();
    let mut isolate = Isolate::new();
    let mut of_token = || Event { token_id: Some(token_id), ..isolate.event() };
    let (counted, late) = (of_token(), of_token());
    let bystander = Isolate::new().event();
    let mut body = lines(&[counted.clone(), bystander.clone()]);
    body.extend(counted.to_line().unwrap().replace("\"v\":1", "\"v\":7").into_bytes());
    world.batch(&Batch::new(body)).await.ok(StatusCode::OK);
    world.count().await;
    // On its way while it is erased.
    world.batch(&Batch::new(lines(std::slice::from_ref(&late)))).await.ok(StatusCode::OK);
    let before = world.get("/manage/usage").await.ok(StatusCode::OK);

    let erased = world.delete(&format!("{path}/events")).await.ok(StatusCode::OK);
    assert_eq!(erased, json!({ "erased_events": 1 }));
    assert_eq!(world.get("/manage/usage").await.ok(StatusCode::OK), before);
    assert_eq!(world.get(&path).await.ok(StatusCode::OK)["metadata"], json!(null));
    world.count().await;
    let list = world.get(&format!("/manage/events?token_id={token_id}")).await.ok(StatusCode::OK);
    for event in list["data"].as_array().unwrap() {
        assert_eq!((&event["country"], &event["colo"]), (&json!(null), &json!(null)));
        assert_eq!(event["input_tokens"], 1_000);
    }
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let all = world.get("/manage/events").await.ok(StatusCode::OK);
    let other =
        all["data"].as_array().unwrap().iter().find(|each| each["id"] == json!(bystander.id)).unwrap();
    assert_eq!(other["country"], "DE");
    let aside = world.get("/manage/events/set-aside").await.ok(StatusCode::OK);
    assert_eq!(aside["data"], json!([]));
    let audit = world.get("/manage/audit?action=token.erase_events").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["resource_id"], json!(token_id));
    assert!(!audit.to_string().contains("Ada"));
    world.delete("/manage/tokens/019f0000-0000-7000-8000-000000000000/events").await.error(404, "not_found");
}

fn with_bodies(event: Event, request: &str, response: &str) -> Event {
    let bodies = Bodies {
        request_body: Some(request.into()),
        response_body: Some(response.into()),
        response_body_cut: true,
        ..Bodies::default()
    };
    Event { bodies, ..event }
}

#[tokio::test]
async fn captured_bodies_are_shown_only_when_asked_for() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let with = with_bodies(isolate.event(), "{\"a\": \"\\u0000 é\"}", "data: 1\r\n\r\n\u{1}");
    let one_only = Bodies { response_body: Some(String::new()), ..Bodies::default() };
    let one = Event { bodies: one_only, ..isolate.event_at(with.started_at + 1) };
    let without = isolate.event_at(with.started_at + 2);
    world.events(&[with.clone(), one.clone(), without.clone()]).await;
    for query in ["", "?bodies=false"] {
        let list = world.get(&format!("/manage/events{query}")).await.ok(StatusCode::OK);
        assert!(!list.to_string().contains("_body"), "{list}");
    }
    let list = world.get("/manage/events?bodies=true").await.ok(StatusCode::OK);
    let shown = |number: usize| {
        let event = &list["data"][number];
        ["request_body", "request_body_cut", "response_body", "response_body_cut"]
            .map(|name| event[name].clone())
    };
    assert_eq!(shown(0), [json!(null), json!(false), json!(null), json!(false)]);
    assert_eq!(shown(1), [json!(null), json!(false), json!(""), json!(false)]);
    let bodies = &with.bodies;
    assert_eq!(
        shown(2),
        [json!(bodies.request_body), json!(false), json!(bodies.response_body), json!(true)]
    );

    let (_, _, lines) = text(&world, "/manage/events?format=jsonl&bodies=true").await;
    let exported: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(exported, list["data"][2]);
    assert!(!text(&world, "/manage/events?format=jsonl").await.2.contains("_body"));
    assert!(!text(&world, "/manage/events?format=csv").await.2.contains("data: 1"));
    world.get("/manage/events?format=csv&bodies=true").await.error(400, "invalid_request");
}

/// Also where a transaction cannot take them all, and in an export of several pages.
#[tokio::test]
async fn many_large_bodies_are_kept_and_given() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let now = clock::now();
    let large = "é".repeat(MAX_BODIES_LEN / 2 - 8);
    let all: Vec<Event> = (0..300)
        .map(|number| with_bodies(isolate.event_at(now - 60_000 + number), "request", &large))
        .collect();
    for part in all.chunks(150) {
        let answer = world.batch(&Batch::new(lines(part))).await.ok(StatusCode::OK);
        assert_eq!(answer["accepted"], part.len());
    }
    world.count().await;
    let (_, _, exported) = text(&world, "/manage/events?format=jsonl&bodies=true").await;
    let bodies =
        exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["response_body"].clone());
    assert_eq!(bodies.filter(|body| body == &json!(large)).count(), 300);
}

#[tokio::test]
async fn captured_bodies_go_with_their_event_and_with_what_is_erased() {
    let world = World::start().await;
    let project = world.project("a").await;
    let token = world.token(&project).await["id"].as_str().unwrap().to_owned();
    let mut isolate = Isolate::new();
    let now = clock::now();
    let nowhere = Event { colo: None, country: None, ..isolate.event_at(now - 3_000) };
    let of_token = |event: Event| Event { token_id: Some(token.parse().unwrap()), ..event };
    let old = with_bodies(isolate.event_at(now - 20 * DAY_MS), "old", "old");
    let counted = of_token(with_bodies(nowhere, "counted", "counted"));
    let late = of_token(with_bodies(isolate.event(), "late", "late"));
    let other = with_bodies(isolate.event(), "other", "other");
    world.events(&[old, counted, other]).await;
    world.batch(&Batch::new(lines(&[late]))).await.ok(StatusCode::OK);
    let kept = async || {
        let mut tx = world.store.read().await.unwrap();
        let kept: Vec<String> =
            query("select request from event_bodies order by request").scalars(&mut tx).await.unwrap();
        kept
    };
    assert_eq!(kept().await, ["counted", "old", "other"]);
    let erased = world.delete(&format!("/manage/tokens/{token}/events")).await.ok(StatusCode::OK);
    assert_eq!(erased, json!({ "erased_events": 1 }));
    world.count().await;
    assert_eq!(kept().await, ["old", "other"]);
    let list = world.get(&format!("/manage/events?token_id={token}&bodies=true")).await.ok(StatusCode::OK);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["request_body"]), (2, &json!(null)));
    retain::run(&world.store, 10, now).await.unwrap();
    assert_eq!(kept().await, ["other"]);
}

#[tokio::test]
async fn what_is_set_aside_has_no_bodies() {
    let world = World::start().await;
    let event = with_bodies(Isolate::new().event_at(clock::now() - 40 * DAY_MS), "a secret", "another");
    let wrong = event.to_line().unwrap().replace("\"response_body_cut\":true", "\"response_body_cut\":\"x\"");
    world.batch(&Batch::new([&lines(&[event])[..], wrong.as_bytes()].concat())).await.ok(StatusCode::OK);
    world.count().await;
    let list = world.get("/manage/events/set-aside").await.ok(StatusCode::OK);
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
    let told = list.to_string();
    assert!(told.contains("gpt-test-1") && !told.contains("secret") && !told.contains("another"), "{told}");
}

/// Where both bodies are there whole, the tokens in them are counted.
#[tokio::test]
async fn missing_usage_is_counted_from_captured_bodies() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let request =
        json!({ "model": "gpt-4o", "messages": [{ "role": "user", "content": "hello world" }] }).to_string();
    let frame = |text: &str| {
        format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "content": text } }] }))
    };
    let stream = ["The", " answ", "er is 42."].map(frame).concat() + "data: [DONE]\n\n";
    let mut unknown = |request: &str, response: &str| {
        let bodies = Bodies {
            request_body: Some(request.into()),
            response_body: Some(response.into()),
            ..Bodies::default()
        };
        let event = isolate.event();
        Event {
            usage: Usage::default(),
            usage_source: UsageSource::None,
            bytes_in: 400,
            bytes_out: 4_000,
            bodies,
            ..event
        }
    };
    let counted = unknown(&request, &stream);
    let mut cut = unknown(&request, &stream);
    cut.bodies.response_body_cut = true;
    let odd = unknown(&request, "<html>");
    let mut only_asked = unknown(&request, &stream);
    only_asked.bodies.response_body = None;
    let mut told = unknown(&request, &stream);
    (told.usage.output_tokens, told.usage_source) = (Some(7), UsageSource::Reported);
    let all = [counted, cut, odd, only_asked, told];
    world.events(&all).await;
    let list = world.get("/manage/events").await.ok(StatusCode::OK);
    let found = all.each_ref().map(|event| {
        let shown =
            list["data"].as_array().unwrap().iter().find(|each| each["id"] == json!(event.id)).unwrap();
        json!([shown["input_tokens"], shown["output_tokens"], shown["usage_source"]])
    });
    assert_eq!(
        found,
        [
            // 3 a message, its role, 2 of text, 3 for the answer's beginning.
            json!([9, 6, "estimated"]),
            json!([100, 1_000, "estimated"]),
            json!([100, 1_000, "estimated"]),
            json!([100, 1_000, "estimated"]),
            json!([null, 7, "reported"]),
        ]
    );
}

/// What is used by requests that nobody told of is estimated, and marked.
#[tokio::test]
async fn missing_usage_is_estimated_and_marked() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let mut unknown = || {
        let event = isolate.event();
        Event {
            usage: Usage::default(),
            usage_source: UsageSource::None,
            bytes_in: 401,
            bytes_out: 4_000,
            ..event
        }
    };
    let estimated = unknown();
    let speech = Event { endpoint: "/v1/audio/speech".into(), ..unknown() };
    let models = Event {
        method: "GET".into(),
        endpoint: "/v1/models".into(),
        model: None,
        model_requested: None,
        ..unknown()
    };
    let failed = Event { status: 429, ..unknown() };
    let streamed = Event { text_bytes_out: Some(90), ..unknown() };
    let input_tokens = Some(7);
    let broken_off = Event { usage: Usage { input_tokens, ..Usage::default() }, ..streamed.clone() };
    let broken_off = Event { id: unknown().id, seq: unknown().seq, ..broken_off };
    let all = [estimated, speech, models, failed, streamed, broken_off];
    world.events(&all).await;
    let mut found = Vec::new();
    let list = world.get("/manage/events").await.ok(StatusCode::OK);
    for event in &all {
        let shown =
            list["data"].as_array().unwrap().iter().find(|each| each["id"] == json!(event.id)).unwrap();
        let field = |name: &str| shown[name].clone();
        found.push(json!([
            field("input_tokens"),
            field("output_tokens"),
            field("usage_source"),
            field("cost_usd")
        ]));
    }
    assert_eq!(
        found,
        [
            json!([101, 1_000, "estimated", null]),
            json!([null, null, "none", null]),
            json!([null, null, "none", "0"]),
            json!([null, null, "none", "0"]),
            json!([101, 23, "estimated", null]),
            json!([7, 23, "estimated", null]),
        ]
    );
    let usage = world.get("/manage/usage").await.ok(StatusCode::OK);
    let sum = &usage["data"][0];
    assert_eq!((&sum["estimated_requests"], &sum["unpriced_requests"]), (&json!(3), &json!(4)));
}
