//! Several keys and targets: who is asked, what the client sees, and what the event says.

use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{EdgeStack, inside, until};
use latchkey_tests::{fixture, keys};
use serde_json::{Value, json};
use shared::event::{Completion, Event, Outcome};
use shared::id;
use shared::policy::Carried;
use shared::provider::Api;
use shared::sealed::{Binding, Sealed};
use shared::snapshot::config::{CarriedRoute, Credential, Project, Providers};
use shared::snapshot::manifest::Manifest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

/// What the upstream is asked with: the fixture's key, and one more.
const SECOND_KEY: &str = "sk-upstream-second";
/// Nothing listens there.
const DEAD: &str = "http://127.0.0.1:9";

/// The provider's first key, which has priority, and a second.
struct Keys {
    first: Uuid,
    second: Uuid,
}

fn with_second_key(project: &mut Project, providers: &Providers) -> Keys {
    let provider = &providers.providers[0];
    let credential_id = id::new(3, &[9; 10]);
    let binding = Binding {
        deployment_id: keys::DEPLOYMENT,
        project_id: project.id,
        credential_id,
        provider: &provider.name,
        origin: provider.origin(),
    };
    let sealed = Sealed::seal(SECOND_KEY, binding, &keys::credential_keys(), [77; 12]).unwrap();
    let first = project.credentials[0].id;
    let provider = provider.name.clone();
    project.credentials.push(Credential { id: credential_id, provider, weight: 1, priority: 1, sealed });
    Keys { first, second: credential_id }
}

async fn two_keys() -> (EdgeStack, Keys) {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = edge.manifest(1);
    let keys = with_second_key(&mut manifest.delta.projects[0], &edge.providers());
    edge.publish(&manifest);
    (edge, keys)
}

/// A manifest with these routes, and with a provider `dead` where nobody answers.
fn routed(edge: &EdgeStack, routes: &[Value]) -> Manifest {
    let mut providers = edge.providers();
    let dead = fixture::provider("dead", Api::OpenAi, "authorization", "Bearer ", DEAD);
    let other = fixture::provider("other", Api::OpenAi, "authorization", "Bearer ", edge.upstream.url());
    providers.providers.extend([dead, other]);
    let mut manifest = edge.manifest(1);
    let mut project = fixture::project(1, &providers);
    project.routes = routes.iter().map(|route| serde_json::from_value(route.clone()).unwrap()).collect();
    manifest.delta.projects = vec![project];
    manifest.delta.providers = Some(providers);
    manifest
}

pub(crate) async fn with_routes(routes: &[Value]) -> EdgeStack {
    let edge = EdgeStack::empty(60_000).await;
    edge.publish(&routed(&edge, routes));
    edge
}

pub(crate) fn target(provider: &str, model: &str) -> Value {
    json!({"provider": provider, "model": model})
}

pub(crate) fn first_and_second(model: &str, targets: &[Value]) -> Value {
    let mut targets = targets.to_vec();
    for (at, target) in targets.iter_mut().enumerate() {
        target["priority"] = json!(at);
    }
    json!({"name": model, "match": [model], "targets": targets, "retry": {"attempts": 4, "budget_ms": 10_000}})
}

pub(crate) struct Told {
    pub(crate) reply: Reply,
    pub(crate) event: Event,
    /// What reached the upstream.
    pub(crate) seen: Vec<Value>,
}

pub(crate) async fn ask(edge: &EdgeStack, model: &str, is_streamed: bool) -> Told {
    let trace = trace();
    let reply = send(edge.chat(model, is_streamed).header(TRACE, &trace)).await;
    let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
    Told { reply, event, seen: edge.upstream.seen(&trace).await }
}

pub(crate) fn attempts(event: &Event) -> Vec<(Option<u16>, Outcome)> {
    event.attempts.iter().map(|attempt| (attempt.status, attempt.outcome)).collect()
}

#[tokio::test]
async fn the_second_key_takes_over_where_the_first_is_no_good() {
    for (fault, status) in [
        ("status:429", 429),
        ("status:401", 401),
        ("status:503", 503),
        ("status:500", 500),
        ("status:408", 408),
    ] {
        for is_streamed in [false, true] {
            let (edge, keys) = two_keys().await;
            let model = format!("gpt-a+fault={fault},only={}", &fixture::UPSTREAM_KEY[10..]);
            let Told { reply, event, seen } = ask(&edge, &model, is_streamed).await;
            reply.assert_ok();
            assert_eq!(reply.header("x-latchkey-attempts"), Some("2"), "{fault}");
            assert_eq!(reply.header("x-latchkey-provider"), Some("openai"));
            assert_eq!(attempts(&event), [(Some(status), Outcome::Answered), (Some(200), Outcome::Answered)]);
            let asked: Vec<Uuid> = event.attempts.iter().map(|attempt| attempt.credential_id).collect();
            assert_eq!(asked, [keys.first, keys.second]);
            assert_eq!((event.completion, event.status), (Completion::Complete, 200));
            let used: Vec<&str> = seen.iter().map(|entry| entry["credential"].as_str().unwrap()).collect();
            assert_eq!(used, [fixture::UPSTREAM_KEY, SECOND_KEY]);
        }
    }
}

#[tokio::test]
async fn a_key_that_is_limited_rests_and_comes_back() {
    let (edge, keys) = two_keys().await;
    let only = &fixture::UPSTREAM_KEY[10..];
    let limited = format!("gpt-a+fault=status:429,after=2,times=1,only={only}");
    ask(&edge, &limited, false).await.reply.assert_ok();
    let told = ask(&edge, "gpt-a", false).await;
    assert_eq!(told.event.attempts[0].credential_id, keys.second, "the first rests");
    let standing = inside_providers(&edge).await;
    assert!(standing.to_string().contains("cools_until"), "{standing}");
    until("the first is asked again", async || {
        ask(&edge, "gpt-a", false).await.event.attempts[0].credential_id == keys.first
    })
    .await;
}

async fn inside_providers(edge: &EdgeStack) -> Value {
    inside(&edge.workerd).await["providers"].clone()
}

#[tokio::test]
async fn what_is_the_clients_fault_or_everybodys_is_passed_on_at_once() {
    let (edge, _) = two_keys().await;
    for (fault, status) in
        [("status:400", 400), ("status:404", 404), ("status:422", 422), ("context", 400), ("filter", 400)]
    {
        let Told { reply, event, seen } = ask(&edge, &format!("gpt-a+fault={fault}"), false).await;
        assert_eq!((reply.status, reply.code()), (status, None), "{fault}");
        assert!(reply.json()["error"]["message"].is_string());
        assert_eq!((seen.len(), event.attempts.len()), (1, 1), "{fault}");
    }
    // Where both fail, the last one's words are the client's.
    let Told { reply, event, seen } = ask(&edge, "gpt-a+fault=status:503", false).await;
    assert_eq!((reply.status, reply.code(), seen.len(), event.attempts.len()), (503, None, 2, 2));
}

#[tokio::test]
async fn one_key_alone_is_asked_once() {
    let edge = EdgeStack::start(60_000).await;
    let Told { reply, seen, event } = ask(&edge, "gpt-a+fault=status:500", false).await;
    assert_eq!((reply.status, seen.len(), event.attempts.len()), (500, 1, 1));
    assert_eq!(reply.header("x-latchkey-attempts"), Some("1"));
}

#[tokio::test]
async fn a_route_goes_to_the_next_target_as_another_model() {
    for fault in ["fault=reset", "fault=hangup", "fault=status:503", "fault=page:522", "fault=platform:530"] {
        for is_streamed in [false, true] {
            let edge = with_routes(&[first_and_second(
                "fast",
                &[target("other", &format!("gpt-a+{fault}")), target("openai", "gpt-b")],
            )])
            .await;
            let Told { reply, event, seen } = ask(&edge, "fast", is_streamed).await;
            reply.assert_ok();
            assert!(reply.text().contains("\"gpt-b\""), "{}", reply.text());
            assert_eq!(
                (reply.header("x-latchkey-provider"), reply.header("x-latchkey-attempts")),
                (Some("openai"), Some("2"))
            );
            assert_eq!(
                (event.model_requested.as_deref(), event.model.as_deref()),
                (Some("fast"), Some("gpt-b"))
            );
            assert_eq!(event.provider.as_deref(), Some("openai"));
            assert_eq!(event.attempts[1].model.as_deref(), Some("gpt-b"));
            assert!(event.usage.input_tokens.is_some(), "{event:?}");
            assert_eq!(seen.len(), 2, "{fault}");
        }
    }
}

#[tokio::test]
async fn nobody_there_and_silence_are_left_for_another() {
    let mut silent =
        first_and_second("slow", &[target("other", "gpt-a+fault=silent:120000"), target("openai", "gpt-b")]);
    silent["timeouts"] = json!({"first_byte_ms": 300});
    let mut late =
        first_and_second("late", &[target("other", "gpt-a+fault=late:120000"), target("openai", "gpt-b")]);
    late["timeouts"] = json!({"first_token_ms": 300});
    let dead = first_and_second("dead", &[target("dead", "gpt-a"), target("openai", "gpt-b")]);
    let faulty =
        first_and_second("faulty", &[target("other", "gpt-a+fault=error"), target("openai", "gpt-b")]);
    let edge = with_routes(&[silent, late, dead, faulty]).await;
    for (model, is_streamed, first) in [
        ("slow", false, (None, Outcome::TimedOut)),
        ("slow", true, (None, Outcome::TimedOut)),
        ("late", true, (Some(200), Outcome::TimedOut)),
        ("dead", false, (None, Outcome::Unreachable)),
        ("dead", true, (None, Outcome::Unreachable)),
        ("faulty", true, (Some(200), Outcome::Answered)),
    ] {
        let Told { reply, event, .. } = ask(&edge, model, is_streamed).await;
        reply.assert_ok();
        assert_eq!(attempts(&event), [first, (Some(200), Outcome::Answered)], "{model}");
        assert_eq!(event.completion, Completion::Complete, "{model}");
        assert!(
            reply.text().contains("gpt-b") && !reply.text().contains("error\""),
            "{model}: {}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn what_is_too_long_goes_where_there_is_more_room() {
    let mut route = first_and_second(
        "long",
        &[target("other", "gpt-a+fault=context"), target("openai", "gpt-b"), target("other", "gpt-c")],
    );
    route["targets"][2]["larger_context"] = json!(true);
    let edge = with_routes(&[route]).await;
    let Told { reply, event, .. } = ask(&edge, "long", false).await;
    reply.assert_ok();
    let models: Vec<_> = event.attempts.iter().map(|attempt| attempt.model.as_deref()).collect();
    assert_eq!(models, [Some("gpt-a+fault=context"), Some("gpt-c")]);
}

#[tokio::test]
async fn the_same_target_is_asked_again_after_a_pause_within_the_budget() {
    let once = first_and_second("once", &[target("openai", "gpt-b+fault=status:500,times=1")]);
    let soon = first_and_second("soon", &[target("openai", "gpt-b+fault=status:429,after=ms:300,times=1")]);
    let mut never = first_and_second("never", &[target("openai", "gpt-b+fault=status:429,after=60")]);
    never["retry"]["budget_ms"] = json!(2_000);
    let edge = with_routes(&[once, soon, never]).await;
    let Told { reply, event, .. } = ask(&edge, "soon", true).await;
    reply.assert_ok();
    let [first, second] = event.attempts.as_slice() else { panic!("{event:?}") };
    assert!(second.started_at - first.ended_at >= 300, "as long as the provider says: {event:?}");
    let Told { reply, event, .. } = ask(&edge, "once", true).await;
    reply.assert_ok();
    assert_eq!(event.attempts.len(), 2);
    // What it asks for is longer than there is time.
    let Told { reply, event, seen } = ask(&edge, "never", false).await;
    assert_eq!((reply.status, event.attempts.len(), seen.len()), (429, 1, 1));
    assert_eq!(reply.header("retry-after"), Some("60"));
}

#[tokio::test]
async fn a_stream_that_has_begun_is_not_asked_for_again() {
    let cut = first_and_second("cut", &[target("other", "gpt-a+fault=cut:3"), target("openai", "gpt-b")]);
    let edge = with_routes(&[cut]).await;
    let Told { reply, event, seen } = ask(&edge, "cut", true).await;
    assert!(reply.text().contains("error"), "{}", reply.text());
    assert_eq!((event.completion, event.attempts.len(), seen.len()), (Completion::Truncated, 1, 1));
}

#[tokio::test]
async fn a_route_judges_what_is_asked_for_and_a_provider_what_it_is_sent() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest =
        routed(&edge, &[first_and_second("fast", &[target("other", "o1"), target("openai", "gpt-b")])]);
    let allow = |models: &[&str]| -> Option<Carried> {
        let rule = json!({"endpoints": ["/**"], "path": "model", "allow": models});
        Some(serde_json::from_value(json!({ "parameters": [rule] })).unwrap())
    };
    manifest.delta.projects[0].policy = allow(&["fast", "gpt-*"]);
    let providers = &mut manifest.delta.providers.as_mut().unwrap().providers;
    for provider in providers.iter_mut() {
        provider.policy = allow(&["gpt-*"]);
    }
    edge.publish(&manifest);
    let Told { reply, event, seen } = ask(&edge, "fast", false).await;
    reply.assert_ok();
    assert_eq!((event.attempts.len(), seen.len()), (1, 1), "the first target may not be asked for that");
    assert_eq!(event.provider.as_deref(), Some("openai"));
    ask(&edge, "o1", false).await.reply.assert_refused(400, "param_not_allowed", Api::OpenAi);
    ask(&edge, "gpt-a", false).await.reply.assert_ok();
}

#[tokio::test]
async fn each_of_several_that_do_not_answer_is_told() {
    let silent = |name: &str| target("other", &format!("{name}+fault=silent:120000"));
    let mut silence =
        first_and_second("silence", &[silent("gpt-a"), silent("gpt-b"), target("openai", "gpt-c")]);
    let mut never = first_and_second("never", &[silent("gpt-a"), silent("gpt-b")]);
    for route in [&mut silence, &mut never] {
        route["timeouts"] = json!({"first_byte_ms": 400});
    }
    let reset = [target("other", "gpt-a+fault=reset"), target("openai", "gpt-b+fault=hangup")];
    let mut lost = first_and_second("lost", &reset);
    lost["retry"]["attempts"] = json!(2);
    let edge = with_routes(&[silence, never, lost]).await;
    let timed_out = (None, Outcome::TimedOut);
    let unreachable = (None, Outcome::Unreachable);
    for is_streamed in [false, true] {
        for (model, status, expected) in [
            ("silence", 200, vec![timed_out, timed_out, (Some(200), Outcome::Answered)]),
            ("never", 504, vec![timed_out, timed_out]),
            ("lost", 502, vec![unreachable, unreachable]),
        ] {
            let Told { reply, event, seen } = ask(&edge, model, is_streamed).await;
            assert_eq!((reply.status, event.status), (status, status), "{model}: {}", reply.text());
            assert_eq!(attempts(&event), expected, "{model}: {event:?}");
            assert_eq!(seen.len(), expected.len(), "{model}");
            assert_eq!(
                reply.header("x-latchkey-attempts"),
                Some(expected.len().to_string().as_str()),
                "{model}"
            );
            let models: Vec<_> = event.attempts.iter().map(|attempt| attempt.model.as_deref()).collect();
            assert!(models.is_sorted() && models[0] < models[1], "{models:?}");
        }
    }
}

/// Its headers are there, but what it says does not come.
#[tokio::test]
async fn an_error_that_stalls_is_left_for_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 16 * 1024]).await;
            let begun = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
            connection.write_all(begun.as_bytes()).await.unwrap();
            held.push(connection);
        }
    });
    let edge = EdgeStack::empty(60_000).await;
    let mut route = first_and_second("fast", &[target("dead", "gpt-a"), target("openai", "gpt-b")]);
    route["timeouts"] = json!({"first_byte_ms": 500});
    let mut manifest = routed(&edge, &[route]);
    let providers = &mut manifest.delta.providers.as_mut().unwrap().providers;
    providers.iter_mut().find(|provider| provider.name == "dead").unwrap().base_url = base_url;
    let providers = manifest.delta.providers.clone().unwrap();
    let routes = std::mem::take(&mut manifest.delta.projects[0].routes);
    manifest.delta.projects = vec![Project { routes, ..fixture::project(1, &providers) }];
    edge.publish(&manifest);
    let Told { reply, event, .. } = ask(&edge, "fast", false).await;
    reply.assert_ok();
    assert_eq!(attempts(&event), [(Some(429), Outcome::Answered), (Some(200), Outcome::Answered)]);
}

/// Each answer begins well, so that only its end tells.
#[tokio::test]
async fn who_always_breaks_off_is_left_out() {
    let route = first_and_second("cut", &[target("other", "gpt-a+fault=cut:3"), target("openai", "gpt-b")]);
    let edge = with_routes(&[route]).await;
    for _ in 0..5 {
        let Told { event, .. } = ask(&edge, "cut", true).await;
        assert_eq!((event.attempts[0].provider.as_str(), event.completion), ("other", Completion::Truncated));
    }
    let Told { reply, event, .. } = ask(&edge, "cut", true).await;
    reply.assert_ok();
    assert_eq!((event.attempts[0].provider.as_str(), event.completion), ("openai", Completion::Complete));
}

#[tokio::test]
async fn a_body_with_two_models_is_not_sent_as_either() {
    let edge = with_routes(&[first_and_second("fast", &[target("openai", "gpt-b")])]).await;
    let trace = trace();
    let body = r#"{"model":"o1","messages":[],"model":"fast"}"#;
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.token).header(TRACE, &trace);
    let reply = send(request.header("content-type", "application/json").body(body)).await;
    reply.assert_refused(400, "invalid_body", Api::OpenAi);
    assert!(edge.upstream.seen(&trace).await.is_empty());
}

#[tokio::test]
async fn a_route_that_is_not_understood_denies() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = routed(&edge, &[first_and_second("fast", &[target("openai", "gpt-b")])]);
    manifest.delta.projects[0].routes.push(CarriedRoute::Unreadable(json!({"name": "x", "magic": true})));
    edge.publish(&manifest);
    ask(&edge, "fast", false).await.reply.assert_ok();
    ask(&edge, "gpt-a", false).await.reply.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
}

#[tokio::test]
async fn what_is_down_for_a_while_is_left_out_and_tried_by_one_request_at_a_time() {
    let route =
        first_and_second("flaps", &[target("other", "gpt-a+fault=down:3000"), target("openai", "gpt-b")]);
    let edge = with_routes(&[route]).await;
    let ask_once = async || ask(&edge, "flaps", false).await.event.attempts.len();
    for number in 0..5 {
        assert_eq!(ask_once().await, 2, "{number}");
    }
    // After five failures the second is asked alone.
    assert_eq!(ask_once().await, 1);
    let standing = inside_providers(&edge).await.to_string();
    assert!(standing.contains("open"), "{standing}");
    until("the first is asked again, and answers", async || {
        let told = ask(&edge, "flaps", false).await;
        told.reply.assert_ok();
        told.event.attempts[0].provider == "other" && told.event.attempts.len() == 1
    })
    .await;
    assert_eq!(ask(&edge, "flaps", false).await.event.attempts[0].provider, "other");
}

#[tokio::test]
async fn traffic_moves_before_a_limit_is_hit() {
    let route = first_and_second(
        "limited",
        &[target("other", "gpt-a+limit=1000,remaining=1,reset=2500"), target("openai", "gpt-b")],
    );
    let edge = with_routes(&[route]).await;
    let asked = async || ask(&edge, "limited", true).await.event.attempts[0].provider.clone();
    assert_eq!(asked().await, "other");
    assert_eq!(asked().await, "openai", "one more would be too many");
    until("its limit is filled again", async || asked().await == "other").await;
}

#[tokio::test]
async fn turns_and_weights_are_kept() {
    let mut turns = first_and_second("turns", &[target("other", "gpt-a"), target("openai", "gpt-b")]);
    turns["strategy"] = json!("round_robin");
    let mut weights = first_and_second("weights", &[target("other", "gpt-a"), target("openai", "gpt-b")]);
    weights["strategy"] = json!("weighted");
    weights["targets"][0]["weight"] = json!(1_000_000);
    let edge = with_routes(&[turns, weights]).await;
    let asked = async |model: &str| ask(&edge, model, false).await.event.attempts[0].provider.clone();
    let of_turns = [asked("turns").await, asked("turns").await, asked("turns").await, asked("turns").await];
    assert_eq!((of_turns[0] == of_turns[1], &of_turns[..2]), (false, &of_turns[2..]));
    for _ in 0..5 {
        assert_eq!(asked("weights").await, "other");
    }
}

#[tokio::test]
async fn a_gemini_route_names_the_model_in_the_path() {
    let edge = EdgeStack::empty(60_000).await;
    let route = first_and_second(
        "gemini-fast",
        &[target("google", "gemini-a+fault=status:503,after=none"), target("google", "gemini-b")],
    );
    edge.publish(&routed(&edge, &[route]));
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
    for action in ["generateContent", "streamGenerateContent?alt=sse"] {
        let trace = trace();
        let path = format!("/google/v1beta/models/gemini-fast:{action}");
        let request = edge.post(&path).bearer_auth(&edge.token).json(&body);
        send(request.header(TRACE, &trace)).await.assert_ok();
        let paths: Vec<_> =
            edge.upstream.seen(&trace).await.iter().map(|seen| seen["path"].clone()).collect();
        assert_eq!(paths.len(), 2, "{paths:?}");
        assert!(paths[1].as_str().unwrap().contains("/models/gemini-b:"), "{paths:?}");
    }
}

/// Larger ones would fill an isolate's memory.
#[tokio::test]
async fn a_routed_body_has_a_limit_of_its_own() {
    let edge = with_routes(&[first_and_second("fast", &[target("openai", "gpt-b")])]).await;
    let ask = async |megabytes: usize| {
        let content = "x".repeat(megabytes << 20);
        let body = json!({"model": "fast", "messages": [{"role": "user", "content": content}]});
        send(edge.post("/openai/v1/chat/completions").bearer_auth(&edge.token).json(&body)).await
    };
    ask(15).await.assert_ok();
    ask(16).await.assert_refused(413, "body_too_large", Api::OpenAi);
}

#[tokio::test]
async fn a_body_that_streams_through_goes_to_one_only() {
    let (edge, _) = two_keys().await;
    let only = &fixture::UPSTREAM_KEY[10..];
    let body = json!({"model": format!("gpt-a+fault=status:503,only={only}"), "messages": [{"role": "user", "content": "x".repeat(5 << 20)}]});
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.token).json(&body);
    let reply = send(request).await;
    assert_eq!((reply.status, reply.header("x-latchkey-attempts")), (503, Some("1")));
}
