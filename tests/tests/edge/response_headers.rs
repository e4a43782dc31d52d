//! What of an upstream's headers reaches the client.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::shared;
use serde_json::json;

#[tokio::test]
async fn headers_that_must_not_pass_stay_behind_and_others_pass() {
    let edge = shared();
    let body = latchkey_tests::edge::chat_body("gpt-example+fault=headers", false);
    let path = "/openai/v1/chat/completions";
    for request in [edge.post(path).json(&body), edge.get("/openai/_fault/headers")] {
        let reply = send(request.bearer_auth(&edge.tokens.valid)).await;
        reply.assert_ok();
        for name in ["set-cookie", "x-hop", "keep-alive", "proxy-authenticate", "openai-organization"] {
            assert_eq!(reply.header(name), None);
        }
        assert!(!reply.header("connection").unwrap_or_default().contains("x-hop"));
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("9"));
        assert_eq!(reply.header("openai-processing-ms"), Some("3"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert!(reply.header("x-request-id").is_some_and(|id| id.starts_with("req_")));
    }
}

#[tokio::test]
async fn an_upstream_cannot_speak_for_the_edge() {
    let edge = shared();
    let reply = send(edge.get("/odd/v1/models/pretender").bearer_auth(&edge.tokens.valid)).await;
    reply.assert_ok();
    assert_eq!(reply.snapshot().0, 1);
    assert!(!format!("{:?}", reply.headers).contains("invented"));
}

#[tokio::test]
async fn every_answer_names_version_and_age_of_the_snapshot() {
    let edge = shared();
    for reply in [
        edge.ask(&edge.tokens.valid).await,
        edge.ask(&edge.tokens.revoked).await,
        send(edge.get("/openai/_fault/status/500").bearer_auth(&edge.tokens.valid)).await,
        send(edge.get("/down/v1/models/x").bearer_auth(&edge.tokens.valid)).await,
        send(edge.get("/healthz")).await,
    ] {
        let (version, age) = reply.snapshot();
        assert_eq!(version, 1);
        assert!(age < 300, "{age}");
    }
}

#[tokio::test]
async fn every_request_has_an_id_of_its_own() {
    let edge = shared();
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let reply = edge.ask(&edge.tokens.valid).await;
        assert!(ids.insert(reply.header("x-latchkey-request-id").unwrap().to_owned()));
    }
}

#[tokio::test]
async fn the_answer_to_a_model_request_is_the_upstreams() {
    let edge = shared();
    let reply = edge.ask(&edge.tokens.valid).await;
    assert_eq!(reply.json()["id"], json!("gpt-example"));
}
