//! What is in KV, read as the edge reads it.

use latchkey_tests::keys;
use latchkey_tests::stack::Stack;
use serde_json::json;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::manifest::{MAX_DELTA_RECORDS, Manifest};
use shared::snapshot::signed::SnapshotVerifier;

/// Past the delta's bound, what it held goes to shards, and everything still works.
#[tokio::test]
async fn a_delta_past_its_bound_is_compacted() {
    let stack = Stack::start_with(&[("SNAPSHOT_SETTLE", "1")]).await;
    let (_, first) = stack.token().await;
    let path = "/manage/tokens";
    let body = json!({"project_id": stack.project_id, "name": "many"});
    // Concurrent creations share calls to KV.
    let create = || async { stack.control_plane.post(path, body.clone()).await };
    let mut created = 0;
    while created <= MAX_DELTA_RECORDS {
        created += futures_util::future::join_all((0..250).map(|_| create())).await.len();
    }
    stack
        .until("the base", async || {
            let manifest = manifest(&stack);
            manifest.base.is_some() && manifest.delta.tokens.len() < MAX_DELTA_RECORDS
        })
        .await;
    let (_, last) = stack.token().await;
    stack.until("the edge to see it", async || !stack.kv.keys("shard/").is_empty()).await;
    assert_eq!(stack.ask(&first).await, (200, None));
    assert_eq!(stack.ask(&last).await, (200, None));
}

#[tokio::test]
async fn the_status_of_the_snapshot_is_shown() {
    let stack = Stack::start().await;
    stack.token().await;
    stack.until_settled().await;
    let published = stack.control_plane.post("/manage/snapshot/publish", json!({})).await;
    let shown = stack.control_plane.get("/manage/snapshot").await;
    assert!(shown["published_version"].as_u64() >= published["published_version"].as_u64());
    assert_eq!(shown["tokens"], 1);
    assert_eq!(manifest(&stack).version, shown["published_version"].as_u64().unwrap());
}

fn manifest(stack: &Stack) -> Manifest {
    let raw = stack.kv.raw(MANIFEST_KEY).unwrap();
    Manifest::decode(&raw, &SnapshotVerifier::from(&keys::signer())).unwrap()
}
