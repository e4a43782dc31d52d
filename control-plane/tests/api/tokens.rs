use super::World;
use crate::world::request;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use shared::token::Token;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

fn path(token: &Value) -> String {
    format!("/manage/tokens/{}", token["id"].as_str().unwrap())
}

#[tokio::test]
async fn the_plain_text_is_shown_once() {
    let world = World::start().await;
    let project = world.project("a").await;
    let made = world.token(&project).await;
    let text = made["token"].as_str().unwrap();
    let token = Token::parse(text, &world.tags).unwrap();
    assert_eq!(made["id"], token.id().to_string());
    assert_eq!((&made["replicated"], &made["is_active"]), (&json!(true), &json!(true)));
    assert_eq!(made["issued_at"], made["created_at"]);

    let read = world.get(&path(&made)).await.ok(StatusCode::OK);
    let list = world.get("/manage/tokens").await.ok(StatusCode::OK);
    let audit = world.get("/manage/audit").await.ok(StatusCode::OK);
    assert_eq!(read["token"], Value::Null);
    for shown in [read, list, audit] {
        assert!(!shown.to_string().contains(&text[6..40]));
    }
}

#[tokio::test]
async fn without_kv_a_token_is_made_and_the_answer_says_so() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    assert_eq!(world.token(&project).await["replicated"], false);
}

#[tokio::test]
async fn expiries() {
    let world = World::start().await;
    let project = world.project("a").await;
    let create = async |extra: Value| {
        let mut body = json!({ "project_id": project, "name": "t" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        world.post("/manage/tokens", body).await
    };
    assert!(create(json!({})).await.ok(StatusCode::CREATED)["expires_at"].is_string());
    assert!(create(json!({ "expires_at": null })).await.ok(StatusCode::CREATED)["expires_at"].is_null());
    let at = json!({ "expires_at": "2100-01-01T01:00:00+01:00" });
    assert_eq!(create(at).await.ok(StatusCode::CREATED)["expires_at"], "2100-01-01T00:00:00Z");
    create(json!({ "expires_in": 60 })).await.ok(StatusCode::CREATED);
    for (bad, field) in [
        (json!({ "expires_in": 0 }), "expires_in"),
        (json!({ "expires_in": -5 }), "expires_in"),
        (json!({ "expires_in": null }), "expires_in"),
        (json!({ "expires_in": u64::MAX }), "expires_in"),
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "expires_at": "tomorrow" }), "expires_at"),
        (json!({ "expires_at": 5 }), "expires_at"),
        (json!({ "expires_at": null, "expires_in": 5 }), "expires_at"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "n".repeat(10_000) }), "name"),
        (json!({ "project_id": 5 }), "project_id"),
        (json!({ "metadata": [1] }), "metadata"),
        (json!({ "metadata": { "a": "x".repeat(5000) } }), "metadata"),
        (json!({ "scope": "all" }), "scope"),
    ] {
        let message = create(bad.clone()).await.error(400, "invalid_request");
        assert!(message.contains(field), "{bad}: {message}");
    }
    create(json!({ "project_id": Uuid::nil() })).await.error(404, "not_found");
}

#[tokio::test]
async fn limits_that_nothing_enforces_are_refused() {
    let world = World::start().await;
    let project = world.project("a").await;
    for field in ["max_requests", "rate_limit", "budget"] {
        let body = json!({ "project_id": project, "name": "t", field: { "requests": 5 } });
        let message = world.post("/manage/tokens", body).await.error(422, "not_supported");
        assert!(message.contains(field), "{message}");
        let made = world.token(&project).await;
        let message = world.patch(&path(&made), json!({ field: 5 })).await.error(422, "not_supported");
        assert!(message.contains(field), "{message}");
    }
}

/// An answer must be able to show what was stored.
#[tokio::test]
async fn an_expiry_beyond_what_rfc_3339_can_write_is_refused() {
    let world = World::start().await;
    let project = world.project("a").await;
    let expiring = |at| json!({ "project_id": project, "name": "t", "expires_at": at });
    world.post("/manage/tokens", expiring("9999-12-31T23:59:59-01:00")).await.error(400, "invalid_request");
    world.post("/manage/tokens", expiring("9999-12-31T23:59:59Z")).await.ok(StatusCode::CREATED);
}

#[tokio::test]
async fn are_changed_and_revoked() {
    let world = World::start().await;
    let project = world.project("a").await;
    let made = world.token(&project).await;
    let change = json!({ "name": "renamed", "metadata": { "team": "x" }, "expires_at": null });
    let changed = world.patch(&path(&made), change).await.ok(StatusCode::OK);
    assert_eq!((&changed["name"], &changed["metadata"]["team"]), (&json!("renamed"), &json!("x")));
    assert!(changed["expires_at"].is_null());
    let cleared = world.patch(&path(&made), json!({ "metadata": null })).await.ok(StatusCode::OK);
    assert!(cleared["metadata"].is_null());
    world.patch(&path(&made), json!({ "name": null })).await.error(400, "invalid_request");
    world
        .patch(&path(&made), json!({ "expires_at": "2020-01-01T00:00:00Z" }))
        .await
        .error(400, "invalid_request");

    world.delete(&path(&made)).await.ok(StatusCode::NO_CONTENT);
    let revoked = world.get(&path(&made)).await.ok(StatusCode::OK);
    assert!(revoked["revoked_at"].is_string() && revoked["is_active"] == false);
    world.delete(&path(&made)).await.ok(StatusCode::NO_CONTENT);
    assert_eq!(world.get(&path(&made)).await.ok(StatusCode::OK), revoked);
    let unknown = format!("/manage/tokens/{}", Uuid::nil());
    world.delete(&unknown).await.error(404, "not_found");
    world.patch(&unknown, json!({})).await.error(404, "not_found");
    world.get(&unknown).await.error(404, "not_found");
}

#[tokio::test]
async fn bulk_revocation_takes_all_there_are_and_none_made_after() {
    let world = World::start().await;
    let (project, other) = (world.project("a").await, world.project("b").await);
    let tokens = [world.token(&project).await, world.token(&project).await, world.token(&project).await];
    let elsewhere = world.token(&other).await;
    world.delete(&path(&tokens[0])).await.ok(StatusCode::NO_CONTENT);

    let revoke = format!("/manage/projects/{project}/tokens/revoke");
    let answer = world.send(request(Method::POST, &revoke, None)).await.ok(StatusCode::OK);
    assert_eq!(answer["revoked_count"], 2);
    for token in &tokens {
        let shown = world.get(&path(token)).await.ok(StatusCode::OK);
        assert!(shown["is_active"] == false && shown["revoked_at"].is_string());
    }
    assert_eq!(world.get(&path(&elsewhere)).await.ok(StatusCode::OK)["is_active"], true);
    // Made in the same millisecond or not, a new one stays above the line.
    let after = world.token(&project).await;
    assert_eq!(world.get(&path(&after)).await.ok(StatusCode::OK)["is_active"], true);
    let valid_from = world.get(&format!("/manage/projects/{project}")).await.ok(StatusCode::OK);
    // Not as text: ".32Z" is before ".321Z".
    let time = |text: &Value| OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
    assert!(time(&valid_from["tokens_valid_from"]) <= time(&after["issued_at"]));
    assert_eq!(world.send(request(Method::POST, &revoke, None)).await.ok(StatusCode::OK)["revoked_count"], 1);
}

#[tokio::test]
async fn lists_are_filtered() {
    let world = World::start().await;
    let (project, other) = (world.project("a").await, world.project("b").await);
    let (kept, gone) = (world.token(&project).await, world.token(&project).await);
    world.token(&other).await;
    world.delete(&path(&gone)).await.ok(StatusCode::NO_CONTENT);
    let count = async |query: &str| {
        let list = world.get(&format!("/manage/tokens?{query}")).await.ok(StatusCode::OK);
        list["data"].as_array().unwrap().clone()
    };
    assert_eq!(count("").await.len(), 3);
    assert_eq!(count("active_only=true").await.len(), 2);
    assert_eq!(count(&format!("project_id={project}")).await.len(), 2);
    let active = count(&format!("project_id={project}&active_only=true")).await;
    assert_eq!((active.len(), &active[0]["id"]), (1, &kept["id"]));
    world.get("/manage/tokens?project_id=x").await.error(400, "invalid_request");
    world.get("/manage/tokens?active_only=maybe").await.error(400, "invalid_request");
}

/// Many at once: each is stored, none fails for the others' sake.
#[tokio::test]
async fn creations_at_once_all_succeed() {
    let world = World::start().await;
    let project = world.project("a").await;
    let all = (0..50).map(|number| {
        let body = json!({ "project_id": project, "name": format!("t{number}") });
        let (router, request) = (world.router.clone(), request(Method::POST, "/manage/tokens", Some(body)));
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() })
    });
    for status in all.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), StatusCode::CREATED);
    }
    assert_eq!(world.get("/manage/tokens?limit=100").await.body["data"].as_array().unwrap().len(), 50);
}
