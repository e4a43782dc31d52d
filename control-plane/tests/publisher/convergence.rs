use super::World;
use crate::kv::{Fault, Side};
use crate::world::{API_TOKEN, eventually, signer};
use control_plane::clock;
use control_plane::snapshot::PublishError;
use control_plane::store::outbox;
use control_plane::store::sql::query;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::manifest::{Delta, Manifest};
use shared::snapshot::signed::SnapshotSigner;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn foreign_manifest(deployment_id: &str, signer: &SnapshotSigner) -> Vec<u8> {
    let manifest = Manifest {
        deployment_id: deployment_id.into(),
        version: u64::MAX / 4,
        created_at: 0,
        base: None,
        delta: Delta::default(),
    };
    manifest.encode(signer).unwrap()
}

#[tokio::test]
async fn the_first_start_publishes_everything_at_once() {
    let world = World::new().await;
    let token = world.create_token().await;
    let before = clock::now();
    let publisher = world.start();
    publisher.caught_up().await;

    assert!(!world.token(token).unwrap().is_revoked());
    assert_eq!(world.project().unwrap().credentials.len(), 1);
    assert_eq!(world.providers().unwrap().providers[0].name, "openai");
    let status = publisher.status().await;
    assert!(status.version >= before && status.version == status.published_version);
    assert_eq!((status.tokens, status.pending, status.lag_ms), (1, 0, 0));
    assert_eq!(world.manifest().unwrap().version, status.version);
    assert_eq!(publisher.handle.kv_ready().await, Ok(()));
    assert_eq!(world.kv.authorization().unwrap(), format!("Bearer {API_TOKEN}"));
}

#[tokio::test]
async fn changes_within_a_second_cost_one_write() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    tokio::time::sleep(SECOND).await;
    world.kv.reset_counts();

    let start = Instant::now();
    let mut tokens = Vec::new();
    while start.elapsed() < SECOND / 2 {
        tokens.push(world.create_token().await);
        publisher.handle.changed();
    }
    publisher.caught_up().await;
    assert_eq!(world.kv.writes(Side::Rest, MANIFEST_KEY), 2, "the leading edge, and all others together");
    assert!(world.has_all(&tokens));

    world.revoke(tokens[0]).await;
    world.set_active(false).await;
    publisher.caught_up().await;
    assert!(world.token(tokens[0]).unwrap().is_revoked());
    assert!(!world.project().unwrap().is_active);
}

#[tokio::test]
async fn a_failed_write_is_made_good() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    for fault in [Fault::Fail, Fault::FailAfter] {
        let before = publisher.status().await.published_version;
        world.kv.set_fault(Side::Rest, fault);
        let token = world.create_token().await;
        publisher.handle.changed();
        eventually("an attempt failed", async || publisher.handle.kv_ready().await.is_err()).await;
        assert!(publisher.handle.publish_now().await.is_err());
        let status = publisher.status().await;
        assert_eq!((status.pending, status.published_version), (1, before));
        assert!(status.lag_ms > 0);

        world.kv.set_fault(Side::Rest, Fault::None);
        publisher.caught_up().await;
        assert!(world.token(token).is_some());
        assert_eq!(world.manifest().unwrap().version, publisher.status().await.version);
        assert!(publisher.status().await.version > before);
    }
}

#[tokio::test]
async fn a_wait_that_kv_asks_for_is_kept() {
    let world = World::new().await;
    world.kv.set_fault(Side::Rest, Fault::RateLimit(2));
    let publisher = world.start();
    eventually("KV refused", async || publisher.handle.kv_ready().await.is_err()).await;
    world.kv.set_fault(Side::Rest, Fault::None);
    world.kv.reset_counts();
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.kv.rest_calls(), 0);
    publisher.caught_up().await;
}

/// Between the write to KV and its record in the database.
#[tokio::test]
async fn killed_midway_it_converges_after_the_restart() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    let token = world.create_token().await;
    let crashed = world.copy().await;
    publisher.handle.publish_now().await.unwrap();
    let known_to_edges = world.manifest().unwrap().version;
    drop(publisher);

    let publisher = crashed.start();
    assert_eq!(publisher.status().await.pending, 1);
    publisher.caught_up().await;
    assert!(crashed.manifest().unwrap().version > known_to_edges);
    assert!(crashed.token(token).is_some());
}

#[tokio::test]
async fn a_restored_database_publishes_what_it_says() {
    let world = World::new().await;
    let old = world.copy().await;
    let publisher = world.start();
    let lost = world.create_token().await;
    publisher.handle.publish_now().await.unwrap();
    assert!(world.token(lost).is_some());
    // As if the clock of whoever published had been ahead.
    let mut ahead = world.manifest().unwrap();
    ahead.version += 1_000_000;
    publisher.stop().await;
    world.kv.set_raw(MANIFEST_KEY, &ahead.encode(&signer()).unwrap());

    let publisher = old.start();
    publisher.caught_up().await;
    assert_eq!(old.manifest().unwrap().version, ahead.version + 1);
    assert!(old.token(lost).is_none() && old.project().is_some());
}

#[tokio::test]
async fn a_change_that_commits_late_is_not_skipped() {
    let world = World::new().await;
    let [first, second] = [world.create_token().await, world.create_token().await];
    let mut tx = world.store.write().await.unwrap();
    query("delete from outbox where token_id = $1").bind(first).execute(&mut tx).await.unwrap();
    query("update outbox set seq = 1000 where token_id = $1").bind(second).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let publisher = world.start();
    publisher.caught_up().await;
    assert!(world.token(first).is_none() && world.token(second).is_some());

    // A lower number, visible only now: PostgreSQL does that.
    let mut tx = world.store.write().await.unwrap();
    query("insert into outbox (seq, token_id, created_at) values (500, $1, 0)")
        .bind(first)
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    publisher.caught_up().await;
    assert!(world.token(first).is_some());
}

#[tokio::test]
async fn a_change_during_a_write_stays_pending_for_the_next() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    // The next change is written at once.
    tokio::time::sleep(SECOND + SECOND / 5).await;
    world.kv.set_fault(Side::Rest, Fault::Delay(SECOND));
    let early = world.create_token().await;
    publisher.handle.changed();
    tokio::time::sleep(SECOND / 2).await;
    let late = world.create_token().await;
    eventually("the first is told", async || world.token(early).is_some()).await;
    assert!(world.token(late).is_none());
    publisher.caught_up().await;
    assert!(world.token(late).is_some());
}

#[tokio::test]
async fn the_heartbeat_signs_anew_and_heals_a_wiped_kv() {
    let world = World::new().await.heartbeat(SECOND);
    let token = world.create_token().await;
    let publisher = world.start();
    publisher.caught_up().await;
    let first = world.manifest().unwrap().version;
    eventually("it is signed anew", async || world.manifest().unwrap().version > first).await;
    world.kv.clear();
    eventually("it is published again", async || world.token(token).is_some()).await;
    publisher.stop().await;
}

#[tokio::test]
async fn another_deployment_is_refused_and_a_forgery_overwritten() {
    let world = World::new().await;
    let foreign = foreign_manifest("other", &signer());
    world.kv.set_raw(MANIFEST_KEY, &foreign);
    let publisher = world.start();
    eventually("it is refused", async || publisher.handle.status().await.is_err()).await;
    let refused = publisher.handle.publish_now().await;
    assert!(matches!(refused, Err(PublishError::Told(text)) if text.contains("\"other\"")));
    assert!(publisher.handle.kv_ready().await.unwrap_err().contains("other"));
    assert_eq!(world.kv.raw(MANIFEST_KEY).unwrap(), foreign);

    world.kv.set_raw(MANIFEST_KEY, &foreign_manifest("default", &SnapshotSigner::new(&[9; 32])));
    eventually("it is healed", async || publisher.handle.status().await.is_ok_and(|s| s.pending == 0)).await;
    assert!(world.manifest().unwrap().version < u64::MAX / 4, "a forged version says nothing");
}

#[tokio::test]
async fn the_shutdown_publishes_what_is_pending() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    let token = world.create_token().await;
    publisher.stop().await;
    assert!(world.token(token).is_some());

    world.kv.set_fault(Side::Rest, Fault::Hang);
    let publisher = world.start();
    let mut tx = world.store.write().await.unwrap();
    outbox::providers_changed(&mut tx, clock::now()).await.unwrap();
    tx.commit().await.unwrap();
    let start = Instant::now();
    publisher.stop().await;
    assert!(start.elapsed() < 4 * SECOND);
}
