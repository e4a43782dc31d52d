use super::World;
use crate::kv::{Fault, Side};
use crate::world::{eventually, signer};
use shared::snapshot::fresh::Fresh;
use shared::snapshot::fresh_key;
use shared::snapshot::record::TokenRecord;
use shared::snapshot::signed::SnapshotVerifier;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[tokio::test]
async fn a_new_token_is_in_kv_when_its_creation_is_answered() {
    let world = World::new().await;
    let publisher = world.start();
    let id = world.create_token().await;
    let record = TokenRecord::new(id, &[7; 32], None, 1, false);
    assert!(publisher.handle.announce(record, world.project).await);
    let object = world.kv.raw(&fresh_key(id)).unwrap();
    let fresh = Fresh::decode(&object, &SnapshotVerifier::from(&signer())).unwrap();
    assert_eq!((fresh.record, fresh.deployment_id.as_str()), (record, "default"));
    assert_eq!((fresh.project.id, fresh.project.credentials.len()), (world.project, 1));
}

#[tokio::test]
async fn tokens_that_arrive_together_go_in_one_call() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    let ids = world.create_tokens(300).await;
    publisher.caught_up().await;
    world.kv.reset_counts();
    let mut creations = JoinSet::new();
    for id in ids {
        let (handle, project) = (publisher.handle.clone(), world.project);
        let record = TokenRecord::new(id, &[7; 32], None, 1, false);
        creations.spawn(async move { handle.announce(record, project).await });
    }
    assert!(creations.join_all().await.iter().all(|acknowledged| *acknowledged));
    assert_eq!(world.kv.writes(Side::Rest, "fresh/"), 300);
    assert!(world.kv.rest_calls() <= 3, "{} calls", world.kv.rest_calls());
}

#[tokio::test]
async fn a_creation_waits_two_seconds_at_most() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    world.kv.set_fault(Side::Rest, Fault::Delay(Duration::from_secs(3)));
    let id = world.create_token().await;
    let record = TokenRecord::new(id, &[7; 32], None, 1, false);
    let start = Instant::now();
    assert!(!publisher.handle.announce(record, world.project).await);
    assert!((1_900..2_900).contains(&start.elapsed().as_millis()));
    eventually("the write goes on", async || world.kv.raw(&fresh_key(id)).is_some()).await;

    world.kv.set_fault(Side::Rest, Fault::Fail);
    let start = Instant::now();
    assert!(!publisher.handle.announce(record, world.project).await);
    assert!(start.elapsed() < Duration::from_secs(1), "a refusal is told at once");
}
