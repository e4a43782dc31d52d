//! An upstream whose `Content-Length` says less than it sends, or more.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::dialect::ends_in_error;
use latchkey_tests::edge::shared;
use shared::event::{Completion, Event};
use shared::provider::Api;

const DOCUMENT: &str = r#"{"model":"m","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
const STREAM: &str = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n\
                      data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n\
                      data: [DONE]\n\n";
/// What must never be taken for the answer to another request.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 8\r\n\r\nsmuggled";

fn answer(content_type: &str, length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// What a client gets of an upstream that answers so, if it is whole, and the event.
async fn ask(answer: &str) -> (Option<Vec<u8>>, Event) {
    let edge = shared();
    let (request, is_so) = edge.answered_with(answer);
    let body = async { request.send().await?.bytes().await };
    let body = body.await.ok().map(Vec::from);
    (body, edge.events.only(is_so).await)
}

#[tokio::test]
async fn what_exceeds_the_length_is_no_part_of_any_answer() {
    for _ in 0..5 {
        for (content_type, body) in [("application/json", DOCUMENT), ("text/event-stream", STREAM)] {
            let (got, event) = ask(&answer(content_type, body.len(), &format!("{body}{SMUGGLED}"))).await;
            assert_eq!(got.as_deref(), Some(body.as_bytes()));
            assert_eq!((event.completion, event.error_code), (Completion::Complete, None));
        }
    }
}

#[tokio::test]
async fn an_answer_that_its_length_cuts_short_is_none() {
    let half = DOCUMENT.len() / 2;
    let (got, event) = ask(&answer("application/json", half, DOCUMENT)).await;
    assert_eq!((got, event.completion), (None, Completion::Truncated));
    assert_eq!(event.error_code.as_deref(), Some("upstream_error"));

    let first = STREAM.find("\n\n").unwrap() + 2;
    for length in [first, first + 20] {
        let (got, event) = ask(&answer("text/event-stream", length, STREAM)).await;
        let got = got.unwrap();
        assert!(ends_in_error(&got), "{}", String::from_utf8_lossy(&got));
        assert_eq!(event.completion, Completion::Truncated);
        assert_eq!(event.error_code.as_deref(), Some("upstream_error"));
    }
}

/// What came is a whole document, but not what was promised.
#[tokio::test]
async fn an_answer_that_stalls_before_its_length_is_none() {
    let (got, event) = ask(&answer("application/json", DOCUMENT.len() + 50, DOCUMENT)).await;
    assert_eq!((got, event.completion), (None, Completion::Truncated));
    assert_eq!(event.error_code.as_deref(), Some("upstream_timeout"));
    assert_eq!(event.usage.output_tokens, Some(2));
}

/// Nor does it keep the client waiting.
#[tokio::test]
async fn a_platforms_status_without_its_body_is_an_error_of_the_upstream() {
    let edge = shared();
    for body in ["", "{\"error\":"] {
        let answer = format!("HTTP/1.1 522 Unknown\r\ncontent-length: 100\r\n\r\n{body}");
        let request = edge.post("/raw/v1/chat/completions").bearer_auth(&edge.tokens.valid);
        let reply = send(request.body(answer)).await;
        reply.assert_refused(502, "upstream_error", Api::OpenAi);
    }
}
