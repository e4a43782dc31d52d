//! A client that leaves takes its request with it.

use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{EdgeStack, shared, until};
use shared::event::{Completion, Event, Outcome};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// What the event says was answered to nobody.
const CLIENT_LEFT: u16 = 499;
const PROMPT: Duration = Duration::from_secs(2);

/// How long it took until the upstream saw the client go.
async fn noticed(edge: &EdgeStack, trace: &str) -> Duration {
    let left = Instant::now();
    edge.upstream.ended(trace, "client_gone").await;
    left.elapsed()
}

#[tokio::test]
async fn one_that_leaves_mid_stream_cancels_the_upstream() {
    let edge = shared();
    let trace = trace();
    let body = latchkey_tests::edge::chat_body("gpt-example+chunks=1000,pace=50", true);
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
    let mut response = request.header(TRACE, &trace).send().await.unwrap();
    let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
    let mut read = 0;
    for _ in 0..3 {
        read += response.chunk().await.unwrap().unwrap().len() as u64;
    }
    drop(response);
    let took = noticed(&edge, &trace).await;
    assert!(took < PROMPT, "{took:?}");
    let event = edge.events.of(&id).await;
    assert_eq!((event.status, event.completion, event.error_code), (200, Completion::Aborted, None));
    assert!((read..read + 10_000).contains(&event.bytes_out), "{read} {}", event.bytes_out);
    // What of it was text, so that it can be estimated.
    let text = event.text_bytes_out.unwrap();
    assert!((4..event.bytes_out / 10).contains(&text), "{text} {}", event.bytes_out);
}

/// Reset, not merely closed: workerd takes a connection that its client closed
/// for half open, and learns otherwise only when it writes the answer.
#[tokio::test]
async fn one_that_leaves_before_the_answer_cancels_the_upstream() {
    let edge = shared();
    let trace = trace();
    let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
    let request = format!(
        "GET /openai/_fault/silent?ms=20000 HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n{TRACE}: {trace}\r\n\r\n",
        edge.tokens.valid
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    edge.upstream.only(&trace).await;
    connection.set_zero_linger().unwrap();
    drop(connection);
    let took = noticed(&edge, &trace).await;
    assert!(took < PROMPT, "{took:?}");
    let is_its =
        |event: &Event| event.completion == Completion::Aborted && event.endpoint == "/_fault/silent";
    let event = edge.events.only(is_its).await;
    assert_eq!((event.status, event.attempts.len()), (CLIENT_LEFT, 1));
    assert_eq!((event.attempts[0].outcome, event.attempts[0].status), (Outcome::Abandoned, None));
    assert!(event.first_byte_at.is_none());
}

#[tokio::test]
async fn one_that_leaves_at_the_end_was_answered() {
    let edge = shared();
    let body = latchkey_tests::edge::chat_body("gpt-example+chunks=20,pace=0", true);
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
    let mut response = request.send().await.unwrap();
    let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
    let mut text = String::new();
    while !text.contains("[DONE]") {
        text.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    drop(response);
    let event = edge.events.of(&id).await;
    assert_eq!((event.completion, event.bytes_out), (Completion::Complete, text.len() as u64));
}

#[tokio::test]
async fn one_that_leaves_mid_body_cancels_the_upstream() {
    let edge = shared();
    let trace = trace();
    let body = latchkey_tests::edge::chat_body("gpt-example+chunks=1000,trickle=20,pace=50", false);
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
    let mut response = request.header(TRACE, &trace).send().await.unwrap();
    let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
    let read = response.chunk().await.unwrap().unwrap().len() as u64;
    drop(response);
    let took = noticed(&edge, &trace).await;
    assert!(took < PROMPT, "{took:?}");
    let event = edge.events.of(&id).await;
    assert_eq!((event.status, event.completion, event.error_code), (200, Completion::Aborted, None));
    assert!((read..read + 10_000).contains(&event.bytes_out), "{read} {}", event.bytes_out);
}

/// Whether it had said how much it would send, or not.
#[tokio::test]
async fn one_that_leaves_mid_upload_cancels_the_upstream() {
    let edge = EdgeStack::start(60_000).await;
    for length in [None, Some(1_000_000)] {
        let trace = trace();
        let pieces = futures_util::stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::convert::Infallible>(vec![7_u8; 1_000]), ()))
        });
        let mut request =
            edge.post("/openai/v1/audio/transcriptions").bearer_auth(&edge.token).header(TRACE, &trace);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let mut waiting = Box::pin(request.body(reqwest::Body::wrap_stream(Box::pin(pieces))).send());
        until("the upload has begun", async || {
            let _ = tokio::time::timeout(Duration::from_millis(100), &mut waiting).await;
            let seen = edge.upstream.seen(&trace).await;
            seen.first().is_some_and(|entry| entry["body_bytes"].as_u64() > Some(0))
        })
        .await;
        drop(waiting);
        let left = Instant::now();
        // What had come was not all: the upstream must not take it for a whole body.
        until("the upstream sees the upload end", async || {
            edge.upstream.only(&trace).await["outcome"] != "in_progress"
        })
        .await;
        let entry = edge.upstream.only(&trace).await;
        assert!(entry["status"] != 200, "the upstream took half an upload for a whole one: {entry}");
        assert!(left.elapsed() < PROMPT, "{:?}", left.elapsed());
        // What it said that it would send, else what came.
        let is_so = |event: &Event| match length {
            Some(length) => event.bytes_in == length,
            None => (1_000..500_000).contains(&event.bytes_in),
        };
        let event = edge.events.only(is_so).await;
        assert_eq!((event.status, event.completion), (CLIENT_LEFT, Completion::Aborted));
        assert_eq!((event.error_code, event.first_byte_at), (None, None));
        assert_eq!((event.attempts[0].outcome, event.attempts[0].status), (Outcome::Abandoned, None));
    }
}

/// It closes its connection as if all were said.
#[tokio::test]
async fn one_that_leaves_in_a_small_body_is_not_the_upstreams_failure() {
    let edge = EdgeStack::start(60_000).await;
    for (kind, path, length) in [
        ("application/json", "chat/completions", 1_001),
        ("application/json", "chat/completions", 1_000_002),
        ("audio/wav", "audio/transcriptions", 1_003),
        ("audio/wav", "audio/transcriptions", 1_000_004),
    ] {
        let trace = trace();
        let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
        let half = format!(
            "POST /openai/v1/{path} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n{TRACE}: {trace}\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{}",
            edge.token,
            " ".repeat(500)
        );
        connection.write_all(half.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        connection.shutdown().await.unwrap();
        drop(connection);
        let event = edge.events.only(|event| event.bytes_in == length).await;
        assert_eq!((event.status, event.completion), (CLIENT_LEFT, Completion::Aborted), "{kind} {length}");
        assert_eq!((event.error_code.as_deref(), event.attempts.len()), (None, 1));
        assert_eq!(event.attempts[0].outcome, Outcome::Abandoned);
        let seen = edge.upstream.seen(&trace).await;
        assert!(seen.iter().all(|entry| entry["status"] != 200), "{seen:?}");
    }
}
