use super::World;
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn are_created_read_and_changed() {
    let world = World::start().await;
    let created = world.post("/manage/projects", json!({ "name": "  Acme  " })).await.ok(StatusCode::CREATED);
    assert_eq!(created["name"], "Acme");
    assert_eq!(created["default_provider"], "openai");
    assert_eq!((&created["is_active"], &created["on_stale"]), (&json!(true), &json!("serve")));
    assert_eq!((&created["tokens_valid_from"], &created["deactivated_at"]), (&json!(null), &json!(null)));
    let path = format!("/manage/projects/{}", created["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await.ok(StatusCode::OK), created);

    assert_eq!(created["stream_usage"], "ask");
    let change = json!({ "default_provider": "anthropic", "on_stale": "deny", "max_snapshot_age": 60,
        "stream_usage": "ask_and_strip" });
    let changed = world.patch(&path, change).await.ok(StatusCode::OK);
    assert_eq!(changed["name"], "Acme");
    assert_eq!((&changed["on_stale"], &changed["max_snapshot_age"]), (&json!("deny"), &json!(60)));
    assert_eq!(changed["stream_usage"], "ask_and_strip");
    assert_eq!(world.get(&path).await.ok(StatusCode::OK), changed);
    let audit = world.get("/manage/audit?action=project.update").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["before"]["stream_usage"], "ask");
    assert_eq!(audit["data"][0]["after"]["stream_usage"], "ask_and_strip");
    let other = world.post("/manage/projects", json!({ "name": "b", "stream_usage": "leave" })).await;
    assert_eq!(other.ok(StatusCode::CREATED)["stream_usage"], "leave");
    assert_eq!(
        (&changed["capture"], &set_capture(&world, &path, json!({})).await),
        (&json!(null), &json!([]))
    );
    let patterns = json!([r"\d{4}-\d{4}", "ü+"]);
    assert_eq!(set_capture(&world, &path, json!({ "redact": patterns })).await, patterns);
    // And the edge is told.
    let mut tx = world.store.read().await.unwrap();
    let told = control_plane::store::snapshot::contents::project(
        &mut tx,
        created["id"].as_str().unwrap().parse().unwrap(),
    );
    let told = told.await.unwrap().unwrap();
    assert_eq!(told.stream_usage, shared::snapshot::config::StreamUsage::AskAndStrip);
    assert_eq!(told.capture.unwrap().redact, [r"\d{4}-\d{4}", "ü+"]);
    let audit = world.get("/manage/audit?action=project.update").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["before"]["capture"], json!({ "redact": [] }));
    // What is not given stays; null turns it off.
    assert_eq!(world.patch(&path, json!({})).await.ok(StatusCode::OK)["capture"]["redact"], patterns);
    let off = world.patch(&path, json!({ "capture": null })).await.ok(StatusCode::OK);
    assert_eq!(off["capture"], json!(null));
}

/// Sets it, and returns the patterns that are shown.
async fn set_capture(world: &World, path: &str, capture: serde_json::Value) -> serde_json::Value {
    let changed = world.patch(path, json!({ "capture": capture })).await.ok(StatusCode::OK);
    assert_eq!(world.get(path).await.ok(StatusCode::OK), changed);
    changed["capture"]["redact"].clone()
}

#[tokio::test]
async fn are_deactivated_and_never_deleted() {
    let world = World::start().await;
    let id = world.project("a").await;
    let path = format!("/manage/projects/{id}");
    let refused = world.delete(&path).await;
    assert_eq!(refused.headers["allow"], "GET,HEAD,PATCH");
    assert!(refused.error(405, "method_not_allowed").contains("deactivate"));

    let off = world.patch(&path, json!({ "is_active": false })).await.ok(StatusCode::OK);
    assert!(off["deactivated_at"].is_string());
    let token = json!({ "project_id": id, "name": "t" });
    world.post("/manage/tokens", token.clone()).await.error(409, "conflict");
    let on = world.patch(&path, json!({ "is_active": true })).await.ok(StatusCode::OK);
    assert!(on["deactivated_at"].is_null());
    world.post("/manage/tokens", token).await.ok(StatusCode::CREATED);
}

#[tokio::test]
async fn names_are_unique() {
    let world = World::start().await;
    world.project("a").await;
    let other = world.project("b").await;
    let message = world.post("/manage/projects", json!({ "name": " a " })).await.error(409, "conflict");
    assert!(message.contains("`a`"), "{message}");
    world.patch(&format!("/manage/projects/{other}"), json!({ "name": "a" })).await.error(409, "conflict");
}

#[tokio::test]
async fn bad_input_is_named_by_its_field() {
    let world = World::start().await;
    let id = world.project("a").await;
    for (body, field) in [
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a".repeat(10_000) }), "name"),
        (json!({ "name": "x\u{0}" }), "name"),
        (json!({ "name": 5 }), "name"),
        (json!({ "name": null }), "name"),
        (json!({ "nick": "x", "name": "b" }), "nick"),
        (json!({ "name": "b", "default_provider": "nobody" }), "default_provider"),
        (json!({ "name": "b", "on_stale": "explode" }), "on_stale"),
        (json!({ "name": "b", "stream_usage": "guess" }), "stream_usage"),
        (json!({ "name": "b", "capture": true }), "capture"),
        (json!({ "name": "b", "capture": { "rules": [] } }), "rules"),
        (json!({ "name": "b", "capture": { "redact": null } }), "redact"),
        (json!({ "name": "b", "capture": { "redact": ["a", "("] } }), "capture.redact: pattern 2"),
        (json!({ "name": "b", "capture": { "redact": ["a*"] } }), "pattern 1"),
        (json!({ "name": "b", "capture": { "redact": ["(?:a{99}){99}"] } }), "too long"),
        (json!({ "name": "b", "capture": { "redact": ["a".repeat(257)] } }), "256 characters"),
        (json!({ "name": "b", "capture": { "redact": vec!["a"; 21] } }), "20 patterns"),
        (json!({ "name": "b", "max_snapshot_age": 0 }), "max_snapshot_age"),
        (json!({ "name": "b", "max_snapshot_age": -1 }), "max_snapshot_age"),
    ] {
        let message = world.post("/manage/projects", body.clone()).await.error(400, "invalid_request");
        assert!(message.contains(field), "{body}: {message}");
        let message =
            world.patch(&format!("/manage/projects/{id}"), body.clone()).await.error(400, "invalid_request");
        assert!(message.contains(field), "{body}: {message}");
    }
    assert!(world.post("/manage/projects", json!({})).await.error(400, "invalid_request").contains("name"));
}

#[tokio::test]
async fn unknown_ids_are_not_found() {
    let world = World::start().await;
    for id in ["019f0000-0000-7000-8000-000000000000", "not-a-uuid", "%00"] {
        let path = format!("/manage/projects/{id}");
        world.get(&path).await.error(404, "not_found");
        world.patch(&path, json!({})).await.error(404, "not_found");
        world.post(&format!("{path}/tokens/revoke"), json!(null)).await.error(404, "not_found");
        world.get(&format!("{path}/credentials")).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn lists_are_paged_newest_first() {
    let world = World::start().await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(world.project(&format!("p{number}")).await);
        // Ids of one millisecond are in no order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut path = "/manage/projects?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.ok(StatusCode::OK);
        seen.extend(
            page["data"].as_array().unwrap().iter().map(|each| each["id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/manage/projects?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, made);
    for query in ["limit=0", "limit=101", "limit=x", "cursor=!!", "cursor=AAAA", "page=2"] {
        world.get(&format!("/manage/projects?{query}")).await.error(400, "invalid_request");
    }
}
