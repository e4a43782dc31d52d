//! How soon a change is enforced.

use latchkey_tests::edge::call::{Reply, client, send};
use latchkey_tests::edge::{EdgeStack, MODEL, until, world};
use latchkey_tests::fixture::{manifest, now, project, record, text};
use latchkey_tests::workerd::Workerd;
use shared::provider::Api;
use shared::snapshot::config::{OnStale, Project};
use shared::snapshot::manifest::Manifest;
use std::time::{Duration, Instant};

const REFRESH_MS: u64 = 1_000;

/// Tokens 1 to 3, one in each of projects 1 to 3.
fn three_projects(edge: &EdgeStack, version: u64) -> Manifest {
    let providers = edge.providers();
    let records = (1..=3).map(|seed| record(&world::settled(seed), seed.into(), None, false)).collect();
    let projects = (1..=3).map(|number| project(number, &providers)).collect();
    manifest(version, records, projects, providers)
}

async fn ask(isolate: &Workerd, seed: u8) -> Reply {
    send(client().get(isolate.url(MODEL)).bearer_auth(text(&world::settled(seed)))).await
}

/// Three isolates, so that for each change the request after the silence is the first.
#[tokio::test]
async fn a_change_is_enforced_on_the_first_request_after_ten_seconds_of_silence() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let isolates = [edge.another_isolate(), edge.another_isolate(), edge.another_isolate()];
    let before = three_projects(&edge, 1);
    edge.publish(&before);
    for (seed, isolate) in (1..).zip(&isolates) {
        ask(isolate, seed).await.assert_ok();
    }
    let mut after = Manifest { version: 2, created_at: now(), ..before };
    let records = after.delta.tokens.iter().map(|old| match old.project() {
        1 => record(&world::settled(1), 1, None, true),
        _ => old,
    });
    after.delta.tokens = shared::snapshot::shard::Shard::build(records.collect());
    after.delta.projects[1].tokens_valid_from = world::settled(2).issued_at().unwrap() + 1;
    after.delta.projects[2].is_active = false;
    edge.publish(&after);
    tokio::time::sleep(Duration::from_secs(10)).await;
    ask(&isolates[0], 1).await.assert_refused(401, "token_revoked", Api::OpenAi);
    ask(&isolates[1], 2).await.assert_refused(401, "token_revoked", Api::OpenAi);
    ask(&isolates[2], 3).await.assert_refused(403, "project_inactive", Api::OpenAi);
}

#[tokio::test]
async fn while_requests_flow_a_change_is_enforced_within_moments() {
    let edge = EdgeStack::warm(REFRESH_MS).await;
    let mut after = three_projects(&edge, 2);
    after.delta.tokens =
        shared::snapshot::shard::Shard::build(vec![record(&world::settled(1), 1, None, true)]);
    edge.publish(&after);
    let published = Instant::now();
    until("the revocation is enforced", async || edge.ask(&edge.token).await.code() == Some("token_revoked"))
        .await;
    assert!(published.elapsed() < Duration::from_millis(2_500), "{:?}", published.elapsed());
}

#[tokio::test]
async fn requests_that_flow_read_the_manifest_about_once_an_interval() {
    let edge = EdgeStack::warm(REFRESH_MS).await;
    edge.kv.reset_counts();
    let end = Instant::now() + Duration::from_millis(3_500);
    while Instant::now() < end {
        futures_util::future::join_all((0..5).map(|_| edge.ask(&edge.token))).await;
    }
    let reads = edge.kv.reads(latchkey_tests::kv::Side::Binding, "manifest");
    // Hundreds of requests; on a slow machine a pause between them lets a few wait for a check each.
    assert!((2..=10).contains(&reads), "{reads}");
}

#[tokio::test]
async fn a_project_may_deny_what_an_old_snapshot_allows() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let mut old = three_projects(&edge, 1);
    old.created_at = now() - 100_000;
    let with = |at: usize, on_stale, max_snapshot_age| Project {
        on_stale,
        max_snapshot_age,
        ..old.delta.projects[at].clone()
    };
    old.delta.projects =
        vec![with(0, OnStale::Deny, 50), with(1, OnStale::Serve, 50), with(2, OnStale::Deny, 1_000)];
    edge.publish(&old);
    let denied = ask(&edge.workerd, 1).await;
    denied.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    assert!(denied.header("retry-after").is_some());
    assert!((100..130).contains(&denied.snapshot().1), "{:?}", denied.snapshot());
    ask(&edge.workerd, 2).await.assert_ok();
    ask(&edge.workerd, 3).await.assert_ok();
    edge.publish(&Manifest { version: 2, created_at: now(), ..old });
    until("the newer one is taken", async || ask(&edge.workerd, 1).await.status == 200).await;
}
