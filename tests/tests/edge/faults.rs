//! What a client sees of an upstream that fails it, and what the event tells.

use latchkey_tests::edge::EdgeStack;
use latchkey_tests::edge::call::send;
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::fixture;
use shared::event::{Completion, Usage, UsageSource};
use shared::provider::Timeouts;
use shared::snapshot::config::StreamUsage;
use std::time::Duration;

/// What a client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    /// All of it, and its end.
    Whole,
    /// An error in the provider's own form at the end.
    ErrorFrame,
    /// That the connection broke.
    Broken,
    /// An answer of the edge's own.
    Refused(u16),
}

struct Case {
    options: &'static str,
    is_streamed: bool,
    saw: Saw,
    completion: Completion,
    code: Option<&'static str>,
    /// Whether the provider's own word on usage came through.
    is_usage_known: bool,
}

const fn case(
    options: &'static str,
    is_streamed: bool,
    saw: Saw,
    completion: Completion,
    code: Option<&'static str>,
    is_usage_known: bool,
) -> Case {
    Case { options, is_streamed, saw, completion, code, is_usage_known }
}

const STREAM: bool = true;
const PLAIN: bool = false;
const ERROR: Option<&str> = Some("upstream_error");
const TIMEOUT: Option<&str> = Some("upstream_timeout");

#[rustfmt::skip]
const CASES: [Case; 30] = {
    use Completion::{Complete, Refused, Truncated};
    [
        case("", STREAM, Saw::Whole, Complete, None, true),
        case("fault=cut:5", STREAM, Saw::ErrorFrame, Truncated, ERROR, false),
        case("fault=stall:5", STREAM, Saw::ErrorFrame, Truncated, TIMEOUT, false),
        case("fault=end:5", STREAM, Saw::ErrorFrame, Truncated, ERROR, false),
        // The frames after it are whole, its end too. Where they had passed by then, the error comes last.
        case("fault=malformed,pace=0", STREAM, Saw::ErrorFrame, Truncated, ERROR, true),
        case("fault=malformed:2,chunks=200,pace=20", STREAM, Saw::ErrorFrame, Truncated, ERROR, false),
        case("fault=giant", STREAM, Saw::Whole, Complete, None, true),
        case("fault=length", STREAM, Saw::Whole, Complete, None, true),
        case("fault=type", STREAM, Saw::Whole, Complete, None, true),
        case("fault=gzip", STREAM, Saw::Whole, Complete, None, true),
        case("fault=error", STREAM, Saw::ErrorFrame, Truncated, ERROR, false),
        case("end=none", STREAM, Saw::Whole, Complete, None, true),
        case("usage=none", STREAM, Saw::Whole, Complete, None, false),
        case("usage=every", STREAM, Saw::Whole, Complete, None, true),
        case("trickle=50,pace=1", STREAM, Saw::Whole, Complete, None, true),
        case("chunks=1000,pace=20", STREAM, Saw::ErrorFrame, Truncated, TIMEOUT, false),
        case("fault=silent:300", STREAM, Saw::Whole, Complete, None, true),
        case("fault=silent:5000", STREAM, Saw::Refused(504), Refused, TIMEOUT, false),
        case("", PLAIN, Saw::Whole, Complete, None, true),
        case("fault=cut", PLAIN, Saw::Broken, Truncated, ERROR, false),
        case("fault=stall", PLAIN, Saw::Broken, Truncated, TIMEOUT, false),
        case("fault=end", PLAIN, Saw::Broken, Truncated, ERROR, false),
        case("fault=malformed", PLAIN, Saw::Broken, Truncated, ERROR, false),
        case("fault=giant", PLAIN, Saw::Whole, Complete, None, true),
        case("fault=length", PLAIN, Saw::Broken, Truncated, ERROR, true),
        case("fault=type", PLAIN, Saw::Whole, Complete, None, true),
        case("fault=gzip", PLAIN, Saw::Whole, Complete, None, true),
        case("usage=none", PLAIN, Saw::Whole, Complete, None, false),
        case("trickle=3,pace=1", PLAIN, Saw::Whole, Complete, None, true),
        case("fault=silent:5000", PLAIN, Saw::Refused(504), Refused, TIMEOUT, false),
    ]
};

async fn start(stream_usage: StreamUsage) -> EdgeStack {
    start_with(stream_usage, Timeouts { first_byte_ms: 3_000, idle_ms: 700, total_ms: 4_000 }).await
}

async fn start_with(stream_usage: StreamUsage, timeouts: Timeouts) -> EdgeStack {
    let stack = EdgeStack::empty(60_000).await;
    let mut manifest = stack.manifest(1);
    manifest.delta.projects[0].stream_usage = stream_usage;
    let mut providers = stack.providers();
    for provider in &mut providers.providers {
        provider.timeouts = timeouts;
    }
    let timeless = fixture::manifest(1, Vec::new(), Vec::new(), providers);
    manifest.delta.providers = timeless.delta.providers;
    stack.publish(&manifest);
    stack
}

/// Sees what a client sees; also the id of the request.
async fn look(edge: &EdgeStack, case: &Case) -> (Saw, String) {
    let options = if case.options.is_empty() { "pace=0" } else { case.options };
    let request = edge.chat(&format!("gpt-example+{options}"), case.is_streamed);
    let response =
        tokio::time::timeout(Duration::from_secs(10), request.send()).await.expect("no answer").unwrap();
    let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    if response.headers().contains_key("x-latchkey-error") {
        return (Saw::Refused(status), id);
    }
    assert_eq!(status, 200);
    let body = tokio::time::timeout(Duration::from_secs(10), response.bytes()).await.expect("no end");
    let Ok(body) = body else { return (Saw::Broken, id) };
    let text = String::from_utf8_lossy(&body);
    let last = text.trim_end().rsplit("\n\n").next().unwrap();
    let is_error = last.contains("\"error\"");
    (if is_error { Saw::ErrorFrame } else { Saw::Whole }, id)
}

/// Longer than what is looked at.
#[tokio::test]
async fn a_stream_of_forty_megabytes_is_told_for_what_it_is() {
    let timeouts = Timeouts { first_byte_ms: 10_000, idle_ms: 10_000, total_ms: 120_000 };
    let edge = start_with(StreamUsage::Ask, timeouts).await;
    for (options, whole) in [("chunks=150000,pace=0", true), ("chunks=150000,pace=0,fault=cut:145000", false)]
    {
        let request = edge.chat(&format!("gpt-example+{options}"), STREAM);
        let mut response = request.send().await.unwrap();
        let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
        let mut passed = 0;
        let is_whole = loop {
            match response.chunk().await {
                Ok(Some(piece)) => passed += piece.len() as u64,
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let event = edge.events.of(&id).await;
        let completion = if whole { Completion::Complete } else { Completion::Truncated };
        assert_eq!((is_whole, event.completion), (whole, completion), "{options}: {passed} bytes, {event:?}");
        assert_eq!((event.usage, event.usage_source), (Usage::default(), UsageSource::None));
        assert_eq!(event.model.as_deref(), Some("gpt-example"));
        // Of what was looked at, and nothing of its form.
        assert!((100_000..2_000_000).contains(&event.text_bytes_out.unwrap()), "{event:?}");
        assert!(passed > 40_000_000, "{passed}");
    }
}

/// A look at a stream comes twice at least in the time that it may be silent.
#[tokio::test]
async fn a_stream_that_flows_is_not_taken_for_silent() {
    let timeouts = Timeouts { first_byte_ms: 3_000, idle_ms: 400, total_ms: 60_000 };
    let edge = start_with(StreamUsage::Ask, timeouts).await;
    let whole = case("chunks=150,pace=20", STREAM, Saw::Whole, Completion::Complete, None, true);
    assert_eq!(look(&edge, &whole).await.0, Saw::Whole);
}

#[tokio::test]
async fn each_fault_is_seen_for_what_it_is_and_told() {
    let edge = start(StreamUsage::Ask).await;
    let mut wrong = Vec::new();
    for case in &CASES {
        let (saw, id) = look(&edge, case).await;
        let event = edge.events.of(&id).await;
        let is_known = event.usage_source == UsageSource::Reported && event.usage != Usage::default();
        let got = (saw, event.completion, event.error_code.as_deref(), is_known);
        let expected = (case.saw, case.completion, case.code, case.is_usage_known);
        if got != expected {
            wrong.push(format!("{} {}: {got:?}, not {expected:?}", case.options, case.is_streamed));
        }
        assert_eq!(event.model_requested.unwrap().split('+').next(), Some("gpt-example"));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Where the pieces go through Rust, nothing follows the frame but the error; on
/// the native way, what had passed when it was noticed.
#[tokio::test]
async fn a_malformed_frame_ends_its_stream() {
    for (stream_usage, options, most) in [
        (StreamUsage::AskAndStrip, "pace=0", 2),
        (StreamUsage::AskAndStrip, "pace=20", 2),
        (StreamUsage::Ask, "pace=20", 60),
    ] {
        let edge = start(stream_usage).await;
        let trace = trace();
        let model = format!("gpt-example+fault=malformed:2,chunks=150,{options}");
        let reply = send(edge.chat(&model, true).header(TRACE, &trace)).await;
        let text = reply.text();
        let frames: Vec<&str> = text.trim_end().split("\n\n").collect();
        let (error, passed) = frames.split_last().unwrap();
        assert!(error.starts_with("data: {\"error\"") && error.contains("malformed"), "{text}");
        let words = passed.iter().filter(|frame| frame.contains("\"content\":\"")).count();
        assert!((2..=most + 1).contains(&words), "{words} words\n{text}");
        assert!(most > 2 || passed.last().unwrap().starts_with("data: {\"id\": \"broken\""), "{text}");
        assert!(!text.contains("[DONE]"), "{text}");
        let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
        assert_eq!((event.completion, event.error_code.as_deref()), (Completion::Truncated, ERROR));
        assert_eq!(event.bytes_out, reply.body.len() as u64);
        assert_eq!((event.usage, event.usage_source), (Usage::default(), UsageSource::None));
        if options != "pace=0" {
            edge.upstream.ended(&trace, "client_gone").await;
        }
    }
}
