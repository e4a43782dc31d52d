//! What goes wrong below, before and around an answer, by the model's options.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{PROVIDERS, Upstream, content_type};

const HI: [(&str, &str); 1] = [("user", "hi")];

#[tokio::test]
async fn reset_and_hangup() {
    let upstream = Upstream::start().await;
    let (received, ended) = upstream.raw_chat("m+fault=reset").await;
    assert_eq!((received.len(), ended.unwrap_err().kind()), (0, ErrorKind::ConnectionReset));
    let (received, ended) = upstream.raw_chat("m+fault=hangup").await;
    assert_eq!((received.len(), ended.unwrap()), (0, 0));
    let log = upstream.log().await;
    assert_eq!(log.len(), 2);
    for record in log {
        assert!(record["body_bytes"].as_u64().unwrap() > 0, "the request was read");
        assert_eq!((&record["status"], &record["outcome"]), (&Value::Null, &json!("complete")));
    }
    for provider in PROVIDERS {
        assert_eq!(upstream.ask(provider, "m+fault=reset,only=none", &HI, true).await.status(), 200);
    }
}

#[tokio::test]
async fn late() {
    let upstream = Upstream::start().await;
    for provider in PROVIDERS {
        for stream in [true, false] {
            let mut response = upstream.ask(provider, "m+fault=late:60000", &HI, stream).await;
            assert_eq!(response.status(), 200, "the headers are there");
            let first = tokio::time::timeout(Duration::from_millis(100), response.chunk()).await;
            assert!(first.is_err(), "{provider}: and nothing else");
            let late = upstream.ask(provider, "m+fault=late:1", &HI, stream).await.text().await.unwrap();
            let whole = upstream.ask(provider, "m", &HI, stream).await.text().await.unwrap();
            assert_eq!(late, whole, "{provider}");
        }
    }
}

#[tokio::test]
async fn page() {
    let upstream = Upstream::start().await;
    for code in [520, 521, 522, 523, 524, 525, 526, 530] {
        for provider in PROVIDERS {
            let response = upstream.ask(provider, &format!("m+fault=page:{code}"), &HI, true).await;
            assert_eq!(response.status().as_u16(), code);
            assert_eq!(content_type(&response), "text/html; charset=UTF-8");
            assert_eq!(response.headers()["server"], "cloudflare");
            let page = response.text().await.unwrap();
            let shown = if code == 530 { 1016 } else { code };
            assert!(page.starts_with("<!DOCTYPE html>") && page.len() > 3_000);
            assert!(page.contains(&format!("Error code {shown}")) && !page.contains("{code}"));
        }
    }
}

#[tokio::test]
async fn vast() {
    let upstream = Upstream::start().await;
    let (received, ended) = upstream.raw_chat("m+fault=vast").await;
    ended.unwrap();
    let received = String::from_utf8(received).unwrap();
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    assert_eq!(head.matches("\r\nx-vast-").count(), 100);
    assert!(head.len() > 100 << 10);
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["object"], "chat.completion");
    for provider in PROVIDERS {
        let response = upstream.ask(provider, "m+fault=vast:80", &HI, true).await;
        assert_eq!(response.headers()["x-vast-79"].len(), 1 << 10, "{provider}");
        assert!(!response.headers().contains_key("x-vast-80"));
    }
}

#[tokio::test]
async fn early() {
    let upstream = Upstream::start().await;
    for (early, lines) in [
        ("103", vec!["HTTP/1.1 103 Early Hints"]),
        ("102:2", vec!["HTTP/1.1 102 Processing"; 2]),
        ("100", vec!["HTTP/1.1 100 Continue"]),
    ] {
        let (received, ended) = upstream.raw_chat(&format!("m+fault=early:{early}")).await;
        ended.unwrap();
        let received = String::from_utf8(received).unwrap();
        let statuses: Vec<&str> = received.lines().filter(|line| line.starts_with("HTTP/1.1 ")).collect();
        assert_eq!(statuses, [lines, vec!["HTTP/1.1 200 OK"]].concat());
        assert!(received.ends_with('}'));
    }
    for provider in PROVIDERS {
        let body = upstream.ask(provider, "m+fault=early:103:3", &HI, true).await.text().await.unwrap();
        let whole = upstream.ask(provider, "m", &HI, true).await.text().await.unwrap();
        assert_eq!(body, whole, "{provider}");
    }
    let log = upstream.log().await;
    assert!(log.iter().all(|record| record["status"] == 200));
}
