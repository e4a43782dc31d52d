//! What holds for every path.

use super::World;
use crate::world::{SECOND_TOKEN, TOKEN, request};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;

#[tokio::test]
async fn every_management_path_needs_the_token() {
    let world = World::start().await;
    let document = world.get("/openapi.json").await.ok(StatusCode::OK);
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|_| path.starts_with("/manage/")) {
            let path = path
                .replace("{id}", "x")
                .replace("{name}", "x")
                .replace("{credential_id}", "x")
                .replace("{route_id}", "x");
            let mut call = request(method.to_uppercase().parse().unwrap(), &path, Some(json!({})));
            call.headers_mut().remove("authorization");
            let answer = world.send(call).await;
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
            answer.error(401, "unauthorized");
            tried += 1;
        }
    }
    assert_eq!(tried, 46);
}

#[tokio::test]
async fn only_the_listed_tokens_are_right() {
    let world = World::start().await;
    let with = async |value: &str| {
        let mut call = request(Method::GET, "/manage/projects", None);
        call.headers_mut().insert("authorization", value.parse().unwrap());
        world.send(call).await
    };
    with(&format!("bearer {TOKEN}")).await.ok(StatusCode::OK);
    with(&format!("Bearer {SECOND_TOKEN}")).await.ok(StatusCode::OK);
    let almost = format!("Bearer {}", &TOKEN[..31]);
    let longer = format!("Bearer {TOKEN}0");
    let both = format!("Bearer {TOKEN},{SECOND_TOKEN}");
    for bad in ["", "Bearer", "Bearer ", "Basic Og==", TOKEN, &almost, &longer, &both] {
        with(bad).await.error(401, "unauthorized");
    }
    let mut twice = request(Method::GET, "/manage/projects", None);
    twice.headers_mut().append("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    world.send(twice).await.error(401, "unauthorized");
}

#[tokio::test]
async fn unknown_paths_and_methods_have_the_same_shape() {
    let world = World::start().await;
    for path in ["/", "/manage", "/manage/project", "/manage/event", "/v1/models", "/manage/projects/"] {
        world.get(path).await.error(404, "not_found");
    }
    let refused = world.delete("/manage/projects").await;
    assert_eq!(refused.headers["allow"], "GET,HEAD,POST");
    refused.error(405, "method_not_allowed");
    world.put("/livez", json!({})).await.error(405, "method_not_allowed");
}

fn raw(content_type: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut call = request(Method::POST, "/manage/projects", None);
    if let Some(content_type) = content_type {
        call.headers_mut().insert("content-type", content_type.parse().unwrap());
    }
    *call.body_mut() = body.into();
    call
}

#[tokio::test]
async fn bodies_are_json_and_bounded() {
    let world = World::start().await;
    for other in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonl")]
    {
        world.send(raw(other, r#"{"name":"a"}"#)).await.error(415, "unsupported_media_type");
    }
    let json = Some("application/json; charset=utf-8");
    for bad in
        ["", "{", "{\"name\":\"a\"}x", "nul", "\"a\"", "[]", "{\"name\":\"a\",\"name\":\"b\"}", "\u{feff}{}"]
    {
        world.send(raw(json, bad)).await.error(400, "invalid_request");
    }
    world.send(raw(json, vec![0xff, 0xfe])).await.error(400, "invalid_request");
    let nested = "[".repeat(500_000);
    world.send(raw(json, nested)).await.error(400, "invalid_request");
    let large = format!(r#"{{"name":"{}"}}"#, "a".repeat(1024 * 1024));
    world.send(raw(json, large.clone())).await.error(413, "body_too_large");
    // Without a length, too; and not for who has no token.
    let chunks = large.as_bytes().chunks(65_536).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
    let chunks: Vec<_> = chunks.collect();
    let stream = Body::from_stream(futures_util::stream::iter(chunks));
    world.send(raw(json, stream)).await.error(413, "body_too_large");
    let mut stranger = raw(json, large);
    stranger.headers_mut().remove("authorization");
    world.send(stranger).await.error(401, "unauthorized");
    world.send(raw(json, r#"{"name":"a"}"#)).await.ok(StatusCode::CREATED);
}

#[tokio::test]
async fn inside_messages_stay_inside() {
    let world = World::start().await;
    world.store.close().await;
    let message = world.get("/manage/projects").await.error(500, "internal");
    assert!(!message.to_lowercase().contains("pool") && !message.contains("database"), "{message}");
}

#[tokio::test]
async fn answers_are_not_to_be_kept() {
    let world = World::start().await;
    let answer = world.get("/manage/projects").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let id = answer.headers["x-request-id"].to_str().unwrap();
    assert!(shared::id::issued_at(id.parse().unwrap()).is_some());
}

/// `PostgreSQL` takes no NUL in a text, and `SQLite` does: neither may show.
#[tokio::test]
async fn a_nul_is_found_nowhere_and_fails_nothing() {
    let world = World::start().await;
    let project = world.project("a").await;
    let named = json!({ "name": "b", "default_provider": "open\u{0}ai" });
    world.post("/manage/projects", named.clone()).await.error(400, "invalid_request");
    world.patch(&format!("/manage/projects/{project}"), named).await.error(400, "invalid_request");
    let credential = json!({ "provider": "open\u{0}ai", "api_key": "sk-12345678" });
    let credentials = format!("/manage/projects/{project}/credentials");
    world.post(&credentials, credential).await.error(400, "invalid_request");
    world.get("/manage/providers/open%00ai").await.error(404, "not_found");
    world.delete("/manage/providers/open%00ai").await.error(404, "not_found");
    let list = world.get("/manage/audit?action=token.create%00").await.ok(StatusCode::OK);
    assert_eq!(list["data"], json!([]));
    // A cursor of one's own making: "groq", NUL, "x".
    let list = world.get("/manage/providers?cursor=Z3JvcQB4").await.ok(StatusCode::OK);
    assert_eq!(list["data"][0]["name"], "mistral");
    let metadata = json!({ "a": "x\u{0}y" });
    let token = json!({ "project_id": project, "name": "t", "metadata": metadata });
    assert_eq!(world.post("/manage/tokens", token).await.ok(StatusCode::CREATED)["metadata"], metadata);
}
