//! Streams that fail late, or only seem to.

use latchkey_tests::edge::EdgeStack;
use latchkey_tests::edge::call::send;
use latchkey_tests::edge::upstream::{TRACE, trace};
use shared::event::{Completion, Usage, UsageSource};
use shared::provider::Timeouts;
use shared::snapshot::config::StreamUsage;

/// Longer than what is looked at.
#[tokio::test]
async fn a_stream_of_forty_megabytes_is_told_for_what_it_is() {
    let timeouts = Timeouts { first_byte_ms: 10_000, idle_ms: 10_000, total_ms: 120_000 };
    let edge = EdgeStack::timed(timeouts, StreamUsage::Ask).await;
    for (options, whole) in [("chunks=150000,pace=0", true), ("chunks=150000,pace=0,fault=cut:145000", false)]
    {
        let request = edge.chat(&format!("gpt-example+{options}"), true);
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
    let edge = EdgeStack::timed(timeouts, StreamUsage::Ask).await;
    let reply = send(edge.chat("gpt-example+chunks=150,pace=20", true)).await;
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "{}", reply.text());
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
        let edge = EdgeStack::timed(Timeouts::default(), stream_usage).await;
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
        assert_eq!(
            (event.completion, event.error_code.as_deref()),
            (Completion::Truncated, Some("upstream_error"))
        );
        assert_eq!(event.bytes_out, reply.body.len() as u64);
        assert_eq!((event.usage, event.usage_source), (Usage::default(), UsageSource::None));
        if options != "pace=0" {
            edge.upstream.ended(&trace, "client_gone").await;
        }
    }
}
