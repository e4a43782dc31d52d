//! Answers that are not as they should be, for each provider, by the model's options.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use crate::harness::{PROVIDERS, Upstream, content_type, joined};

async fn ask(upstream: &Upstream, provider: &str, options: &str, stream: bool) -> Response {
    let model = format!("m+chunks=6,{options}");
    upstream.ask(provider, &model, &[("user", "hi there")], stream).await
}

/// What came, and whether the connection ended as it should.
async fn received(mut response: Response) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

/// The words that came in a stream, whatever else did.
fn words(body: &[u8]) -> usize {
    let body = String::from_utf8_lossy(body).replace("\r\n", "\n");
    let data = body.split('\n').filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.filter_map(|data| serde_json::from_str(data).ok()).collect();
    let pointers =
        ["/choices/0/delta/content", "/delta", "/delta/text", "/candidates/0/content/parts/0/text"];
    let text: String = pointers.iter().map(|pointer| joined(&events, pointer)).collect();
    text.split_whitespace().count()
}

#[tokio::test]
async fn cut_stalled_or_ended_after_so_many_words() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        for count in [0, 2] {
            let (body, is_clean) =
                received(ask(&upstream, provider, &format!("fault=cut:{count}"), true).await).await;
            assert_eq!((words(&body), is_clean), (count, false), "{provider}");
            let (body, is_clean) =
                received(ask(&upstream, provider, &format!("fault=end:{count}"), true).await).await;
            assert_eq!((words(&body), is_clean), (count, true), "{provider}");
        }
        let response = ask(&upstream, provider, "fault=stall:2", true).await;
        let stalled = tokio::time::timeout(Duration::from_millis(100), received(response)).await;
        assert!(stalled.is_err(), "{provider}");
        upstream.newest_with_outcome("client_gone").await;
        for fault in ["cut", "end", "malformed"] {
            let (body, is_clean) =
                received(ask(&upstream, provider, &format!("fault={fault}"), false).await).await;
            assert!(serde_json::from_slice::<Value>(&body).is_err(), "{provider}");
            assert_eq!(is_clean, fault != "cut", "{provider}");
        }
    }
}

#[tokio::test]
async fn malformed_and_giant_frames() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        let (body, is_clean) = received(ask(&upstream, provider, "fault=malformed:2", true).await).await;
        assert!(is_clean && String::from_utf8(body.clone()).is_err(), "{provider}");
        assert_eq!(words(&body), 6, "{provider}");
        for stream in [true, false] {
            let (body, is_clean) = received(ask(&upstream, provider, "fault=giant", stream).await).await;
            assert!(is_clean && body.len() > 10_000_000, "{provider}");
        }
    }
}

#[tokio::test]
async fn no_end() {
    let upstream = Upstream::start().await;
    let ends = ["[DONE]", "response.completed", "message_stop", "finishReason"];
    for (provider, end) in PROVIDERS.into_iter().zip(ends) {
        let whole = ask(&upstream, provider, "pace=0", true).await.text().await.unwrap();
        assert!(whole.contains(end), "{provider}");
        let body = ask(&upstream, provider, "end=none", true).await.text().await.unwrap();
        assert!(!body.contains(end) && words(body.as_bytes()) == 6, "{provider}");
    }
}

#[tokio::test]
async fn what_was_told_of_usage_is_recorded() {
    let upstream = Upstream::start().await;
    let told = async || {
        let newest = upstream.log().await.pop().unwrap();
        (newest["input_tokens"].as_u64(), newest["output_tokens"].as_u64())
    };
    for provider in PROVIDERS {
        for stream in [true, false] {
            let whole = ask(&upstream, provider, "pace=0", stream).await.text().await.unwrap();
            assert!(whole.contains("oken"), "{provider}");
            assert_eq!(told().await, (Some(2), Some(6)), "{provider}");
            let body = ask(&upstream, provider, "usage=none", stream).await.text().await.unwrap();
            let names = ["prompt_tokens", "input_tokens", "promptTokenCount"];
            assert!(!names.iter().any(|name| body.contains(name)), "{provider} {body}");
            assert_eq!(told().await, (None, None), "{provider}");
        }
        received(ask(&upstream, provider, "fault=cut:2", true).await).await;
        let expected = match provider {
            "anthropic" => (Some(2), None),
            "gemini" => (Some(2), Some(2)),
            _ => (None, None),
        };
        assert_eq!(told().await, expected, "{provider}");
    }
    let body = ask(&upstream, "chat", "usage=every", true).await.text().await.unwrap();
    assert_eq!(body.matches("\"prompt_tokens\":2,").count(), 8);
    assert_eq!(told().await, (Some(2), Some(6)));
    let body = json!({"model": "m+chunks=6", "stream": true, "messages": []});
    upstream.openai("/v1/chat/completions", &body).await.bytes().await.unwrap();
    assert_eq!(told().await, (None, None), "nobody asked");
    upstream
        .openai("/v1/embeddings", &json!({"model": "m", "input": "one two"}))
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(told().await, (Some(2), None));
    upstream.get("/v1/models").bearer_auth("k").send().await.unwrap();
    assert_eq!(told().await, (None, None));
}

#[tokio::test]
async fn trickle() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        for stream in [true, false] {
            let whole = ask(&upstream, provider, "pace=0", stream).await.bytes().await.unwrap();
            let slow = ask(&upstream, provider, "pace=0,trickle=7", stream).await.bytes().await.unwrap();
            assert_eq!(whole, slow, "{provider}");
            let sent = upstream.log().await.pop().unwrap()["chunks_sent"].as_u64().unwrap();
            assert!(sent >= whole.len() as u64 / 7, "{provider}");
        }
    }
}

#[tokio::test]
async fn wrong_headers() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        for stream in [true, false] {
            let response = ask(&upstream, provider, "fault=length", stream).await;
            let length: usize = response.headers()["content-length"].to_str().unwrap().parse().unwrap();
            let (body, is_clean) = received(response).await;
            assert!(length > body.len() && !body.is_empty() && !is_clean, "{provider}");

            let response = ask(&upstream, provider, "fault=type", stream).await;
            assert_eq!(content_type(&response), if stream { "application/json" } else { "text/plain" });
            assert!(received(response).await.1);

            let response = ask(&upstream, provider, "fault=gzip", stream).await;
            assert_eq!(response.headers()["content-encoding"], "gzip");
            let (body, is_clean) = received(response).await;
            assert!(is_clean && body.starts_with(&[0x1f, 0x8b]), "{provider}");
        }
    }
}

#[tokio::test]
async fn an_error_after_200() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        let response = ask(&upstream, provider, "fault=error", true).await;
        assert_eq!(response.status(), 200);
        let (body, is_clean) = received(response).await;
        let body = String::from_utf8(body).unwrap();
        let error = body.trim().split("data: ").last().unwrap();
        let error: Value = serde_json::from_str(error).unwrap();
        assert!(is_clean && error["error"]["message"].is_string(), "{provider}");
        assert_eq!(body.starts_with("event: error\n"), provider == "anthropic");
        let error: Value = ask(&upstream, provider, "fault=error", false).await.json().await.unwrap();
        assert!(error["error"]["message"].is_string(), "{provider}");
    }
    let array = "/v1beta/models/m+fault=error:streamGenerateContent";
    let body = json!({"contents": []});
    let errors: Value = upstream.gemini(array, &body).await.json().await.unwrap();
    assert!(errors[0]["error"]["code"].is_number());
}
