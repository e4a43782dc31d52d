use super::World;
use axum::http::StatusCode;
use serde_json::{Value, json};

fn definition() -> Value {
    json!({
        "base_url": "https://api.example.com/v2/",
        "auth": { "header": "X-Key" },
        "api": "anthropic",
        "allowed_endpoints": [{ "methods": ["POST"], "path": "/v1/messages" }, { "methods": ["GET"], "path": "/v1/models/**" }],
    })
}

fn with(change: &Value) -> Value {
    let mut body = definition();
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn built_in_ones_are_there_and_stay() {
    let world = World::start().await;
    let list = world.get("/manage/providers?limit=100").await.ok(StatusCode::OK);
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["anthropic", "cohere", "deepseek", "google", "groq", "mistral", "openai", "openrouter"]
    );
    world.delete("/manage/providers/openai").await.error(409, "conflict");
    let page = world.get("/manage/providers?limit=3").await.ok(StatusCode::OK);
    let next = format!("/manage/providers?cursor={}", page["next_cursor"].as_str().unwrap());
    assert_eq!(world.get(&next).await.ok(StatusCode::OK)["data"][0]["name"], "google");
}

#[tokio::test]
async fn are_put_read_and_deleted() {
    let world = World::start().await;
    let path = "/manage/providers/mine";
    let made = world.put(path, definition()).await.ok(StatusCode::CREATED);
    assert_eq!(
        (&made["base_url"], &made["auth"]["header"]),
        (&json!("https://api.example.com/v2"), &json!("x-key"))
    );
    assert_eq!(made["timeouts"], json!({ "first_byte_ms": 60_000, "idle_ms": 60_000, "total_ms": 600_000 }));
    let change = json!({ "timeouts": { "idle_ms": 600_000, "total_ms": 3_600_000 } });
    let changed = world.put(path, with(&change)).await.ok(StatusCode::OK);
    assert_eq!(
        changed["timeouts"],
        json!({ "first_byte_ms": 60_000, "idle_ms": 600_000, "total_ms": 3_600_000 })
    );
    let change = json!({ "timeouts": { "first_byte_ms": 5 }, "allowed_headers": ["OpenAI-Project"] });
    let changed = world.put(path, with(&change)).await.ok(StatusCode::OK);
    assert_eq!(
        (&changed["timeouts"]["first_byte_ms"], &changed["allowed_headers"][0]),
        (&json!(5), &json!("openai-project"))
    );
    assert_eq!(world.get(path).await.ok(StatusCode::OK)["timeouts"]["first_byte_ms"], 5);
    world.delete(path).await.ok(StatusCode::NO_CONTENT);
    world.get(path).await.error(404, "not_found");
    world.delete(path).await.error(404, "not_found");
}

#[tokio::test]
async fn one_in_use_is_not_deleted() {
    let world = World::start().await;
    let path = "/manage/providers/mine";
    world.put(path, definition()).await.ok(StatusCode::CREATED);
    let project = world.project("a").await;
    let credential = world.credential(&project, "mine").await;
    world.delete(path).await.error(409, "conflict");
    world.delete(&credential).await.ok(StatusCode::NO_CONTENT);
    let project = format!("/manage/projects/{project}");
    world.patch(&project, json!({ "default_provider": "mine" })).await.ok(StatusCode::OK);
    world.delete(path).await.error(409, "conflict");
    world.patch(&project, json!({ "default_provider": "groq" })).await.ok(StatusCode::OK);
    world.delete(path).await.ok(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn bad_input_is_named_by_its_field() {
    let world = World::strict().await;
    for (change, field) in [
        (json!({ "base_url": "http://api.example.com" }), "base_url"),
        (json!({ "base_url": "http://127.0.0.1:1" }), "base_url"),
        (json!({ "base_url": "https://169.254.169.254" }), "base_url"),
        (json!({ "base_url": "https://[::ffff:10.0.0.1]" }), "base_url"),
        (json!({ "base_url": "https://metadata.google.internal" }), "base_url"),
        (json!({ "base_url": "https://user:pw@api.example.com" }), "base_url"),
        (json!({ "base_url": "https://api.example.com?x=1" }), "base_url"),
        (json!({ "auth": { "header": "connection" } }), "auth.header"),
        (json!({ "auth": { "header": "a b" } }), "auth.header"),
        (json!({ "auth": { "header": "x", "prefix": "a\nb" } }), "auth.prefix"),
        (json!({ "api": "smtp" }), "api"),
        (json!({ "allowed_endpoints": [] }), "allowed_endpoints"),
        (json!({ "allowed_endpoints": [{ "methods": ["get"], "path": "/x" }] }), "allowed_endpoints"),
        (json!({ "allowed_endpoints": [{ "methods": ["GET"], "path": "/../x" }] }), "allowed_endpoints"),
        (json!({ "default_headers": { "authorization": "x" } }), "default_headers"),
        (json!({ "default_headers": { "x": "a\r\nb" } }), "default_headers"),
        (json!({ "allowed_headers": ["cookie"] }), "allowed_headers"),
        (json!({ "timeouts": { "first_byte_ms": 0 } }), "first_byte_ms"),
        (json!({ "timeouts": { "first_byte_ms": 600_001 } }), "first_byte_ms"),
        (json!({ "timeouts": { "idle_ms": 0 } }), "idle_ms"),
        (json!({ "timeouts": { "idle_ms": 600_001 } }), "idle_ms"),
        (json!({ "timeouts": { "total_ms": 0 } }), "total_ms"),
        (json!({ "timeouts": { "total_ms": 3_600_001 } }), "total_ms"),
        (json!({ "timeouts": { "connect_ms": 5 } }), "connect_ms"),
        (json!({ "retries": 3 }), "retries"),
    ] {
        let message = world.put("/manage/providers/mine", with(&change)).await.error(400, "invalid_request");
        assert!(message.contains(field), "{change}: {message}");
    }
    for name in ["v1", "healthz", "Mine", "a_b", &"a".repeat(41)] {
        world.put(&format!("/manage/providers/{name}"), definition()).await.error(400, "invalid_request");
    }
}
