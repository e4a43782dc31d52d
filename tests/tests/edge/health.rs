//! `/healthz`.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::{EdgeStack, inside};
use latchkey_tests::fixture;
use latchkey_tests::keys;
use latchkey_tests::kv::KvServer;
use latchkey_tests::workerd::{Worker, Workerd};
use serde_json::json;
use shared::provider::Api;

#[tokio::test]
async fn says_version_and_age_of_the_snapshot_and_nothing_else() {
    let edge = EdgeStack::empty(1_000).await;
    let mut manifest = edge.manifest(7);
    manifest.created_at = fixture::now() - 100_500;
    edge.publish(&manifest);
    let reply = send(edge.get("/healthz")).await;
    assert_eq!(reply.status, 200);
    let age = reply.json()["snapshot"]["age_seconds"].as_u64().unwrap();
    assert!((100..110).contains(&age), "{age}");
    assert_eq!(reply.json(), json!({"status": "ok", "snapshot": {"version": 7, "age_seconds": age}}));
    assert_eq!(reply.snapshot().0, 7);
}

#[tokio::test]
async fn tells_what_is_inside_to_who_signs() {
    let edge = EdgeStack::warm(60_000).await;
    let plain = send(edge.get("/healthz")).await.json();
    assert_eq!(send(edge.get("/healthz?verbose")).await.json(), plain);
    let inside = inside(&edge.workerd).await;
    assert!(inside["memory_bytes"].as_u64().unwrap() > 1024 * 1024, "{inside}");
    assert_eq!(inside["stats"]["traffic"]["kv_reads"], 1, "{inside}");
}

#[tokio::test]
async fn is_not_healthy_without_a_snapshot() {
    let edge = EdgeStack::empty(1_000).await;
    let reply = send(edge.get("/healthz")).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.json(), json!({"status": "no_snapshot", "snapshot": null}));
}

#[tokio::test]
async fn a_worker_without_its_keys_names_what_is_missing() {
    let kv = KvServer::start().await;
    for missing in ["SNAPSHOT_VERIFY_KEY", "EDGE_CREDENTIAL_KEY", "TOKEN_TAG_KEY", "EDGE_INGEST_KEY"] {
        let mut variables = keys::edge_variables();
        variables.retain(|(name, _)| *name != missing);
        let workerd = Workerd::start(&Worker::edge(kv.binding_address(), variables));
        let reply = send(latchkey_tests::edge::call::client().get(workerd.url("/healthz"))).await;
        reply.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
        assert!(reply.message().contains(missing), "{}", reply.message());
    }
}
