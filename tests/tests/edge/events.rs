//! Each request ends in exactly one event, which arrives whatever fails.

use futures_util::future::join_all;
use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::{EdgeStack, MODEL, chat_body, inside, shared, until};
use latchkey_tests::events::{Fault, Side};
use latchkey_tests::fixture;
use shared::event::{Completion, Event, Outcome};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const HOUR: u64 = 3_600_000;

fn id(reply: &Reply) -> &str {
    reply.header("x-latchkey-request-id").unwrap()
}

/// Asserts that they are all of one isolate's first events.
#[track_caller]
fn assert_without_hole(events: &[Event]) {
    let mut seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
    assert_eq!(events.iter().map(|event| event.isolate_id).collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test]
async fn an_answer_is_told_as_it_was() {
    let edge = shared();
    let body = chat_body("gpt-example+chunks=5", false);
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
    let reply = send(request.header("cf-ray", "0123-FRA").header("cf-ipcountry", "DE")).await;
    reply.assert_ok();
    let event = edge.events.of(id(&reply)).await;
    assert_eq!((event.method.as_str(), event.endpoint.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!((event.status, event.completion, event.error_code), (200, Completion::Complete, None));
    assert_eq!((event.provider.as_deref(), event.count), (Some("openai"), 1));
    assert_eq!(event.bytes_in, body.to_string().len() as u64);
    assert_eq!(event.bytes_out, reply.body.len() as u64);
    assert_eq!(event.snapshot_version, Some(1));
    assert_eq!((event.colo.as_deref(), event.country.as_deref()), (Some("FRA"), Some("DE")));
    assert!(event.project_id.is_some() && event.token_id.is_some());
    let [attempt] = event.attempts.try_into().unwrap();
    assert_eq!((attempt.provider.as_str(), attempt.status), ("openai", Some(200)));
    assert_eq!(attempt.outcome, Outcome::Answered);
    let first_byte = event.first_byte_at.unwrap();
    assert!(event.started_at <= attempt.started_at && attempt.ended_at <= first_byte);
    assert!(first_byte <= event.ended_at && fixture::now().abs_diff(event.ended_at) < HOUR);
}

#[tokio::test]
async fn a_refusal_tells_whose_it_was_and_what_the_upstream_did() {
    let edge = shared();
    let token = &edge.tokens.valid;
    let (refused, unreachable, timed_out) = (None, Some(Outcome::Unreachable), Some(Outcome::TimedOut));
    for (path, status, code, provider, outcome) in [
        ("/nobody/v1/models/x", 404, "unknown_provider", None, refused),
        ("/openai/v1/files", 403, "endpoint_not_allowed", Some("openai"), refused),
        ("/openai/v1/chat/completions", 405, "method_not_allowed", Some("openai"), refused),
        ("/down/v1/models/x", 502, "upstream_error", Some("down"), unreachable),
        ("/slow/_fault/silent?ms=5000", 504, "upstream_timeout", Some("slow"), timed_out),
        ("/openai/_fault/redirect", 502, "upstream_error", Some("openai"), Some(Outcome::Redirected)),
    ] {
        let reply = send(edge.get(path).bearer_auth(token)).await;
        assert_eq!((reply.status, reply.code()), (status, Some(code)), "{path}");
        let event = edge.events.of(id(&reply)).await;
        assert_eq!((event.status, event.error_code.as_deref()), (status, Some(code)), "{path}");
        assert_eq!((event.completion, event.provider.as_deref()), (Completion::Refused, provider), "{path}");
        assert_eq!(event.attempts.first().map(|attempt| attempt.outcome), outcome, "{path}");
        assert!(event.token_id.is_some() && event.first_byte_at.is_none());
    }
}

#[tokio::test]
async fn an_upstreams_own_error_is_an_answer() {
    let edge = shared();
    let reply = send(edge.get("/openai/_fault/status/429").bearer_auth(&edge.tokens.valid)).await;
    let event = edge.events.of(id(&reply)).await;
    assert_eq!((event.status, event.completion, event.error_code), (429, Completion::Complete, None));
    assert_eq!(event.bytes_out, reply.body.len() as u64);
}

#[tokio::test]
async fn events_of_one_moment_are_one_message_and_numbered_without_a_hole() {
    let edge = EdgeStack::warm(60_000).await;
    let replies = join_all((0..200).map(|_| edge.ask(&edge.token))).await;
    for reply in &replies {
        edge.events.of(id(reply)).await;
    }
    let events = edge.events.all();
    assert_eq!(events.len(), 201);
    assert_without_hole(&events);
    assert!(events.iter().any(|event| event.in_flight > 0));
    assert_eq!(events.iter().max_by_key(|event| event.seq).unwrap().in_flight, 0);
    let messages = edge.events.taken(Side::Queue).len();
    assert!(messages < 60, "{messages} messages");
    assert_eq!(edge.events.asked(Side::ControlPlane), 0);
}

#[tokio::test]
async fn a_flood_of_bad_keys_is_one_event_that_counts_them() {
    let edge = EdgeStack::warm(60_000).await;
    let floods = join_all((0..20).map(async |_| {
        for _ in 0..20 {
            edge.ask("sk-lk-nonsense").await.assert_refused(
                401,
                "malformed_token",
                shared::provider::Api::OpenAi,
            );
        }
    }));
    floods.await;
    send(edge.get("/openai/v1/models/x")).await;
    edge.ask(&edge.token).await.assert_ok();
    let deadline = Instant::now() + Duration::from_secs(30);
    let refused = || {
        let events = edge.events.all().into_iter();
        events.filter(|event| event.completion == Completion::Refused).collect::<Vec<_>>()
    };
    let counted = |events: &[Event]| events.iter().map(|event| event.count).sum::<u32>();
    while counted(&refused()) < 401 {
        assert!(Instant::now() < deadline, "{:?}", refused());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let events = refused();
    // More than one for a code only where the flood met the end of a minute.
    assert!(events.len() <= 4 && counted(&events) == 401, "{events:?}");
    assert!(events.iter().all(|event| event.token_id.is_none() && event.attempts.is_empty()));
    assert_without_hole(&edge.events.all());
}

#[tokio::test]
async fn without_the_queue_events_are_posted() {
    let edge = EdgeStack::warm(60_000).await;
    for fault in [Fault::Status(500), Fault::Hang] {
        edge.events.set_fault(Side::Queue, fault);
        for _ in 0..3 {
            let reply = edge.ask(&edge.token).await;
            let event = edge.events.of(id(&reply)).await;
            assert_eq!(event.completion, Completion::Complete);
        }
    }
    assert!(!edge.events.taken(Side::ControlPlane).is_empty());
    edge.events.set_fault(Side::Queue, Fault::None);
    let posted = edge.events.asked(Side::ControlPlane);
    let reply = edge.ask(&edge.token).await;
    edge.events.of(id(&reply)).await;
    assert_eq!(edge.events.asked(Side::ControlPlane), posted);
    assert_without_hole(&edge.events.all());
}

#[tokio::test]
async fn what_nobody_takes_is_kept_and_comes_with_the_next() {
    let edge = EdgeStack::warm(60_000).await;
    edge.events.set_fault(Side::Queue, Fault::Status(500));
    edge.events.set_fault(Side::ControlPlane, Fault::Status(503));
    let mut ids = Vec::new();
    for _ in 0..3 {
        let before = edge.events.asked(Side::ControlPlane);
        ids.extend(join_all((0..20).map(async |_| id(&edge.ask(&edge.token).await).to_owned())).await);
        until("it is given up", async || edge.events.asked(Side::ControlPlane) > before).await;
    }
    until("all tries have ended", async || {
        inside(&edge.workerd).await["stats"]["events"]["refused"].as_u64() >= Some(3)
    })
    .await;
    edge.events.set_fault(Side::Queue, Fault::None);
    edge.ask(&edge.token).await.assert_ok();
    for id in ids {
        edge.events.of(&id).await;
    }
    assert_without_hole(&edge.events.all());
}

/// A clock that is wrong must not lose events: each side has its own.
#[tokio::test]
async fn a_control_plane_with_another_time_is_believed_once() {
    let edge = EdgeStack::warm(60_000).await;
    edge.events.set_fault(Side::Queue, Fault::Status(500));
    edge.events.set_fault(Side::ControlPlane, Fault::Skew(-86_400));
    let reply = edge.ask(&edge.token).await;
    edge.events.of(id(&reply)).await;
}

/// What dies with an isolate is its last group: nothing earlier, and no hole.
#[tokio::test]
async fn an_isolate_that_is_killed_loses_only_what_it_was_about_to_send() {
    let mut edge = EdgeStack::warm(60_000).await;
    let answered = Mutex::new(Vec::new());
    let load = join_all((0..16).map(async |_| {
        while let Ok(response) = edge.get(MODEL).bearer_auth(&edge.token).send().await {
            let id = response.headers()["x-latchkey-request-id"].to_str().unwrap().to_owned();
            if response.bytes().await.is_err() {
                return;
            }
            answered.lock().unwrap().push((id, Instant::now()));
        }
    }));
    let _ = tokio::time::timeout(Duration::from_secs(2), load).await;
    edge.workerd.kill();
    let killed = Instant::now();
    // What had left is under way to the queue.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let events = edge.events.all();
    assert_without_hole(&events);
    let told: BTreeSet<String> = events.iter().map(|event| event.id.to_string()).collect();
    let answered = answered.into_inner().unwrap();
    let lost: Vec<Duration> =
        answered.iter().filter(|(id, _)| !told.contains(id)).map(|(_, at)| killed - *at).collect();
    assert!(answered.len() > 100, "{}", answered.len());
    assert!(lost.iter().all(|age| *age < Duration::from_millis(500)), "{lost:?}");
}
