//! Each fault at its own path, and on a normal endpoint by the model's option.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::Upstream;

async fn by_path(upstream: &Upstream, path: &str) -> Response {
    upstream.get(path).send().await.unwrap()
}

async fn by_model(upstream: &Upstream, fault: &str, stream: bool) -> Response {
    let model = format!("m+fault={fault}");
    let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    upstream.openai("/v1/chat/completions", &body).await
}

#[tokio::test]
async fn redirect() {
    let upstream = Upstream::start().await;
    for response in [
        by_path(&upstream, "/any/prefix/_fault/redirect").await,
        by_model(&upstream, "redirect", false).await,
    ] {
        assert_eq!(response.status().as_u16(), 302);
        assert_eq!(response.headers()["location"], "/_control/redirected");
    }
    assert!(upstream.log().await.iter().all(|record| record["path"] != "/_control/redirected"));
    by_path(&upstream, "/_control/redirected").await;
    assert_eq!(upstream.log().await.pop().unwrap()["path"], "/_control/redirected");
}

#[tokio::test]
async fn silent() {
    let upstream = Upstream::start().await;
    let soon = Duration::from_millis(50);
    let pending = tokio::time::timeout(soon, by_path(&upstream, "/_fault/silent?ms=200")).await;
    assert!(pending.is_err());
    assert_eq!(by_path(&upstream, "/v1/_fault/silent?ms=1").await.status(), 200);
    let pending = tokio::time::timeout(soon, by_model(&upstream, "silent:200", true)).await;
    assert!(pending.is_err());
    assert_eq!(by_model(&upstream, "silent:1", false).await.status(), 200);
    assert_eq!(by_path(&upstream, "/_fault/silent?ms=x").await.status(), 400);
}

#[tokio::test]
async fn status() {
    let upstream = Upstream::start().await;
    for response in
        [by_path(&upstream, "/v1/_fault/status/429").await, by_model(&upstream, "status:429", true).await]
    {
        assert_eq!(response.status().as_u16(), 429);
        assert_eq!(response.headers()["retry-after"], "7");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "rate_limit_exceeded");
    }
    let body = json!({"model": "m+fault=status:529", "max_tokens": 1, "messages": []});
    let overloaded: Value = upstream.anthropic(&body).await.json().await.unwrap();
    assert_eq!(overloaded["error"]["type"], "overloaded_error");
    assert_eq!(by_path(&upstream, "/_fault/nothing").await.status(), 404);
}

#[tokio::test]
async fn platform() {
    let upstream = Upstream::start().await;
    for response in
        [by_path(&upstream, "/v1/_fault/platform/522").await, by_model(&upstream, "platform:522", true).await]
    {
        assert_eq!(response.status().as_u16(), 522);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
        assert_eq!(response.text().await.unwrap(), "error code: 522");
    }
    assert_eq!(by_path(&upstream, "/_fault/platform/200").await.status(), 400);
}

#[tokio::test]
async fn headers() {
    let upstream = Upstream::start().await;
    for response in [
        by_path(&upstream, "/_fault/headers").await,
        by_model(&upstream, "headers", false).await,
        by_model(&upstream, "headers", true).await,
    ] {
        assert_eq!(response.status().as_u16(), 200);
        let headers = response.headers();
        assert_eq!(headers.get_all("set-cookie").iter().count(), 2);
        assert_eq!(headers["connection"], "x-hop");
        assert_eq!(headers["x-hop"], "1");
        assert_eq!(headers["openai-organization"], "org-x");
        assert_eq!(headers["x-ratelimit-remaining-requests"], "9");
        assert_eq!(headers["openai-processing-ms"], "3");
        assert!(headers.contains_key("keep-alive") && headers.contains_key("proxy-authenticate"));
    }
}

#[tokio::test]
async fn cut() {
    let upstream = Upstream::start().await;
    for (mut response, events) in [
        (by_path(&upstream, "/_fault/cut").await, 4),
        (by_model(&upstream, "cut", true).await, 4),
        (by_model(&upstream, "cut", false).await, 0),
    ] {
        let mut received = Vec::new();
        let ended = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(ended.is_err(), "a cut is no end");
        let received = String::from_utf8(received).unwrap();
        assert!(!received.is_empty());
        assert_eq!(received.matches("data: {").count(), events);
        assert!(!received.contains("[DONE]"));
    }
    assert_eq!(upstream.log().await.pop().unwrap()["outcome"], "complete");
}
