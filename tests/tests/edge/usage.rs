//! How the usage of a stream is learned whose client did not ask for it.

use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::{EdgeStack, chat_body};
use serde_json::{Value, json};
use shared::event::{Completion, Event, UsageSource};
use shared::provider::Timeouts;
use shared::snapshot::config::StreamUsage;

const CHAT: &str = "/openai/v1/chat/completions";

async fn start(stream_usage: StreamUsage) -> EdgeStack {
    EdgeStack::timed(Timeouts::default(), stream_usage).await
}

async fn ask(edge: &EdgeStack, body: serde_json::Value) -> (Reply, Event) {
    let reply = send(edge.post(CHAT).bearer_auth(&edge.token).json(&body)).await;
    reply.assert_ok();
    let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
    assert_eq!(event.completion, Completion::Complete);
    assert_eq!(event.bytes_out, reply.body.len() as u64);
    assert_eq!(event.model.as_deref(), Some("gpt-example"));
    (reply, event)
}

fn tells_usage(reply: &Reply) -> bool {
    reply.text().contains("prompt_tokens")
}

#[tokio::test]
async fn the_edge_asks_and_the_client_gets_the_chunk_unless_it_is_taken_out() {
    let body = || chat_body("gpt-example+chunks=40,pace=1", true);
    for (stream_usage, is_told) in [(StreamUsage::Ask, true), (StreamUsage::AskAndStrip, false)] {
        let edge = start(stream_usage).await;
        let (reply, event) = ask(&edge, body()).await;
        assert_eq!(tells_usage(&reply), is_told, "{stream_usage:?}");
        assert!(reply.text().trim_end().ends_with("data: [DONE]"));
        assert_eq!(event.usage_source, UsageSource::Reported);
        assert_eq!(event.usage.output_tokens, Some(40), "{stream_usage:?}");
        assert_eq!(event.text_bytes_out, Some(words(&reply)), "{stream_usage:?}");
        assert_eq!(event.bytes_in, body().to_string().len() as u64);
    }
}

#[tokio::test]
async fn where_it_is_left_alone_nothing_is_asked() {
    let edge = start(StreamUsage::Leave).await;
    let (reply, event) = ask(&edge, chat_body("gpt-example+chunks=5", true)).await;
    assert!(!tells_usage(&reply));
    assert_eq!((event.usage_source, event.usage.output_tokens), (UsageSource::None, None));
    assert_eq!(event.text_bytes_out, Some(words(&reply)));
}

/// Bytes of the answer's text.
fn words(reply: &Reply) -> u64 {
    let text = reply.text();
    let frames = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let frames = frames.map(|rest| serde_json::from_str::<Value>(&format!("{{{rest}")).unwrap());
    frames
        .map(|frame| frame["choices"][0]["delta"]["content"].as_str().unwrap_or_default().len() as u64)
        .sum()
}

#[tokio::test]
async fn a_client_that_asks_itself_gets_what_it_asked_for() {
    let edge = start(StreamUsage::AskAndStrip).await;
    let mut body = chat_body("gpt-example+chunks=5", true);
    body["stream_options"] = json!({"include_usage": true});
    let (reply, event) = ask(&edge, body).await;
    assert!(tells_usage(&reply));
    assert_eq!(event.usage.output_tokens, Some(5));
}

#[tokio::test]
async fn a_plain_answer_tells_by_itself() {
    let edge = start(StreamUsage::Ask).await;
    let (_, event) = ask(&edge, chat_body("gpt-example+chunks=7", false)).await;
    assert_eq!(event.model_requested.as_deref(), Some("gpt-example+chunks=7"));
    assert_eq!((event.usage_source, event.usage.output_tokens), (UsageSource::Reported, Some(7)));
}
