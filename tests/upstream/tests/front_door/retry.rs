//! Faults that pass, that only some meet, and what is said of when to come again.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::harness::{PROVIDERS, Upstream};

const HI: [(&str, &str); 1] = [("user", "hi")];

async fn status(upstream: &Upstream, model: &str, key: &str) -> u16 {
    chat(upstream, model, key).await.unwrap().status().as_u16()
}

async fn chat(upstream: &Upstream, model: &str, key: &str) -> reqwest::Result<Response> {
    let body = json!({"model": model, "messages": []});
    upstream.post("/v1/chat/completions").bearer_auth(key).json(&body).send().await
}

async fn headers(upstream: &Upstream, provider: &str, model: &str) -> HeaderMap {
    upstream.ask(provider, model, &HI, false).await.headers().clone()
}

#[tokio::test]
async fn times_counts_each_model_and_credential() {
    let upstream = Upstream::start().await;
    let twice = "m+fault=status:503,times=2";
    for (model, key) in [(twice, "a"), (twice, "b"), ("n+fault=status:503,times=2", "a")] {
        for expected in [503, 503, 200, 200] {
            assert_eq!(status(&upstream, model, key).await, expected);
        }
    }
    upstream.client.delete(format!("{}/_control/requests", upstream.base)).send().await.unwrap();
    assert_eq!(status(&upstream, twice, "a").await, 503, "what is cleared begins anew");
}

#[tokio::test]
async fn times_holds_for_every_provider_and_for_what_is_in_the_words() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        for stream in [true, false] {
            let model = format!("{provider}-{stream}+fault=giant,times=1");
            let first = upstream.ask(provider, &model, &HI, stream).await.bytes().await.unwrap();
            let second = upstream.ask(provider, &model, &HI, stream).await.bytes().await.unwrap();
            assert!(first.len() > 10_000_000 && second.len() < 100_000, "{provider}");
        }
    }
    let body = json!({"model": "e+fault=status:500,times=1", "input": "hi"});
    assert_eq!(upstream.openai("/v1/embeddings", &body).await.status(), 500);
    assert_eq!(upstream.openai("/v1/embeddings", &body).await.status(), 200);
    let body = json!({"model": "c+fault=status:500,times=1", "prompt": "hi"});
    assert_eq!(upstream.openai("/v1/completions", &body).await.status(), 500);
    assert_eq!(upstream.openai("/v1/completions", &body).await.status(), 200);
}

#[tokio::test]
async fn only_a_credential_that_ends_so() {
    let upstream = Upstream::start().await;
    let model = "m+fault=status:401,only=-bad";
    assert_eq!(status(&upstream, model, "sk-bad").await, 401);
    assert_eq!(status(&upstream, model, "sk-bad-not").await, 200);
    let once = "m+fault=status:401,only=-bad,times=1";
    for (key, expected) in [("k", 200), ("k-bad", 401), ("k-bad", 200)] {
        assert_eq!(status(&upstream, once, key).await, expected);
    }
    let test = "m+fault=status:403,only=test";
    for provider in PROVIDERS {
        assert_eq!(upstream.ask(provider, test, &HI, true).await.status(), 403, "{provider}");
    }
}

#[tokio::test]
async fn after() {
    let upstream = Upstream::start().await;
    for (after, seconds, millis) in [
        ("", Some("7"), None),
        (",after=120", Some("120"), None),
        (",after=0", Some("0"), None),
        (",after=none", None, None),
        (",after=ms:250", None, Some("250")),
    ] {
        let headers = headers(&upstream, "chat", &format!("m+fault=status:429{after}")).await;
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((header("retry-after"), header("retry-after-ms")), (seconds, millis), "{after}");
    }
}

#[tokio::test]
async fn down_for_a_while_from_the_first_request_on() {
    let upstream = Upstream::start().await;
    for _ in 0..3 {
        assert!(chat(&upstream, "m+fault=down:60000", "k").await.is_err());
    }
    let model = "m+fault=down:200";
    let mut attempts = 0;
    while chat(&upstream, model, "k").await.is_err() {
        attempts += 1;
        assert!(attempts < 1_000, "it never comes up");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(attempts > 0, "it is down at first");
    assert_eq!(status(&upstream, model, "k").await, 200, "and it stays up");
    assert!(chat(&upstream, model, "other").await.is_err(), "each for itself");
    let log = upstream.log().await;
    assert_eq!((&log[0]["status"], &log[0]["outcome"]), (&json!(null), &json!("complete")));
}

#[tokio::test]
async fn limits() {
    let upstream = Upstream::start().await;
    for options in ["limit=50,remaining=2,reset=90250", "fault=status:429,limit=50,remaining=2,reset=90250"] {
        let model = format!("m+{options}");
        let openai = headers(&upstream, "chat", &model).await;
        for (name, value) in [
            ("x-ratelimit-limit-requests", "50"),
            ("x-ratelimit-remaining-requests", "2"),
            ("x-ratelimit-reset-requests", "1m30.25s"),
            ("x-ratelimit-limit-tokens", "50000"),
            ("x-ratelimit-remaining-tokens", "2000"),
            ("x-ratelimit-reset-tokens", "1m30.25s"),
        ] {
            assert_eq!(openai[name], value);
        }
        let anthropic = headers(&upstream, "anthropic", &model).await;
        for kind in ["requests", "tokens", "input-tokens", "output-tokens"] {
            let units = if kind == "requests" { "" } else { "000" };
            let header = |field| anthropic[format!("anthropic-ratelimit-{kind}-{field}")].to_str().unwrap();
            assert_eq!(header("limit"), format!("50{units}"));
            assert_eq!(header("remaining"), format!("2{units}"));
            let reset = header("reset");
            assert!(reset.len() == "2026-01-01T00:00:00Z".len() && reset.ends_with('Z'), "{reset}");
        }
        let gemini = headers(&upstream, "gemini", &model).await;
        assert!(gemini.keys().all(|name| !name.as_str().contains("ratelimit")));
    }
    let headers = headers(&upstream, "chat", "m+remaining=0").await;
    assert_eq!(headers["x-ratelimit-remaining-tokens"], "0");
    let chat = chat(&upstream, "m", "k").await.unwrap();
    assert!(!chat.headers().contains_key("x-ratelimit-limit-requests"), "nothing unless asked");
}

#[tokio::test]
async fn a_wrong_option_is_refused() {
    let upstream = Upstream::start().await;
    for model in ["m+tmies=2", "m+times=2", "m+only=k", "m+after=3", "m+fault=resett", "m+fault=page:502"] {
        let response = chat(&upstream, model, "k").await.unwrap();
        assert_eq!(response.status(), 400, "{model}");
    }
    let refused = chat(&upstream, "m+tmies=2", "k").await.unwrap().text().await.unwrap();
    assert!(refused.contains("unknown model option") && refused.contains("times="), "{refused}");
}
