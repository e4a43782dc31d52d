//! What a client sees of an upstream that fails it, and what the event tells: the
//! same of every form of answer, but for a few.

use futures_util::future::join_all;
use latchkey_tests::edge::EdgeStack;
use latchkey_tests::edge::dialect::{Dialect, ends_in_error};
use shared::event::{Completion, Event, Usage, UsageSource};
use shared::provider::Timeouts;
use shared::snapshot::config::StreamUsage;
use std::time::{Duration, Instant};

/// What a client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saw {
    /// All of it, and its end.
    Whole,
    /// An error in the provider's own form at the end.
    Error,
    /// That the connection broke.
    Broken,
    /// An answer of the edge's own.
    Refused(u16),
    /// Less than all, as if it were all. Never to be.
    Less,
}

/// What a client saw; how the event says that it ended, with which error; whether
/// the provider's own word on usage came through.
type Outcome = (Saw, Completion, Option<&'static str>, bool);

const STREAM: bool = true;
const PLAIN: bool = false;

const WHOLE: Outcome = (Saw::Whole, Completion::Complete, None, true);
const UNCOUNTED: Outcome = (Saw::Whole, Completion::Complete, None, false);
const ERROR: Outcome = (Saw::Error, Completion::Truncated, Some("upstream_error"), false);
const BROKEN: Outcome = (Saw::Broken, Completion::Truncated, Some("upstream_error"), false);
const STALLED: Outcome = (Saw::Error, Completion::Truncated, Some("upstream_timeout"), false);
const BROKEN_STALLED: Outcome = (Saw::Broken, Completion::Truncated, Some("upstream_timeout"), false);
const SILENT: Outcome = (Saw::Refused(504), Completion::Refused, Some("upstream_timeout"), false);

/// Noticed long before its end.
const MALFORMED: &str = "fault=malformed:2,chunks=200,pace=20";

/// The same, but that usage was told before.
const fn counted((saw, completion, code, _): Outcome) -> Outcome {
    (saw, completion, code, true)
}

const CASES: [(&str, bool, Outcome); 30] = [
    ("pace=0", STREAM, WHOLE),
    ("fault=cut:5", STREAM, ERROR),
    ("fault=stall:5", STREAM, STALLED),
    ("fault=end:5", STREAM, ERROR),
    // The frames after it are whole, its end too. Where they had passed by then, the error comes last.
    ("fault=malformed,usage=none", STREAM, ERROR),
    (MALFORMED, STREAM, ERROR),
    ("fault=giant", STREAM, WHOLE),
    ("fault=length", STREAM, WHOLE),
    ("fault=type", STREAM, WHOLE),
    ("fault=gzip", STREAM, WHOLE),
    ("fault=error", STREAM, ERROR),
    ("end=none", STREAM, ERROR),
    ("usage=none", STREAM, UNCOUNTED),
    ("usage=every", STREAM, WHOLE),
    ("trickle=50,pace=1", STREAM, WHOLE),
    ("fault=silent:300", STREAM, WHOLE),
    ("fault=silent:20000", STREAM, SILENT),
    ("pace=0", PLAIN, WHOLE),
    ("fault=cut", PLAIN, BROKEN),
    ("fault=stall", PLAIN, BROKEN_STALLED),
    ("fault=end", PLAIN, BROKEN),
    ("fault=malformed", PLAIN, BROKEN),
    ("fault=giant", PLAIN, WHOLE),
    ("fault=length", PLAIN, counted(BROKEN)),
    ("fault=type", PLAIN, WHOLE),
    ("fault=gzip", PLAIN, WHOLE),
    // The provider's own words, all of them.
    ("fault=error", PLAIN, (Saw::Error, Completion::Complete, None, false)),
    ("usage=none", PLAIN, UNCOUNTED),
    ("trickle=3,pace=1", PLAIN, WHOLE),
    ("fault=silent:20000", PLAIN, SILENT),
];

/// What is otherwise in one form.
const EXCEPTIONS: [(Dialect, &str, bool, Outcome); 19] = {
    use Dialect::{Chat, Completions, Gemini, GeminiArray, Messages, Responses};
    [
        // They can do without `[DONE]` where there was a reason to stop.
        (Chat, "end=none", STREAM, WHOLE),
        (Completions, "end=none", STREAM, WHOLE),
        // The text comes five times: that is more than is looked at.
        (Responses, "fault=giant", STREAM, UNCOUNTED),
        // Each tells of usage before its end.
        (Messages, "fault=cut:5", STREAM, counted(ERROR)),
        (Messages, "fault=stall:5", STREAM, counted(STALLED)),
        (Messages, "fault=end:5", STREAM, counted(ERROR)),
        (Messages, MALFORMED, STREAM, counted(ERROR)),
        (Messages, "end=none", STREAM, counted(ERROR)),
        (Gemini, "fault=cut:5", STREAM, counted(ERROR)),
        (Gemini, "fault=stall:5", STREAM, counted(STALLED)),
        (Gemini, "fault=end:5", STREAM, counted(ERROR)),
        (Gemini, MALFORMED, STREAM, counted(ERROR)),
        (Gemini, "end=none", STREAM, counted(ERROR)),
        (GeminiArray, "fault=cut:5", STREAM, counted(ERROR)),
        (GeminiArray, "fault=stall:5", STREAM, counted(STALLED)),
        (GeminiArray, "fault=end:5", STREAM, counted(ERROR)),
        // Nothing can be appended to an array that is none, or that has ended.
        (GeminiArray, "fault=malformed,usage=none", STREAM, BROKEN),
        (GeminiArray, MALFORMED, STREAM, counted(BROKEN)),
        (GeminiArray, "end=none", STREAM, counted(BROKEN)),
    ]
};

async fn start(timeouts: Timeouts) -> EdgeStack {
    EdgeStack::timed(timeouts, StreamUsage::Ask).await
}

/// What a client sees, and the event.
async fn look(edge: &EdgeStack, dialect: Dialect, options: &str, is_streamed: bool) -> (Saw, Event) {
    let request = dialect.ask(edge, &format!("gpt-example+{options}"), is_streamed);
    let patience = Duration::from_secs(30);
    let response = tokio::time::timeout(patience, request.send()).await.expect("no answer").unwrap();
    let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let is_refused = response.headers().contains_key("x-latchkey-error");
    assert!(is_refused || status == 200, "{status}");
    let body = tokio::time::timeout(patience, response.bytes()).await.expect("no end");
    let saw = match body {
        _ if is_refused => Saw::Refused(status),
        Err(_) => Saw::Broken,
        Ok(body) if ends_in_error(&body) => Saw::Error,
        Ok(body) if is_all(&body) => Saw::Whole,
        Ok(_) => Saw::Less,
    };
    (saw, edge.events.of(&id).await)
}

/// By its last word; what is compressed is not read.
fn is_all(body: &[u8]) -> bool {
    let tail = &body[body.len().saturating_sub(8_000)..];
    body.starts_with(&[0x1f, 0x8b]) || tail.windows(6).any(|word| word == b"spent.")
}

fn told(saw: Saw, event: &Event) -> (Saw, Completion, Option<&str>, bool) {
    let is_known = event.usage_source == UsageSource::Reported && event.usage != Usage::default();
    (saw, event.completion, event.error_code.as_deref(), is_known)
}

/// What is wrong with what came of each case.
async fn wrong(edge: &EdgeStack, dialect: Dialect) -> Vec<String> {
    let mut wrong = Vec::new();
    for (options, is_streamed, usual) in CASES {
        // Gemini's array is a form of its streams.
        if dialect == Dialect::GeminiArray && !is_streamed {
            continue;
        }
        let (saw, event) = look(edge, dialect, options, is_streamed).await;
        let exception =
            EXCEPTIONS.iter().find(|one| (one.0, one.1, one.2) == (dialect, options, is_streamed));
        let expected = exception.map_or(usual, |one| one.3);
        let got = told(saw, &event);
        if got != expected {
            wrong.push(format!("{dialect:?} {options} {is_streamed}: {got:?}, not {expected:?}"));
        }
        // It may stand behind what an answer in one piece broke in.
        let may_miss = !is_streamed && saw != Saw::Whole;
        let has_none = matches!(saw, Saw::Refused(_)) || options == "fault=error";
        match event.model.as_deref() {
            Some("gpt-example") if !has_none => {}
            None if has_none || may_miss => {}
            model => wrong.push(format!("{dialect:?} {options} {is_streamed}: model {model:?}")),
        }
        assert_eq!(event.model_requested, Some(format!("gpt-example+{options}")));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_seen_for_what_it_is_and_told() {
    let edge = start(Timeouts { first_byte_ms: 8_000, idle_ms: 3_000, total_ms: 60_000 }).await;
    let wrong = join_all(Dialect::ALL.map(|dialect| wrong(&edge, dialect))).await.concat();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_never_pauses_is_cut_off_in_the_end() {
    const TOTAL_MS: u32 = 2_000;
    let edge = &start(Timeouts { first_byte_ms: 3_000, idle_ms: 1_500, total_ms: TOTAL_MS }).await;
    let looks = Dialect::ALL.into_iter().flat_map(|dialect| [(dialect, STREAM), (dialect, PLAIN)]);
    join_all(looks.map(async |(dialect, is_streamed)| {
        let options = if is_streamed { "chunks=1000,pace=20" } else { "chunks=1000,trickle=20,pace=20" };
        let began = Instant::now();
        let (saw, event) = look(edge, dialect, options, is_streamed).await;
        let took = began.elapsed();
        let (_, completion, code, _) = told(saw, &event);
        let (as_seen, ..) = if is_streamed { STALLED } else { BROKEN_STALLED };
        let expected = (as_seen, Completion::Truncated, Some("upstream_timeout"));
        assert_eq!((saw, completion, code), expected, "{dialect:?} {is_streamed}");
        assert!(took >= Duration::from_millis(TOTAL_MS.into()), "{dialect:?} {is_streamed}: {took:?}");
    }))
    .await;
}
