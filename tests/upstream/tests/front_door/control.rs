use std::time::{Duration, Instant};

use reqwest::{Body, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::Upstream;

#[tokio::test]
async fn records_what_was_received() {
    let upstream = Upstream::start().await;
    let body = r#"{"model":"m+pace=1","messages":[]}"#;
    let request = upstream.post("/v1/chat/completions?a=%20b&c").bearer_auth("sk-test").body(body);
    let request = request.header("x-twice", "1").header("x-twice", "2");
    request.send().await.unwrap().bytes().await.unwrap();

    let log = upstream.log().await;
    assert_eq!(log.len(), 1, "reading the log is not recorded");
    assert_eq!(log[0]["seq"], 1);
    assert_eq!(log[0]["method"], "POST");
    assert_eq!(log[0]["path"], "/v1/chat/completions?a=%20b&c");
    assert_eq!(log[0]["headers"]["x-twice"], json!(["1", "2"]));
    assert_eq!(log[0]["credential"], "sk-test");
    assert_eq!(log[0]["model"], "m+pace=1");
    assert_eq!(log[0]["body_bytes"], body.len());
    assert_eq!(log[0]["body_sha256"], sha256(body.as_bytes()));
    assert_eq!(log[0]["status"], 200);
    assert_eq!(log[0]["outcome"], "complete");
    assert_eq!(log[0]["chunks_sent"], 1);
}

#[tokio::test]
async fn is_bounded_and_can_be_cleared() {
    let upstream = Upstream::start().await;
    for _ in 0..1_001 {
        upstream.get("/nothing").send().await.unwrap();
    }
    let log = upstream.log().await;
    assert_eq!((log.len(), &log[999]["seq"]), (1_000, &json!(1_001)));
    assert_eq!((&log[0]["status"], &log[0]["credential"]), (&json!(404), &Value::Null));
    assert_eq!(count(&upstream).await, 1_001);
    let cleared =
        upstream.client.delete(format!("{}/_control/requests", upstream.base)).send().await.unwrap();
    assert_eq!(cleared.status(), StatusCode::NO_CONTENT);
    assert_eq!(count(&upstream).await, 0);
    assert!(upstream.log().await.is_empty());
}

async fn count(upstream: &Upstream) -> u64 {
    let body: Value = upstream.get("/_control/requests/count").send().await.unwrap().json().await.unwrap();
    body["count"].as_u64().unwrap()
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_noticed() {
    let upstream = Upstream::start().await;
    // Between two chunks there is a minute: only the closed connection can tell.
    let body = json!({"model": "m+chunks=200,pace=60000", "stream": true, "messages": []});
    let mut response = upstream.openai("/v1/chat/completions", &body).await;
    response.chunk().await.unwrap().unwrap();
    let record = upstream.newest_with_outcome("in_progress").await;
    assert_eq!(record["status"], 200);
    drop(response);
    let record = upstream.newest_with_outcome("client_gone").await;
    assert_eq!(record["chunks_sent"], 2, "the head and the first word");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_noticed() {
    let upstream = Upstream::start().await;
    let request = upstream.get("/_fault/silent?ms=60000").timeout(Duration::from_millis(100));
    assert!(request.send().await.unwrap_err().is_timeout());
    let record = upstream.newest_with_outcome("client_gone").await;
    assert_eq!(record["status"], Value::Null);
}

#[tokio::test]
async fn a_stream_read_to_its_end_is_complete() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "m+chunks=200", "stream": true, "messages": []});
    upstream.openai("/v1/chat/completions", &body).await.bytes().await.unwrap();
    let log = upstream.log().await;
    assert_eq!(log[0]["outcome"], "complete");
    assert_eq!(log[0]["chunks_sent"], 203);
}

#[tokio::test]
async fn chunks_come_at_their_pace() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "m+chunks=11,pace=20", "stream": true, "messages": []});
    #[expect(clippy::disallowed_methods, reason = "the test measures time")]
    let start = Instant::now();
    upstream.openai("/v1/chat/completions", &body).await.bytes().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn an_upload_of_90_mb_comes_through() {
    const SIZE: usize = 90_000_000;
    let upstream = Upstream::start().await;
    let bytes: Vec<u8> = (0_u8..=250).cycle().take(SIZE).collect();
    let hash = sha256(&bytes);
    let request = upstream.post("/v1/audio/transcriptions").bearer_auth("k");
    let request = request.header("content-type", "multipart/form-data; boundary=b").body(Body::from(bytes));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!((&answer["bytes"], &answer["sha256"]), (&json!(SIZE), &json!(hash)));
    assert!(answer["text"].is_string());
    let log = upstream.log().await;
    assert_eq!((&log[0]["body_bytes"], &log[0]["body_sha256"]), (&json!(SIZE), &json!(hash)));
}

#[tokio::test]
async fn json_larger_than_the_usual_limits_is_read() {
    let upstream = Upstream::start().await;
    let text = "word ".repeat(1_000_000);
    let body = json!({"model": "m", "messages": [{"role": "user", "content": text}]});
    let answer: Value = upstream.openai("/v1/chat/completions", &body).await.json().await.unwrap();
    assert_eq!(answer["usage"]["prompt_tokens"], 1_000_000);
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
