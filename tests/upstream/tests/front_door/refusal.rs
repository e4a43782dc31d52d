//! Errors in each provider's own words.

use serde_json::{Value, json};

use crate::harness::{PROVIDERS, Upstream, events};

const HI: [(&str, &str); 1] = [("user", "hi")];

async fn refused(upstream: &Upstream, provider: &str, fault: &str, stream: bool) -> (u16, Value) {
    let response = upstream.ask(provider, &format!("m+fault={fault}"), &HI, stream).await;
    (response.status().as_u16(), response.json().await.unwrap())
}

/// What a client tells errors apart by.
fn kind(provider: &str, body: &Value) -> String {
    let error = &body["error"];
    match provider {
        "anthropic" => {
            assert_eq!(body["type"], "error");
            error["type"].as_str().unwrap().to_owned()
        }
        "gemini" => error["status"].as_str().unwrap().to_owned(),
        _ => error["code"].as_str().or_else(|| error["type"].as_str()).unwrap().to_owned(),
    }
}

#[tokio::test]
async fn statuses() {
    let upstream = Upstream::start().await;
    for (status, openai, anthropic, gemini) in [
        (408, "Timeout", "timeout_error", "DEADLINE_EXCEEDED"),
        (409, "invalid_request_error", "conflict_error", "ABORTED"),
        (429, "rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (500, "server_error", "api_error", "INTERNAL"),
        (503, "server_is_overloaded", "api_error", "UNAVAILABLE"),
        (529, "server_error", "overloaded_error", "UNAVAILABLE"),
    ] {
        for (provider, expected) in PROVIDERS.into_iter().zip([openai, openai, anthropic, gemini]) {
            let (code, body) = refused(&upstream, provider, &format!("status:{status}"), true).await;
            assert_eq!((code, kind(provider, &body)), (status, expected.to_owned()), "{provider}");
            let (code, body) = refused(&upstream, provider, &format!("error:{status}"), false).await;
            assert_eq!((code, kind(provider, &body)), (200, expected.to_owned()), "{provider}");
        }
    }
}

#[tokio::test]
async fn an_error_as_the_first_event() {
    let upstream = Upstream::start().await;
    for (fault, expected) in [("error", "api_error"), ("error:529", "overloaded_error")] {
        let response = upstream.ask("anthropic", &format!("m+fault={fault}"), &HI, true).await;
        assert_eq!(response.status(), 200);
        let events = events(&response.text().await.unwrap());
        assert_eq!((events.len(), kind("anthropic", &events[0])), (1, expected.to_owned()));
    }
}

#[tokio::test]
async fn context() {
    let upstream = Upstream::start().await;
    for (provider, expected, words) in [
        ("chat", "context_length_exceeded", "maximum context length is 128000 tokens"),
        ("anthropic", "invalid_request_error", "prompt is too long: 200251 tokens > 200000 maximum"),
        ("gemini", "INVALID_ARGUMENT", "exceeds the maximum number of tokens allowed"),
    ] {
        for stream in [true, false] {
            let (status, body) = refused(&upstream, provider, "context", stream).await;
            assert_eq!((status, kind(provider, &body)), (400, expected.to_owned()), "{provider}");
            assert!(body["error"]["message"].as_str().unwrap().contains(words), "{provider}");
        }
    }
}

#[tokio::test]
async fn filter() {
    let upstream = Upstream::start().await;
    for stream in [true, false] {
        let (status, body) = refused(&upstream, "chat", "filter", stream).await;
        assert_eq!((status, kind("chat", &body)), (400, "content_filter".to_owned()));
        assert_eq!(body["error"]["innererror"]["code"], "ResponsibleAIPolicyViolation");
        let (status, body) = refused(&upstream, "anthropic", "filter", stream).await;
        assert_eq!((status, kind("anthropic", &body)), (400, "invalid_request_error".to_owned()));
        assert_eq!(body["error"]["message"], "Output blocked by content filtering policy");
    }
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
    assert_eq!(refused(&upstream, "gemini", "filter", false).await, (200, blocked.clone()));
    let streamed = upstream.ask("gemini", "m+fault=filter", &HI, true).await.text().await.unwrap();
    assert_eq!(events(&streamed), [blocked]);
}

#[tokio::test]
async fn prefill() {
    let upstream = Upstream::start().await;
    let model = "m+fault=prefill";
    let prefilled = [("user", "hi"), ("assistant", "Hel")];
    let answered = [("user", "hi"), ("assistant", "Hello"), ("user", "again")];
    for provider in PROVIDERS {
        for stream in [true, false] {
            let response = upstream.ask(provider, model, &prefilled, stream).await;
            assert_eq!(response.status(), 400, "{provider}");
            let body: Value = response.json().await.unwrap();
            let words =
                if provider == "gemini" { "ends with a user role" } else { "assistant message prefill" };
            assert!(body["error"]["message"].as_str().unwrap().contains(words), "{provider}");
            assert_eq!(upstream.ask(provider, model, &answered, stream).await.status(), 200, "{provider}");
        }
    }
}
