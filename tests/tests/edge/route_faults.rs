//! Every fault of a provider, where another could be asked and where none could: what
//! the client saw, how often the upstream was asked, what the event says.

use latchkey_tests::edge::call::{client, send};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{EdgeStack, chat_body};
use latchkey_tests::fixture;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shared::event::{Completion, Event, Outcome};
use shared::provider::Api;
use std::time::{Duration, Instant};

/// Name, fault, and whether only a stream has it.
struct Case {
    fault: &'static str,
    is_streamed: bool,
    /// Of the first attempt; none where there was no answer.
    status: Option<u16>,
    outcome: Outcome,
    /// Whether another is asked.
    goes_on: bool,
    /// What the client gets where there is no other.
    alone: u16,
}

const fn answered(fault: &'static str, is_streamed: bool, status: u16, goes_on: bool) -> Case {
    Case { fault, is_streamed, status: Some(status), outcome: Outcome::Answered, goes_on, alone: status }
}

const fn unanswered(fault: &'static str, is_streamed: bool, outcome: Outcome, alone: u16) -> Case {
    Case { fault, is_streamed, status: None, outcome, goes_on: true, alone }
}

const FIRST_BYTE_MS: u64 = 2_000;

const STREAM: bool = true;
const PLAIN: bool = false;

const CASES: [Case; 35] = [
    answered("fault=status:429", PLAIN, 429, true),
    answered("fault=status:429,after=none", STREAM, 429, true),
    answered("fault=status:429,after=none,times=1", PLAIN, 429, true),
    answered("fault=status:429,after=ms:50", PLAIN, 429, true),
    answered("fault=status:500", STREAM, 500, true),
    answered("fault=status:500,times=1", PLAIN, 500, true),
    answered("fault=status:503", PLAIN, 503, true),
    answered("fault=status:529", STREAM, 529, true),
    answered("fault=status:408", PLAIN, 408, true),
    answered("fault=status:409", PLAIN, 409, true),
    answered("fault=status:401", PLAIN, 401, true),
    answered("fault=status:402", PLAIN, 402, true),
    answered("fault=status:403", PLAIN, 403, true),
    answered("fault=status:400", PLAIN, 400, false),
    answered("fault=status:404", STREAM, 404, false),
    answered("fault=status:422", PLAIN, 422, false),
    answered("fault=context", STREAM, 400, false),
    answered("fault=filter", PLAIN, 400, false),
    answered("fault=vast:60", PLAIN, 200, false),
    answered("fault=early:103", STREAM, 200, false),
    answered("fault=early:102", PLAIN, 200, false),
    answered("fault=early:100", PLAIN, 200, false),
    answered("fault=late:200", STREAM, 200, false),
    answered("fault=late:200", PLAIN, 200, false),
    unanswered("fault=reset", PLAIN, Outcome::Unreachable, 502),
    unanswered("fault=reset", STREAM, Outcome::Unreachable, 502),
    unanswered("fault=hangup", STREAM, Outcome::Unreachable, 502),
    unanswered("fault=down:60000", PLAIN, Outcome::Unreachable, 502),
    unanswered("fault=silent:120000", PLAIN, Outcome::TimedOut, 504),
    unanswered("fault=silent:120000", STREAM, Outcome::TimedOut, 504),
    Case { status: Some(520), ..unanswered("fault=page:520", PLAIN, Outcome::Unreachable, 502) },
    Case { status: Some(524), ..unanswered("fault=page:524", STREAM, Outcome::Unreachable, 502) },
    Case { status: Some(521), ..unanswered("fault=page:521", PLAIN, Outcome::Unreachable, 502) },
    Case { status: Some(526), ..unanswered("fault=page:526", STREAM, Outcome::Unreachable, 502) },
    Case { status: Some(530), ..unanswered("fault=platform:530", PLAIN, Outcome::Unreachable, 502) },
];

/// A route for each case: one with another target, and one without.
async fn start() -> EdgeStack {
    let edge = EdgeStack::empty(60_000).await;
    let mut providers = edge.providers();
    // Each case has a provider of its own, so that it does not suffer from what befell another.
    let other = |at: usize| {
        fixture::provider(
            &format!("other-{at}"),
            Api::OpenAi,
            "authorization",
            "Bearer ",
            edge.upstream.url(),
        )
    };
    providers.providers.extend((0..CASES.len()).map(other));
    let route = |name: String, targets: serde_json::Value, attempts: u32| {
        serde_json::from_value(json!({
            "name": name, "match": [name], "targets": targets,
            "retry": {"attempts": attempts, "budget_ms": 30_000}, "timeouts": {"first_byte_ms": FIRST_BYTE_MS},
        }))
        .unwrap()
    };
    let mut project = fixture::project(1, &providers);
    for (at, case) in CASES.iter().enumerate() {
        let provider = format!("other-{at}");
        let faulty = |kind: &str| json!({"provider": provider, "model": format!("{kind}+{}", case.fault)});
        let healthy = json!({"provider": "openai", "model": "gpt-b", "priority": 1});
        project.routes.push(route(format!("both-{at}"), json!([faulty("both"), healthy]), 3));
        project.routes.push(route(format!("alone-{at}"), json!([faulty("alone")]), 1));
    }
    let mut manifest = edge.manifest(1);
    manifest.delta.projects = vec![project];
    manifest.delta.providers = Some(providers);
    edge.publish(&manifest);
    edge
}

#[tokio::test]
async fn each_is_told_and_survived_as_far_as_it_can_be() {
    let edge = start().await;
    for (at, case) in CASES.iter().enumerate() {
        let Case { fault, is_streamed, status, outcome, goes_on, alone } = *case;
        let trace = trace();
        let began = Instant::now();
        let reply = send(edge.chat(&format!("both-{at}"), is_streamed).header(TRACE, &trace)).await;
        let took = began.elapsed();
        let expected = if goes_on { 200 } else { alone };
        assert_eq!(reply.status, expected, "{fault}: {}", reply.text());
        assert!(expected != 200 || !reply.text().contains("\"error\""), "{fault}: {}", reply.text());
        // A pause of the other's would be longer than what it takes to ask.
        assert!(outcome == Outcome::TimedOut || took < Duration::from_secs(20), "{fault}: {took:?}");
        let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
        let attempts: Vec<_> =
            event.attempts.iter().map(|attempt| (attempt.status, attempt.outcome)).collect();
        let first = (status, outcome);
        let healthy = (Some(200), Outcome::Answered);
        assert_eq!(attempts, if goes_on { vec![first, healthy] } else { vec![first] }, "{fault}");
        assert_eq!((event.status, event.completion), (expected, Completion::Complete), "{fault}");
        assert_eq!(edge.upstream.seen(&trace).await.len(), attempts.len(), "{fault}");
        assert_took(&event, fault);

        let trace = latchkey_tests::edge::upstream::trace();
        let reply = send(edge.chat(&format!("alone-{at}"), is_streamed).header(TRACE, &trace)).await;
        assert_eq!(reply.status, alone, "{fault}: {}", reply.text());
        let is_ours = status.is_none_or(|status| status > 519 && status != 529);
        assert_eq!(reply.code().is_some(), is_ours, "{fault}");
        let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
        let attempts: Vec<_> =
            event.attempts.iter().map(|attempt| (attempt.status, attempt.outcome)).collect();
        assert_eq!(
            (event.status, attempts),
            (alone, vec![(status.filter(|_| !is_ours), outcome)]),
            "{fault}"
        );
        assert_eq!(edge.upstream.seen(&trace).await.len(), 1, "{fault}");
        assert_took(&event, fault);
    }
}

/// One after another, none before the last had failed; who is silent is waited for
/// as long as the route says, and who says how long it takes, for that.
fn assert_took(event: &Event, fault: &str) {
    let first = &event.attempts[0];
    let took = first.ended_at - first.started_at;
    let shortest = match first.outcome {
        Outcome::TimedOut => FIRST_BYTE_MS,
        _ => 0,
    };
    // What does not wait does not take the time of who does.
    let longest = if shortest > 0 { u64::MAX } else { FIRST_BYTE_MS };
    assert!((shortest..longest).contains(&took), "{fault}: {took} ms");
    for pair in event.attempts.windows(2) {
        assert!(pair[0].ended_at <= pair[1].started_at, "{fault}: {event:?}");
    }
    let last = event.attempts.last().unwrap();
    assert!(event.started_at <= first.started_at && last.ended_at <= event.ended_at, "{fault}: {event:?}");
    let announced = if fault.starts_with("fault=late:200") { 200 } else { 0 };
    assert!(event.ended_at - event.started_at >= announced, "{fault}: {event:?}");
}

/// What is the client's to mend it is told in the provider's own words, and nobody else is asked.
#[tokio::test]
async fn a_target_that_takes_no_prefill_is_not_passed_over() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = edge.manifest(1);
    let apis = [("openai", "/v1/chat/completions"), ("anthropic", "/v1/messages")];
    let route = |(provider, _)| {
        serde_json::from_value(json!({"name": provider, "match": [provider], "targets": [
            {"provider": provider, "model": "first+fault=prefill"},
            {"provider": provider, "model": "second", "priority": 1},
        ]}))
        .unwrap()
    };
    manifest.delta.projects[0].routes = apis.map(route).into();
    edge.publish(&manifest);
    let asked = |request: RequestBuilder, model: &str, is_streamed: bool, is_prefilled: bool| {
        let mut body = chat_body(model, is_streamed);
        body["max_tokens"] = json!(100);
        if is_prefilled {
            body["messages"].as_array_mut().unwrap().push(json!({"role": "assistant", "content": "The"}));
        }
        request.header("anthropic-version", "2023-06-01").json(&body)
    };
    for (provider, path) in apis {
        for is_streamed in [STREAM, PLAIN] {
            let upstream = client().post(format!("{}{path}", edge.upstream.url()));
            let upstream = upstream.bearer_auth("key").header("x-api-key", "key");
            let own = asked(upstream, "first+fault=prefill", is_streamed, true).send().await.unwrap();
            let own: Value = own.json().await.unwrap();
            let trace = trace();
            let through =
                || edge.post(&format!("/{provider}{path}")).bearer_auth(&edge.token).header(TRACE, &trace);
            let reply = send(asked(through(), provider, is_streamed, true)).await;
            assert_eq!((reply.status, &reply.json()["error"]), (400, &own["error"]), "{provider}");
            assert!(reply.message().contains("prefill"), "{}", reply.text());
            assert_eq!(edge.upstream.only(&trace).await["model"], "first+fault=prefill", "{provider}");
            let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
            let attempts: Vec<_> =
                event.attempts.iter().map(|attempt| (attempt.status, attempt.outcome)).collect();
            assert_eq!(attempts, [(Some(400), Outcome::Answered)], "{provider}");
            assert_eq!((event.status, event.completion), (400, Completion::Complete), "{provider}");
            // And nothing is held against it.
            let reply = send(asked(through(), provider, is_streamed, false)).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(edge.upstream.seen(&trace).await[1]["model"], "first+fault=prefill", "{provider}");
        }
    }
}

/// In each provider's own words: what is too long goes where there is more room, what a
/// filter refused is passed on, and nobody else is asked.
#[tokio::test]
async fn what_each_provider_says_of_length_and_content() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = edge.manifest(1);
    let route = |provider: &str, fault: &str| {
        let name = format!("{provider}-{fault}");
        serde_json::from_value(json!({"name": name, "match": [name], "targets": [
            {"provider": provider, "model": format!("first+fault={fault}")},
            {"provider": provider, "model": "second", "priority": 1, "larger_context": true},
        ]}))
        .unwrap()
    };
    let providers = ["openai", "anthropic", "google"];
    manifest.delta.projects[0].routes = providers
        .iter()
        .flat_map(|provider| ["context", "filter"].map(|fault| route(provider, fault)))
        .collect();
    edge.publish(&manifest);
    for provider in providers {
        for is_streamed in [STREAM, PLAIN] {
            for (fault, goes_on) in [("context", true), ("filter", false)] {
                let model = format!("{provider}-{fault}");
                let what = format!("{model}, {is_streamed}");
                let mut body = chat_body(&model, is_streamed);
                body["max_tokens"] = json!(100);
                let action = if is_streamed { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let contents = json!({"contents": [{"role": "user", "parts": [{"text": "Open"}]}]});
                let (path, body) = match provider {
                    "openai" => ("/v1/chat/completions".to_owned(), body),
                    "anthropic" => ("/v1/messages".to_owned(), body),
                    _ => (format!("/v1beta/models/{model}:{action}"), contents),
                };
                let trace = trace();
                let request = edge.post(&format!("/{provider}{path}")).bearer_auth(&edge.token);
                let request = request.header("anthropic-version", "2023-06-01").header(TRACE, &trace);
                let reply = send(request.json(&body)).await;
                let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
                let models: Vec<_> =
                    event.attempts.iter().map(|attempt| attempt.model.as_deref().unwrap()).collect();
                let first = format!("first+fault={fault}");
                let expected = if goes_on { vec![first.as_str(), "second"] } else { vec![first.as_str()] };
                assert_eq!(models, expected, "{what}: {}", reply.text());
                assert_eq!(edge.upstream.seen(&trace).await.len(), expected.len(), "{what}");
                let own = match provider {
                    "google" => 200,
                    _ => 400,
                };
                assert_eq!(reply.status, if goes_on { 200 } else { own }, "{what}: {}", reply.text());
                let is_blocked = reply.text().contains("blockReason");
                assert_eq!(is_blocked, provider == "google" && !goes_on, "{what}: {}", reply.text());
                assert_eq!((reply.code(), event.completion), (None, Completion::Complete), "{what}");
            }
        }
    }
}

/// Nobody else may be asked.
#[tokio::test]
async fn what_begins_and_does_not_go_on_alone() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = edge.manifest(1);
    manifest.delta.projects[0].routes = vec![
        serde_json::from_value(json!({
            "name": "late", "match": ["late"], "retry": {"attempts": 1},
            "targets": [{"provider": "openai", "model": "gpt-a+fault=late:60000"}],
            "timeouts": {"first_byte_ms": 5_000, "first_token_ms": 700, "idle_ms": 700},
        }))
        .unwrap(),
    ];
    edge.publish(&manifest);
    for is_streamed in [STREAM, PLAIN] {
        let trace = trace();
        let response = edge.chat("late", is_streamed).header(TRACE, &trace).send().await.unwrap();
        let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
        let text = response.text().await;
        let event = edge.events.of(&id).await;
        let what = format!("{is_streamed}: {text:?} {event:?}");
        // Its headers went on at once. A stream can say what is wrong, a body cannot.
        match text {
            Ok(text) => assert!(is_streamed && text.contains("upstream_timeout"), "{what}"),
            Err(_) => assert!(!is_streamed, "{what}"),
        }
        assert_eq!(
            (event.attempts.len(), event.error_code.as_deref()),
            (1, Some("upstream_timeout")),
            "{what}"
        );
        assert!((700..5_000).contains(&(event.ended_at - event.started_at)), "{what}");
        assert_eq!(edge.upstream.seen(&trace).await.len(), 1, "{what}");
    }
}

/// Headers beyond what the platform reads: the answer is none, and another is asked.
#[tokio::test]
async fn headers_without_end_are_left_for_another() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = edge.manifest(1);
    let name = "vast";
    manifest.delta.projects[0].routes = vec![
        serde_json::from_value(json!({"name": name, "match": [name], "targets": [
            {"provider": "openai", "model": "gpt-a+fault=vast:1000"},
            {"provider": "openai", "model": "gpt-b", "priority": 1},
        ]}))
        .unwrap(),
    ];
    edge.publish(&manifest);
    for is_streamed in [STREAM, PLAIN] {
        let reply = send(edge.chat(name, is_streamed)).await;
        let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
        let attempts: Vec<_> =
            event.attempts.iter().map(|attempt| (attempt.status, attempt.outcome)).collect();
        assert_eq!(reply.status, 200, "{event:?}");
        assert_eq!(attempts, [(None, Outcome::Unreachable), (Some(200), Outcome::Answered)]);
    }
}
