use super::World;
use crate::world::request;
use axum::http::{Method, StatusCode};

fn open(path: &str) -> axum::http::Request<axum::body::Body> {
    let mut call = request(Method::GET, path, None);
    call.headers_mut().remove("authorization");
    call
}

#[tokio::test]
async fn says_that_it_lives_and_is_ready() {
    let world = World::start().await;
    assert_eq!(world.send(open("/livez")).await.ok(StatusCode::OK)["status"], "ok");
    let ready = world.send(open("/readyz")).await.ok(StatusCode::OK);
    assert_eq!(ready.to_string().matches("\"ok\"").count(), 5, "{ready}");
    assert_eq!(ready["event_log_durability"], "what is acknowledged is on disk");
}

#[tokio::test]
async fn says_what_is_wrong_and_what_to_do() {
    let world = World::without_kv().await;
    let ready = world.send(open("/readyz")).await.ok(StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((ready["database"].as_str(), ready["status"].as_str()), (Some("ok"), Some("failing")));
    assert!(
        ready["kv"].as_str().unwrap().contains("KV_API_BASE") && !ready.to_string().contains("127.0.0.1")
    );

    let world = World::start().await;
    world.store.close().await;
    let ready = world.send(open("/readyz")).await.ok(StatusCode::SERVICE_UNAVAILABLE);
    assert!(ready["database"].as_str().unwrap().contains("DATABASE_URL"));
    assert_eq!(world.send(open("/livez")).await.ok(StatusCode::OK)["status"], "ok");
}

#[tokio::test]
async fn the_document_is_openapi() {
    let world = World::start().await;
    let document = world.send(open("/openapi.json")).await.ok(StatusCode::OK);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let token = &document["components"]["schemas"]["NewToken"];
    assert!(token["properties"]["expires_in"].is_object() && token["properties"]["max_requests"].is_null());
}

#[tokio::test]
async fn the_snapshot_follows_changes() {
    let world = World::start().await;
    let project = world.project("a").await;
    world.token(&project).await;
    let published =
        world.send(request(Method::POST, "/manage/snapshot/publish", None)).await.ok(StatusCode::OK);
    assert_eq!(published["pending"], 0, "{published}");
    assert!(published["published_at"].is_string() && published["published_version"].as_u64().unwrap() > 0);
    let status = world.get("/manage/snapshot").await.ok(StatusCode::OK);
    assert_eq!(status["published_version"], published["published_version"]);
    drop(world.snapshot);

    let world = World::without_kv().await;
    world.send(request(Method::POST, "/manage/snapshot/publish", None)).await.error(503, "unavailable");
    assert!(world.get("/manage/snapshot").await.ok(StatusCode::OK)["pending"].as_u64().unwrap() > 0);
}
