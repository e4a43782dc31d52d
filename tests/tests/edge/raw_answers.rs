//! An upstream whose answers no server library would send, and what becomes of
//! those that nobody reads.

use latchkey_tests::edge::raw::read_reply;
use latchkey_tests::edge::{EdgeStack, shared};
use shared::event::{Completion, Event, Outcome};
use shared::provider::{Api, Timeouts};
use shared::snapshot::config::StreamUsage;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PIECE: usize = 50_000;

/// Status, body if there is one that is whole, and the event.
async fn ask(answer: &str) -> (u16, Option<String>, Event) {
    let edge = shared();
    let (request, is_so) = edge.answered_with(answer);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.text().await.ok();
    (status, body, edge.events.only(is_so).await)
}

fn attempts(event: &Event) -> Vec<(Outcome, Option<u16>)> {
    event.attempts.iter().map(|attempt| (attempt.outcome, attempt.status)).collect()
}

#[tokio::test]
async fn a_status_that_there_is_not_is_an_error_of_the_upstream() {
    for status in [600, 999] {
        let answer = format!(
            "HTTP/1.1 {status} Odd\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let (got, _, event) = ask(&answer).await;
        assert_eq!((got, event.status, event.completion), (502, 502, Completion::Refused));
        assert_eq!(event.error_code.as_deref(), Some("upstream_error"));
        assert_eq!(attempts(&event), [(Outcome::Answered, None)]);
    }
}

#[tokio::test]
async fn names_that_are_none_do_not_spoil_an_answer() {
    let edge = shared();
    for nominated in ["close, a b", "x-hop,", ",", "keep-alive, \u{7f}"] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nconnection: {nominated}\r\nx-hop: 1\r\ncontent-type: application/json\r\n\
             content-length: 2\r\n\r\n{{}}"
        );
        let (request, is_so) = edge.answered_with(&answer);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers().contains_key("x-hop"), !nominated.contains("x-hop"), "{nominated}");
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (200, "{}"));
        let event = edge.events.only(is_so).await;
        assert_eq!((event.status, event.completion, event.bytes_out), (200, Completion::Complete, 2));
    }
}

#[tokio::test]
async fn a_status_without_a_body_has_none() {
    let (got, body, event) = ask("HTTP/1.1 205 Reset\r\ncontent-length: 2\r\n\r\n{}").await;
    assert_eq!((got, body.as_deref()), (205, Some("")));
    assert_eq!((event.status, event.completion, event.bytes_out), (205, Completion::Complete, 0));
}

/// It answered, and told nothing: one attempt, which ran out of time.
#[tokio::test]
async fn headers_alone_are_no_answer() {
    let (got, body, event) =
        ask("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n").await;
    assert_eq!((got, event.status, event.completion), (504, 504, Completion::Refused));
    assert_eq!(event.error_code.as_deref(), Some("upstream_timeout"));
    assert!(body.unwrap().contains("began to answer"));
    assert_eq!(attempts(&event), [(Outcome::TimedOut, Some(200))]);
}

fn sound(length: usize) -> String {
    let sound = "s".repeat(PIECE);
    format!("HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ncontent-length: {length}\r\n\r\n{sound}")
}

#[tokio::test]
async fn what_nobody_reads_is_counted_and_may_not_stall() {
    let (got, body, event) = ask(&sound(PIECE)).await;
    assert_eq!((got, body.unwrap().len()), (200, PIECE));
    assert_eq!((event.completion, event.bytes_out), (Completion::Complete, PIECE as u64));
    for length in [60_000, 1_000_000] {
        let (got, body, event) = ask(&sound(length)).await;
        assert_eq!((got, body), (200, None));
        assert_eq!((event.completion, event.bytes_out), (Completion::Truncated, PIECE as u64));
        assert_eq!(event.error_code.as_deref(), Some("upstream_timeout"));
    }
}

/// Reset, not merely closed: a runtime takes a connection that is closed for half open.
#[tokio::test]
async fn what_nobody_reads_is_counted_until_the_client_leaves() {
    let edge = shared();
    let answer = sound(1_000_000);
    let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
    let request = format!(
        "POST /raw/v1/chat/completions HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{answer}",
        edge.tokens.valid,
        answer.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut got = vec![0; PIECE];
    connection.read_exact(&mut got).await.unwrap();
    connection.set_zero_linger().unwrap();
    drop(connection);
    let event = edge.events.only(|event| event.bytes_in == answer.len() as u64).await;
    assert_eq!((event.completion, event.error_code.as_deref()), (Completion::Aborted, None));
    assert_eq!((event.status, event.bytes_out), (200, PIECE as u64));
}

/// The time of the whole request is the client's too.
#[tokio::test]
async fn a_client_that_does_not_finish_its_request_is_given_up() {
    let timeouts = Timeouts { first_byte_ms: 500, idle_ms: 500, total_ms: 1_500 };
    let edge = EdgeStack::timed(timeouts, StreamUsage::Ask).await;
    for (kind, path, length) in [
        ("application/json", "chat/completions", 1_001),
        ("audio/wav", "audio/transcriptions", 1_002),
        ("audio/wav", "audio/transcriptions", 1_000_003),
    ] {
        let began = Instant::now();
        let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
        let head = format!(
            "POST /openai/v1/{path} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{}",
            edge.token,
            " ".repeat(500)
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        let reply = read_reply(&mut connection).await;
        reply.assert_refused(504, "upstream_timeout", Api::OpenAi);
        assert!(began.elapsed() >= Duration::from_millis(1_500), "{:?}", began.elapsed());
        let event = edge.events.only(|event| event.bytes_in == length).await;
        assert_eq!((event.status, event.completion), (504, Completion::Refused), "{kind} {length}");
        assert_eq!(attempts(&event), [(Outcome::TimedOut, None)]);
    }
}
