//! Bodies of projects that have them captured.

use futures_util::future::join_all;
use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::{EdgeStack, chat_body, shared};
use latchkey_tests::events::Side;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shared::event::{Bodies, Completion, Event, MAX_BODIES_LEN};
use shared::snapshot::config::{Capture, StreamUsage};

const CHAT: &str = "/openai/v1/chat/completions";
const UPLOAD: &str = "/openai/v1/audio/transcriptions";
const MAIL: &str = r"[a-z0-9.]+@[a-z0-9.]+";
/// The edge's own bound; a queue takes 128,000 bytes.
const LONGEST_MESSAGE: usize = 100_000;

async fn start(stream_usage: StreamUsage, patterns: &[&str]) -> EdgeStack {
    let stack = EdgeStack::empty(60_000).await;
    let mut manifest = stack.manifest(1);
    let redact = patterns.iter().map(ToString::to_string).collect();
    manifest.delta.projects[0].capture = Some(Capture { redact });
    manifest.delta.projects[0].stream_usage = stream_usage;
    stack.publish(&manifest);
    stack
}

async fn ask(edge: &EdgeStack, request: RequestBuilder) -> (Reply, Event) {
    let reply = send(request.bearer_auth(&edge.token)).await;
    reply.assert_ok();
    let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
    (reply, event)
}

async fn chat(edge: &EdgeStack, body: &Value) -> (Reply, Event) {
    ask(edge, edge.post(CHAT).json(body)).await
}

fn saying(model: &str, text: &str, is_streamed: bool) -> Value {
    let mut body = chat_body(model, is_streamed);
    body["messages"][0]["content"] = json!(text);
    body
}

fn written_len(bodies: &Bodies) -> usize {
    [&bodies.request_body, &bodies.response_body]
        .into_iter()
        .flatten()
        .map(|body| serde_json::to_string(body).unwrap().len() - 2)
        .sum()
}

#[tokio::test]
async fn nothing_is_captured_unless_it_is_turned_on() {
    let edge = shared();
    let request = edge.post(CHAT).bearer_auth(&edge.tokens.valid).json(&chat_body("gpt-example", false));
    let reply = send(request).await;
    let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
    assert_eq!(event.bodies, Bodies::default());
}

#[tokio::test]
async fn both_bodies_are_captured_as_they_passed() {
    let edge = start(StreamUsage::Leave, &[]).await;
    for is_streamed in [false, true] {
        let body = saying("gpt-example+chunks=20,pace=1", "Schöne 🔑?", is_streamed);
        let (reply, event) = chat(&edge, &body).await;
        let Bodies { request_body, request_body_cut, response_body, response_body_cut } = event.bodies;
        assert_eq!((request_body, request_body_cut), (Some(body.to_string()), false));
        assert_eq!((response_body, response_body_cut), (Some(reply.text()), false));
    }
    // An answer whose request has no body, and is no JSON.
    let (reply, event) = ask(&edge, edge.get("/openai/v1/models")).await;
    assert_eq!((event.bodies.request_body, event.bodies.response_body), (None, Some(reply.text())));
}

#[tokio::test]
async fn what_the_client_does_not_get_is_not_captured_either() {
    let edge = start(StreamUsage::AskAndStrip, &[]).await;
    let body = saying("gpt-example+chunks=5", "x", true);
    let (reply, event) = chat(&edge, &body).await;
    assert!(event.usage.output_tokens.is_some() && !reply.text().contains("prompt_tokens"));
    // What the client asked, not what was asked for it.
    assert_eq!(event.bodies.request_body, Some(body.to_string()));
    assert_eq!(event.bodies.response_body, Some(reply.text()));
}

#[tokio::test]
async fn what_the_patterns_match_is_redacted_and_so_are_keys() {
    let edge = start(StreamUsage::Ask, &[MAIL, r"good \w+"]).await;
    for is_streamed in [false, true] {
        let text = "I say good morning to ada@example.com with sk-lk-abc123 in hand";
        let (reply, event) = chat(&edge, &saying("gpt-example", text, is_streamed)).await;
        // The client's is untouched; in a stream, each word is a frame.
        assert!(reply.text().contains("morning") && reply.text().contains("ada@example.com"));
        let Bodies { request_body, response_body, .. } = event.bodies;
        for body in [request_body.unwrap(), response_body.unwrap()] {
            assert!(body.contains("[redacted]") && body.contains("hand"), "{body}");
            for secret in ["good", "morning", "ada", "example.com", "abc123"] {
                assert!(!body.contains(secret), "{secret}: {body}");
            }
        }
    }
}

#[tokio::test]
async fn long_bodies_are_cut_and_the_client_gets_all_of_them() {
    let edge = start(StreamUsage::Ask, &[]).await;
    let long = "é🔑\n".repeat(100_000);
    for (model, text, is_streamed) in [
        ("gpt-example+chunks=2000,pace=0", "short", true),
        ("gpt-example+chunks=20000", "short", false),
        ("gpt-example+chunks=500,pace=0", long.as_str(), true),
        ("gpt-example+chunks=3", long.as_str(), false),
    ] {
        let body = saying(model, text, is_streamed);
        let (reply, event) = chat(&edge, &body).await;
        assert_eq!((event.completion, event.bytes_out), (Completion::Complete, reply.body.len() as u64));
        let written = written_len(&event.bodies);
        assert!((MAX_BODIES_LEN - 64..=MAX_BODIES_LEN).contains(&written), "{written}");
        let Bodies { request_body, request_body_cut, response_body, response_body_cut } = event.bodies;
        let (request, response) = (request_body.unwrap(), response_body.unwrap());
        assert!(body.to_string().starts_with(&request) && reply.text().starts_with(&response));
        assert_eq!((request_body_cut, response_body_cut), (text != "short", response != reply.text()));
    }
}

#[tokio::test]
async fn what_is_no_text_is_not_captured() {
    let edge = start(StreamUsage::Ask, &[]).await;
    let upload = |kind: &'static str| edge.post(UPLOAD).header("content-type", kind).body("{\"a\":1}");
    for kind in ["application/octet-stream", "multipart/form-data; boundary=x"] {
        let (reply, event) = ask(&edge, upload(kind)).await;
        assert_eq!(
            (event.bodies.request_body, event.bodies.response_body),
            (None, Some(reply.text())),
            "{kind}"
        );
    }
    let (_, event) = ask(&edge, upload("text/plain; charset=utf-8")).await;
    assert_eq!(event.bodies.request_body.as_deref(), Some("{\"a\":1}"));
    for (kind, body) in [("application/json", &b"\x1f\x8b\x08\0"[..]), ("text/plain", b"\xff\xfe\0")] {
        let (_, event) = ask(&edge, edge.post(UPLOAD).header("content-type", kind).body(body)).await;
        assert_eq!(event.bodies.request_body, None, "{kind}");
    }
}

/// More than a queue's message can hold, at one moment.
#[tokio::test]
async fn many_at_once_are_sent_in_messages_that_a_queue_takes() {
    let edge = start(StreamUsage::Ask, &[MAIL]).await;
    let long = "ada@example.com and more, ".repeat(2_000);
    let all =
        join_all((0..60).map(async |_| chat(&edge, &saying("gpt-example+chunks=400", &long, false)).await))
            .await;
    assert!(all.iter().all(|(_, event)| event.bodies.request_body_cut));
    let messages = edge.events.taken(Side::Queue);
    let longest = messages.iter().map(String::len).max();
    assert!(messages.len() >= 15 && longest <= Some(LONGEST_MESSAGE), "{} {longest:?}", messages.len());
    assert_eq!(edge.events.asked(Side::ControlPlane), 0);
}

#[tokio::test]
async fn an_answer_that_breaks_is_captured_as_far_as_it_came() {
    let edge = start(StreamUsage::Ask, &[]).await;
    let (reply, event) = chat(&edge, &saying("gpt-example+fault=cut:3", "x", true)).await;
    assert_eq!(event.completion, Completion::Truncated);
    assert!(reply.text().contains("upstream_error"));
    assert_eq!(event.bodies.response_body, Some(reply.text()));
    // And where there is none, what was asked.
    let body = saying("gpt-example+fault=redirect", "x", false);
    let refused = send(edge.post(CHAT).bearer_auth(&edge.token).json(&body)).await;
    let event = edge.events.of(refused.header("x-latchkey-request-id").unwrap()).await;
    assert_eq!(event.completion, Completion::Refused);
    let request_body = Some(body.to_string());
    assert_eq!(event.bodies, Bodies { request_body, ..Bodies::default() });
}
