//! Streams that break off, and are gone on with by another where it says the same.

use crate::routing::{Told, ask, attempts, first_and_second, target, with_routes};
use latchkey_tests::edge::EdgeStack;
use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{chat_body, until};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shared::event::{Completion, Event, Outcome, UsageSource};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const OK: (Option<u16>, Outcome) = (Some(200), Outcome::Answered);

/// What the upstream answers to [`chat_body`].
const ANSWER: &str = "Hello! You said: \"Which key opens this door?\". \
     I am the example upstream, so no model was asked and nothing was spent.";

/// A route over these models, each at the provider.
fn resumed(name: &str, provider: &str, models: &[&str]) -> Value {
    let targets: Vec<Value> = models.iter().map(|model| target(provider, model)).collect();
    let mut route = first_and_second(name, &targets);
    route["resume"] = json!("verified");
    route
}

/// The text that a client puts together, and how many answers begin in the stream.
fn read(reply: &Reply) -> (String, usize) {
    let (mut text, mut openings) = (String::new(), 0);
    for line in reply.text().lines().filter_map(|line| line.strip_prefix("data: ").map(str::to_owned)) {
        let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
        for place in [
            "/choices/0/delta/content",
            "/choices/0/text",
            "/delta/text",
            "/candidates/0/content/parts/0/text",
        ] {
            text.push_str(event.pointer(place).and_then(Value::as_str).unwrap_or_default());
        }
        let is_opening = event.pointer("/choices/0/delta/role").is_some() || event["type"] == "message_start";
        openings += usize::from(is_opening);
    }
    (text, openings)
}

async fn ask_with(edge: &EdgeStack, request: RequestBuilder) -> Told {
    let trace = trace();
    let reply = send(request.header(TRACE, &trace)).await;
    let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
    Told { reply, event, seen: edge.upstream.seen(&trace).await }
}

fn assert_joined(told: &Told, asked: usize, what: &str) {
    let Told { reply, event, seen } = told;
    assert_eq!(reply.status, 200, "{what}");
    let (text, openings) = read(reply);
    assert_eq!(text, ANSWER, "{what}: {}", reply.text());
    assert!(openings <= 1 && !reply.text().contains("\"error\""), "{what}: {}", reply.text());
    assert_eq!((event.completion, event.error_code.as_deref()), (Completion::Complete, None), "{what}");
    assert_eq!((event.attempts.len(), seen.len()), (asked, asked), "{what}: {event:?}");
    assert_eq!(event.bytes_out, reply.body.len() as u64, "{what}");
}

fn assert_not_joined(told: &Told, had: &str, asked: usize, what: &str) {
    let Told { reply, event, seen } = told;
    let (text, _) = read(reply);
    assert_eq!(text, had, "{what}: {}", reply.text());
    assert!(reply.text().trim_end().rsplit("\n\n").next().unwrap().contains("\"error\""), "{what}");
    assert_eq!(event.completion, Completion::Truncated, "{what}: {event:?}");
    assert!(event.error_code.is_some(), "{what}: {event:?}");
    assert_eq!((event.attempts.len(), seen.len()), (asked, asked), "{what}: {event:?}");
    assert_eq!(event.bytes_out, reply.body.len() as u64, "{what}");
}

#[tokio::test]
async fn each_kind_of_stream_and_of_break() {
    let breaks = [
        "fault=cut:1",
        "fault=cut:3",
        "fault=cut:9,trickle=7",
        "fault=end:3",
        "fault=malformed:3",
        "fault=stall:2",
    ];
    let mut routes = Vec::new();
    for (provider, name) in [("openai", "gpt"), ("anthropic", "claude"), ("google", "gemini")] {
        for (at, fault) in breaks.iter().enumerate() {
            let models = [format!("{name}-a+{fault}"), format!("{name}-b+trickle=50")];
            let mut route =
                resumed(&format!("{name}-{at}"), provider, &models.each_ref().map(String::as_str));
            route["timeouts"] = json!({"idle_ms": 1_500});
            routes.push(route);
        }
    }
    let edge = with_routes(&routes).await;
    for (at, fault) in breaks.iter().enumerate() {
        let chat = |model: String| chat_body(&model, true);
        let mut message = chat(format!("claude-{at}"));
        message["max_tokens"] = json!(100);
        let question = "Which key opens this door?";
        let contents = json!({"contents": [{"role": "user", "parts": [{"text": question}]}]});
        let completion = json!({"model": format!("gpt-{at}"), "stream": true, "prompt": question});
        let path = format!("/google/v1beta/models/gemini-{at}:streamGenerateContent?alt=sse");
        let requests = [
            edge.post("/openai/v1/chat/completions").json(&chat(format!("gpt-{at}"))),
            edge.post("/openai/v1/completions").json(&completion),
            edge.post("/anthropic/v1/messages").header("anthropic-version", "2023-06-01").json(&message),
            edge.post(&path).json(&contents),
        ];
        for (kind, request) in ["chat", "completions", "messages", "gemini"].into_iter().zip(requests) {
            let what = format!("{kind} {fault}");
            let told = ask_with(&edge, request.bearer_auth(&edge.token)).await;
            assert_joined(&told, 2, &what);
            assert_eq!(attempts(&told.event), [OK, OK], "{what}");
            let [first, second] = told.event.attempts.as_slice() else { panic!("{what}") };
            assert!(first.text_bytes_out < second.text_bytes_out, "{what}: {:?}", told.event);
            assert_eq!(second.text_bytes_out, Some(ANSWER.len() as u64), "{what}");
            assert!(told.event.model.as_deref().unwrap().ends_with("-b"), "{what}: {:?}", told.event);
        }
    }
}

#[tokio::test]
async fn what_says_something_else_is_not_joined() {
    let edge = with_routes(&[
        resumed("other", "openai", &["gpt-a+fault=cut:3", "gpt-b+says=otherwise", "gpt-c"]),
        resumed("shorter", "openai", &["gpt-a+fault=cut:3", "gpt-b+chunks=2"]),
        // The first word is the same, and the client has no more.
        resumed("early", "openai", &["gpt-a+fault=cut:1", "gpt-b+says=otherwise"]),
    ])
    .await;
    let told = ask(&edge, "other", true).await;
    assert_not_joined(&told, "Hello! You said:", 2, "other");
    let [first, second] = told.event.attempts.as_slice() else { panic!("{:?}", told.event) };
    // What the second wrote was used, though nobody has it.
    assert!(first.text_bytes_out.is_some() && second.text_bytes_out.is_some(), "{:?}", told.event);
    assert_eq!(told.event.provider.as_deref(), Some("openai"));
    let told = ask(&edge, "shorter", true).await;
    assert_not_joined(&told, "Hello! You said:", 2, "shorter");
    let Told { reply, event, .. } = ask(&edge, "early", true).await;
    assert!(read(&reply).0.starts_with("Hello! otherwise said:"), "{}", reply.text());
    assert_eq!(event.completion, Completion::Complete);
}

#[tokio::test]
async fn who_cannot_go_on_is_followed_by_who_can() {
    let once = resumed("twice", "openai", &["gpt-a+fault=cut:3,times=1"]);
    // One that breaks off time and again would be left out.
    let resumed = |name: &str, others: &[&str]| {
        let cut = format!("{name}-a+fault=cut:3");
        resumed(name, "openai", &[&[cut.as_str()], others].concat())
    };
    let edge = with_routes(&[
        resumed("refused", &["gpt-b+fault=status:503", "gpt-c"]),
        resumed("reset", &["gpt-b+fault=reset", "gpt-c"]),
        resumed("faulty", &["gpt-b+fault=error", "gpt-c"]),
        resumed("shorter", &["gpt-b+fault=cut:1", "gpt-c"]),
        resumed("further", &["gpt-b+fault=cut:5", "gpt-c"]),
        once,
        resumed("prefill", &["gpt-b+fault=prefill"]),
    ])
    .await;
    let reset = (None, Outcome::Unreachable);
    let refused = (Some(503), Outcome::Answered);
    for (model, expected) in [
        ("refused", vec![OK, refused, OK]),
        ("reset", vec![OK, reset, OK]),
        ("faulty", vec![OK, OK, OK]),
        ("shorter", vec![OK, OK, OK]),
        ("further", vec![OK, OK, OK]),
        // The same target, once more.
        ("twice", vec![OK, OK]),
        // What the client has is not put into its mouth.
        ("prefill", vec![OK, OK]),
    ] {
        let told = ask(&edge, model, true).await;
        assert_joined(&told, expected.len(), model);
        assert_eq!(attempts(&told.event), expected, "{model}");
        assert_eq!(told.event.usage_source, UsageSource::Reported, "{model}");
    }
}

/// What was given up before is over by and by, and must not end what is awaited then.
#[tokio::test]
async fn several_that_are_silent_are_each_waited_for() {
    let silent = "gpt-b+fault=silent:120000";
    let mut route =
        resumed("fast", "openai", &["gpt-a+fault=stall:3", silent, "gpt-c+fault=late:120000", "gpt-d"]);
    route["timeouts"] = json!({"idle_ms": 600, "first_byte_ms": 600, "first_token_ms": 600});
    let edge = with_routes(&[route]).await;
    let told = ask(&edge, "fast", true).await;
    assert_joined(&told, 4, "silent");
    let timed_out = |status| (status, Outcome::TimedOut);
    assert_eq!(attempts(&told.event), [OK, timed_out(None), timed_out(Some(200)), OK]);
}

#[tokio::test]
async fn where_nobody_can_go_on_the_client_is_told() {
    let cut = "gpt-a+fault=cut:3";
    let once = {
        let mut route = resumed("once", "openai", &[cut, "gpt-b"]);
        route["retry"]["attempts"] = json!(1);
        route
    };
    let edge = with_routes(&[
        resumed("refused", "openai", &[cut, "gpt-b+fault=status:400"]),
        resumed("plain", "openai", &[cut, "gpt-b+fault=type"]),
        resumed(
            "cut",
            "openai",
            &["gpt-a+fault=cut:3", "gpt-b+fault=cut:3", "gpt-c+fault=cut:3", "gpt-d+fault=cut:3"],
        ),
        once,
    ])
    .await;
    for (model, asked) in [("refused", 2), ("plain", 2), ("cut", 4), ("once", 1)] {
        let told = ask(&edge, model, true).await;
        assert_not_joined(&told, "Hello! You said:", asked, model);
        assert_eq!(told.event.error_code.as_deref(), Some("upstream_error"), "{model}");
    }
    // The events of responses are numbered, and none begins like another.
    let edge = with_routes(&[resumed("fast", "openai", &[cut, "gpt-b"])]).await;
    let question = json!({"model": "fast", "stream": true, "input": "Which key opens this door?"});
    let request = edge.post("/openai/v1/responses").bearer_auth(&edge.token).json(&question);
    let Told { reply, event, seen } = ask_with(&edge, request).await;
    assert!(reply.text().contains("event: error"), "{}", reply.text());
    assert_eq!((event.completion, event.attempts.len(), seen.len()), (Completion::Truncated, 1, 1));
    // An answer in one piece has no middle.
    let answer = edge.chat("fast", false).send().await.unwrap();
    assert!(answer.bytes().await.is_err());
}

/// Not even where the other would call the same.
#[tokio::test]
async fn a_tools_call_is_never_joined() {
    let edge = with_routes(&[
        resumed("gpt", "openai", &["gpt-a+fault=cut:3", "gpt-b"]),
        resumed("claude", "anthropic", &["claude-a+fault=cut:3", "claude-b"]),
    ])
    .await;
    let schema = json!({"type": "object", "properties": {"door": {"type": "string"}}});
    let mut chat = chat_body("gpt", true);
    chat["tools"] = json!([{"type": "function", "function": {"name": "open_door", "parameters": schema}}]);
    chat["tool_choice"] = json!("required");
    let mut message = chat_body("claude", true);
    message["max_tokens"] = json!(100);
    message["tools"] = json!([{"name": "open_door", "input_schema": schema}]);
    message["tool_choice"] = json!({"type": "any"});
    for request in [
        edge.post("/openai/v1/chat/completions").json(&chat),
        edge.post("/anthropic/v1/messages").header("anthropic-version", "2023-06-01").json(&message),
    ] {
        let told = ask_with(&edge, request.bearer_auth(&edge.token)).await;
        assert!(told.reply.text().contains("open_door"), "{}", told.reply.text());
        assert_not_joined(&told, "", 1, "a tool's call");
    }
}

#[tokio::test]
async fn who_leaves_takes_along_who_was_to_go_on() {
    let faults = ["late:60000", "silent:60000", "stall:1"];
    let routes = faults.map(|fault| {
        let mut route = resumed(fault, "openai", &["gpt-a+fault=cut:3", &format!("gpt-b+fault={fault}")]);
        route["timeouts"] = json!({"first_byte_ms": 60_000, "first_token_ms": 60_000, "idle_ms": 60_000});
        route
    });
    let edge = with_routes(&routes).await;
    for fault in faults {
        let trace = trace();
        let body = chat_body(fault, true).to_string();
        let request = format!(
            "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n{TRACE}: {trace}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            edge.token,
            body.len()
        );
        let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        until("another is asked", async || edge.upstream.seen(&trace).await.len() == 2).await;
        // A connection that is merely closed is half open to workerd.
        connection.set_zero_linger().unwrap();
        drop(connection);
        until(&format!("{fault} is left"), async || {
            edge.upstream.seen(&trace).await[1]["outcome"] == "client_gone"
        })
        .await;
        let event = edge.events.only(|event| event.model_requested.as_deref() == Some(fault)).await;
        assert_eq!(event.completion, Completion::Aborted, "{fault}");
        assert_eq!(event.attempts.len(), 2, "{fault}: {event:?}");
    }
}

/// With what only the gateway asked for taken out.
#[tokio::test]
async fn the_usage_is_that_of_who_came_to_the_end() {
    let edge = with_routes(&[resumed("fast", "openai", &["gpt-a+fault=cut:3", "gpt-b"])]).await;
    let mut body = chat_body("fast", true);
    body["stream_options"] = json!({"include_usage": true});
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.token).json(&body);
    let told = ask_with(&edge, request).await;
    assert_joined(&told, 2, "usage");
    let Event { usage, usage_source, attempts, .. } = &told.event;
    assert_eq!(*usage_source, UsageSource::Reported);
    assert_eq!(usage.output_tokens, Some(u64::try_from(ANSWER.split_whitespace().count()).unwrap()));
    assert_eq!(attempts[0].text_bytes_out, Some("Hello! You said:".len() as u64));
}
