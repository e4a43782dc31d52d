//! What goes on while a part is down, and how it comes back.

use latchkey_tests::kv::{Fault, Side};
use latchkey_tests::stack::Stack;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn with_the_control_plane_killed_the_edge_goes_on_and_afterwards_catches_up() {
    let mut stack = Stack::start().await;
    let (_, good) = stack.token().await;
    let (revoked_id, revoked) = stack.token().await;
    stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{revoked_id}"), None).await;
    stack.until("the revocation", async || stack.ask(&revoked).await.0 == 401).await;

    stack.control_plane.process().kill();
    for _ in 0..30 {
        assert_eq!(stack.ask(&good).await.0, 200);
        assert_eq!(stack.ask(&revoked).await.1.as_deref(), Some("token_revoked"));
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    stack.restart_control_plane();
    let (id, new) = stack.token().await;
    assert_eq!(stack.ask(&new).await.0, 200);
    stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
    stack.until("the catching up", async || stack.ask(&new).await.0 == 401).await;
    assert_eq!(stack.ask(&good).await.0, 200);
}

/// Each time at another moment; what was answered is never lost.
#[tokio::test]
async fn killed_at_any_point_the_publisher_converges() {
    let mut stack = Stack::start().await;
    let mut revoked = Vec::new();
    for round in 0..8u64 {
        let (id, token) = stack.token().await;
        stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
        revoked.push(token);
        tokio::time::sleep(std::time::Duration::from_millis(round * 7)).await;
        stack.control_plane.process().kill();
        stack.restart_control_plane();
    }
    let (_, good) = stack.token().await;
    for token in &revoked {
        stack
            .until("the revocation", async || stack.ask(token).await.1.as_deref() == Some("token_revoked"))
            .await;
    }
    assert_eq!(stack.ask(&good).await.0, 200);
    stack
        .until("an empty outbox", async || stack.control_plane.get("/manage/snapshot").await["pending"] == 0)
        .await;
}

#[tokio::test]
async fn with_kv_failing_a_creation_says_so_and_the_token_works_once_kv_is_back() {
    let stack = Stack::start().await;
    stack.kv.set_fault(Side::Rest, Fault::Fail);
    let body = json!({"project_id": stack.project_id, "name": "t"});
    let answer = stack.control_plane.post("/manage/tokens", body).await;
    assert_eq!(answer["replicated"], false);
    let token = answer["token"].as_str().unwrap();
    assert_eq!(stack.ask(token).await.0, 401);
    let (status, _) = stack.control_plane.call(Method::GET, "/readyz", None).await;
    assert_eq!(status, 503);
    stack.kv.set_fault(Side::Rest, Fault::None);
    stack.until("the token", async || stack.ask(token).await.0 == 200).await;
    stack
        .until("readiness", async || stack.control_plane.call(Method::GET, "/readyz", None).await.0 == 200)
        .await;
}

#[tokio::test]
async fn a_wiped_kv_is_noticed_and_published_again() {
    let stack = Stack::start().await;
    let (_, token) = stack.token().await;
    stack.until_settled().await;
    stack.kv.clear();
    stack.until("the new manifest", async || stack.kv.raw("manifest/v1").is_some()).await;
    assert_eq!(stack.ask(&token).await.0, 200);
}

/// A request that is being answered ends well; then the process ends by itself.
#[tokio::test]
async fn a_stop_finishes_requests_in_flight() {
    let mut stack = Stack::start().await;
    stack.kv.set_fault(Side::Rest, Fault::Hang);
    let body = json!({"project_id": stack.project_id, "name": "in flight"});
    let url = stack.control_plane.url("/manage/tokens");
    let in_flight = tokio::spawn(async move {
        let client = reqwest::Client::new();
        let token = latchkey_tests::keys::MANAGEMENT_TOKEN;
        client.post(url).bearer_auth(token).json(&body).send().await.unwrap().status()
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    stack.control_plane.process().signal("TERM");
    assert_eq!(in_flight.await.unwrap(), 201);
    let ended = tokio::task::spawn_blocking(move || stack.control_plane.process().child().wait());
    assert!(ended.await.unwrap().unwrap().success());
}
