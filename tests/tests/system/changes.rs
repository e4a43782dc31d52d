//! A change in the control plane is enforced at the edge.

use latchkey_tests::stack::Stack;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

const SILENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_created_token_works_at_once() {
    let stack = Stack::start().await;
    for _ in 0..5 {
        let (_, token) = stack.token().await;
        assert_eq!(stack.ask(&token).await, (200, None));
    }
}

#[tokio::test]
async fn a_token_of_a_project_created_a_moment_ago_works_at_once() {
    let stack = Stack::start().await;
    let project = json!({"name": "new", "default_provider": "example"});
    let project = stack.control_plane.post("/manage/projects", project).await;
    let credentials = format!("/manage/projects/{}/credentials", project["id"].as_str().unwrap());
    let credential = json!({"provider": "example", "label": "x", "api_key": "sk-another-key-42"});
    stack.control_plane.post(&credentials, credential).await;
    let token = json!({"project_id": project["id"], "name": "first"});
    let token = stack.control_plane.post("/manage/tokens", token).await;
    assert_eq!(stack.ask(token["token"].as_str().unwrap()).await, (200, None));
}

#[tokio::test]
async fn a_revoked_token_is_refused_while_others_go_on() {
    let stack = Stack::start().await;
    let (id, token) = stack.token().await;
    assert_eq!(stack.ask(&token).await.0, 200);
    stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
    let (_, other) = stack.token().await;
    stack.until("the refusal", async || stack.ask(&token).await.0 == 401).await;
    assert_eq!(stack.ask(&token).await.1.as_deref(), Some("token_revoked"));
    assert_eq!(stack.ask(&other).await.0, 200);
}

/// An idle isolate must not answer from what it held before it was idle.
#[tokio::test]
async fn after_ten_silent_seconds_one_request_sees_a_revocation() {
    let stack = Stack::start().await;
    let (id, token) = stack.token().await;
    assert_eq!(stack.ask(&token).await.0, 200);
    stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(stack.ask(&token).await, (401, Some("token_revoked".into())));
}

#[tokio::test]
async fn after_ten_silent_seconds_one_request_sees_a_bulk_revocation() {
    let stack = Stack::start().await;
    let (_, token) = stack.token().await;
    assert_eq!(stack.ask(&token).await.0, 200);
    let revoke_all = format!("/manage/projects/{}/tokens/revoke", stack.project_id);
    assert_eq!(stack.control_plane.must(Method::POST, &revoke_all, None).await["revoked_count"], 1);
    tokio::time::sleep(SILENCE).await;
    assert_eq!(stack.ask(&token).await, (401, Some("token_revoked".into())));
}

#[tokio::test]
async fn after_ten_silent_seconds_one_request_sees_a_deactivated_project() {
    let stack = Stack::start().await;
    let (_, token) = stack.token().await;
    assert_eq!(stack.ask(&token).await.0, 200);
    let project = format!("/manage/projects/{}", stack.project_id);
    stack.control_plane.patch(&project, json!({"is_active": false})).await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(stack.ask(&token).await, (403, Some("project_inactive".into())));
}

#[tokio::test]
async fn after_a_bulk_revocation_new_tokens_work_and_old_ones_stay_revoked() {
    let stack = Stack::start().await;
    let (_, old) = stack.token().await;
    let revoke_all = format!("/manage/projects/{}/tokens/revoke", stack.project_id);
    stack.control_plane.must(Method::POST, &revoke_all, None).await;
    let (_, new) = stack.token().await;
    stack.until("the refusal of the old", async || stack.ask(&old).await.0 == 401).await;
    assert_eq!(stack.ask(&new).await, (200, None));
}

#[tokio::test]
async fn a_reactivated_project_works_again() {
    let stack = Stack::start().await;
    let (_, token) = stack.token().await;
    let project = format!("/manage/projects/{}", stack.project_id);
    stack.control_plane.patch(&project, json!({"is_active": false})).await;
    stack.until("the refusal", async || stack.ask(&token).await.0 == 403).await;
    stack.control_plane.patch(&project, json!({"is_active": true})).await;
    stack.until("the return", async || stack.ask(&token).await.0 == 200).await;
}

#[tokio::test]
async fn a_narrowed_provider_and_a_removed_credential_are_enforced() {
    let stack = Stack::start().await;
    let (_, token) = stack.token().await;
    assert_eq!(stack.ask(&token).await.0, 200);
    let credentials = format!("/manage/projects/{}/credentials", stack.project_id);
    let listed = stack.control_plane.get(&credentials).await;
    let credential = listed["data"][0]["id"].as_str().unwrap().to_owned();
    stack.control_plane.must(Method::DELETE, &format!("{credentials}/{credential}"), None).await;
    stack.until("the loss of the credential", async || stack.ask(&token).await.0 == 503).await;
    let narrowed = json!({
        "base_url": stack.upstream,
        "auth": {"header": "authorization", "prefix": "Bearer "},
        "api": "openai",
        "allowed_endpoints": [{"methods": ["POST"], "path": "/v1/chat/completions"}],
    });
    stack.control_plane.must(Method::PUT, "/manage/providers/example", Some(narrowed)).await;
    stack.until("the narrower provider", async || stack.ask(&token).await.0 == 403).await;
}

/// A token expires by the edge's clock, with no word from the control plane.
#[tokio::test]
async fn a_token_withers() {
    let stack = Stack::start().await;
    let body = json!({"project_id": stack.project_id, "name": "short", "expires_in": 2});
    let answer = stack.control_plane.post("/manage/tokens", body).await;
    let token = answer["token"].as_str().unwrap();
    assert_eq!(stack.ask(token).await.0, 200);
    stack.until("the expiry", async || stack.ask(token).await.0 == 401).await;
    assert_eq!(stack.ask(token).await.1.as_deref(), Some("token_expired"));
}
