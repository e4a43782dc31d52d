//! KV that fails or hangs: what an isolate holds is enough.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::compiled::compile;
use latchkey_tests::edge::{EdgeStack, MODEL, world};
use latchkey_tests::fixture;
use latchkey_tests::kv::{Fault, Side};
use shared::provider::Api;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::shard::Shard;
use std::time::{Duration, Instant};

const REFRESH_MS: u64 = 1_000;
/// More than two intervals.
const IDLE: Duration = Duration::from_millis(2_200);
/// A request that waited for the check took at least so long.
const WAITED: Duration = Duration::from_millis(250);

async fn timed(edge: &EdgeStack) -> Duration {
    let began = Instant::now();
    edge.ask(&edge.token).await.assert_ok();
    began.elapsed()
}

#[tokio::test]
async fn a_warm_isolate_goes_on_when_kv_fails() {
    let edge = EdgeStack::warm(REFRESH_MS).await;
    for fault in [Fault::Fail, Fault::RateLimit(7)] {
        edge.kv.set_fault(Side::Binding, fault);
        tokio::time::sleep(IDLE).await;
        for _ in 0..5 {
            let took = timed(&edge).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
    }
    edge.kv.set_fault(Side::Binding, Fault::None);
    edge.publish(&edge.manifest(2));
    latchkey_tests::edge::until("it catches up", async || edge.ask(&edge.token).await.snapshot().0 == 2)
        .await;
}

#[tokio::test]
async fn waiting_for_kv_that_hangs_is_bounded_and_not_for_everyone() {
    let edge = EdgeStack::warm(REFRESH_MS).await;
    edge.kv.set_fault(Side::Binding, Fault::Hang);
    tokio::time::sleep(IDLE).await;
    let first = timed(&edge).await;
    assert!((WAITED..Duration::from_secs(1)).contains(&first), "{first:?}");
    // Within the next interval nobody waits. It may be over sooner than they are, and the machine slow.
    let mut later = Vec::new();
    for _ in 0..10 {
        later.push(timed(&edge).await);
    }
    let waited = later.iter().filter(|took| **took >= WAITED).count();
    assert!(waited <= 3, "{waited} requests of {later:?} waited");
    edge.kv.set_fault(Side::Binding, Fault::None);
    edge.publish(&edge.manifest(2));
    latchkey_tests::edge::until("it catches up", async || edge.ask(&edge.token).await.snapshot().0 == 2)
        .await;
}

#[tokio::test]
async fn a_slow_kv_holds_nobody_up_while_requests_flow() {
    let edge = EdgeStack::warm(REFRESH_MS).await;
    edge.kv.set_fault(Side::Binding, Fault::Delay(Duration::from_millis(600)));
    let end = Instant::now() + Duration::from_secs(4);
    let mut waited = Vec::new();
    while Instant::now() < end {
        let took = timed(&edge).await;
        if took >= WAITED {
            waited.push(took);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // One may be the slow machine's; were it KV's, there would be one an interval.
    assert!(waited.len() <= 1, "{waited:?}");
}

#[tokio::test]
async fn a_cold_isolate_without_kv_refuses_after_a_bounded_wait() {
    let edge = EdgeStack::start(REFRESH_MS).await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    edge.ask(&edge.token).await.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    edge.kv.set_fault(Side::Binding, Fault::Hang);
    let began = Instant::now();
    edge.ask(&edge.token).await.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    edge.kv.set_fault(Side::Binding, Fault::None);
    edge.ask(&edge.token).await.assert_ok();
}

/// Whether a new token is good, only KV can tell.
#[tokio::test]
async fn an_unknown_fresh_token_is_not_called_invalid_while_kv_fails() {
    let edge = EdgeStack::warm(60_000).await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    let reply = edge.ask(&fixture::text(&world::fresh_token(2))).await;
    reply.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    // Those that it knows, and those that cannot be fresh, need no KV.
    edge.ask(&edge.token).await.assert_ok();
    edge.ask(&fixture::text(&world::settled(9))).await.assert_refused(401, "invalid_token", Api::OpenAi);
    send(edge.get(MODEL)).await.assert_refused(401, "missing_token", Api::OpenAi);
}

#[tokio::test]
async fn the_wait_for_a_fresh_record_is_bounded() {
    let edge = EdgeStack::warm(60_000).await;
    edge.kv.set_fault(Side::Binding, Fault::Hang);
    let token = fixture::text(&world::fresh_token(2));
    let reply = tokio::time::timeout(Duration::from_secs(10), edge.ask(&token)).await;
    reply.expect("it waits for KV without end").assert_refused(503, "snapshot_unavailable", Api::OpenAi);
}

#[tokio::test]
async fn the_wait_for_an_object_is_bounded() {
    let edge = EdgeStack::empty(60_000).await;
    let manifest = with_a_shard(&edge, 1);
    edge.publish(&manifest);
    send(edge.get("/healthz")).await;
    edge.kv.set_fault(Side::Binding, Fault::Hang);
    let reply = tokio::time::timeout(Duration::from_secs(10), edge.ask(&edge.token)).await;
    reply.expect("it waits for KV without end").assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    edge.kv.set_fault(Side::Binding, Fault::None);
    edge.ask(&edge.token).await.assert_ok();
}

/// An object that cannot be read at the moment is not one that is missing.
#[tokio::test]
async fn while_an_object_cannot_be_read_the_previous_snapshot_serves() {
    let edge = EdgeStack::warm(2_000).await;
    edge.publish(&with_a_shard(&edge, 2));
    latchkey_tests::edge::until("the isolate has the second manifest", async || {
        send(edge.get("/healthz")).await.snapshot().0 == 2
    })
    .await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    edge.ask(&edge.token).await.assert_ok();
    edge.kv.set_fault(Side::Binding, Fault::None);
    let reply = edge.ask(&edge.token).await;
    assert_eq!((reply.status, reply.snapshot().0), (200, 2));
}

/// The stack's manifest, its token in a shard instead of the delta.
fn with_a_shard(edge: &EdgeStack, version: u64) -> Manifest {
    let mut manifest = edge.manifest(version);
    let records = manifest.delta.tokens.iter().collect();
    manifest.base = Some(compile(edge, vec![records], Vec::new(), &edge.providers()).base(edge));
    manifest.delta.tokens = Shard::default();
    manifest
}
