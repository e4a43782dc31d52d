use super::World;
use crate::world::eventually;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::store::sql::query;
use std::collections::BTreeSet;

const HOUR: u64 = 60 * 60 * 1000;
const ORPHAN: &str = "shard/orphan";

/// Objects in KV that no base names.
fn unnamed(world: &World) -> BTreeSet<String> {
    let all = ["index/", "shard/", "project/", "providers/"].map(|prefix| world.kv.keys(prefix));
    let named = world.named();
    all.concat().into_iter().filter(|key| !named.contains(key)).collect()
}

async fn step(publisher: &mut ByHand, now: u64) {
    publisher.publish(now).await.unwrap();
    publisher.finish_work(now).await.unwrap();
    publisher.publish(now).await.unwrap();
    publisher.finish_work(now).await.unwrap();
}

async fn note_unreferenced(world: &World, keys: impl IntoIterator<Item = String>) {
    let mut tx = world.store.write().await.unwrap();
    for key in keys {
        query("insert into snapshot_unreferenced (key, since) values ($1, 0)")
            .bind(key)
            .execute(&mut tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_no_base_names_is_deleted_after_a_day_and_not_before() {
    let world = World::new().await.settle(std::time::Duration::ZERO);
    world.create_tokens(2_100).await;
    world.kv.set_raw(ORPHAN, b"of a compaction that died");
    world.kv.set_raw("other/key", b"not ours to judge");
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let start = clock::now();
    for hour in 0..3 {
        step(&mut publisher, start + hour * HOUR).await;
    }
    let first = world.named();
    assert!(!first.is_empty() && world.kv.raw(ORPHAN).is_some());

    // Replaces a shard, the index, and what had no base before.
    world.create_tokens(2_100).await;
    for hour in 3..24 {
        step(&mut publisher, start + hour * HOUR).await;
    }
    let replaced: BTreeSet<String> = first.difference(&world.named()).cloned().collect();
    assert!(!replaced.is_empty() && world.is_whole());
    assert!(unnamed(&world).is_superset(&replaced), "an edge may still go by it");

    for hour in 24..60 {
        step(&mut publisher, start + hour * HOUR).await;
        assert!(world.is_whole(), "hour {hour}");
    }
    assert_eq!(unnamed(&world), BTreeSet::new());
    assert!(world.kv.raw("other/key").is_some());
    assert!(world.verify().await.is_clean());
}

/// While the manifest is as it was written, nothing else tells of it.
#[tokio::test]
async fn an_object_that_was_lost_is_missed_within_an_hour() {
    let world = World::new().await.settle(std::time::Duration::ZERO);
    world.create_tokens(2_100).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let start = clock::now();
    for hour in 0..3 {
        step(&mut publisher, start + hour * HOUR).await;
    }
    for (hour, prefix) in (4..).zip(["shard/", "project/", "providers/", "index/"]) {
        let lost = world.kv.keys(prefix).into_iter().find(|key| world.named().contains(key)).unwrap();
        world.kv.remove(&lost);
        assert!(!world.is_whole());
        step(&mut publisher, start + hour * HOUR).await;
        assert!(world.is_whole(), "{prefix}");
    }
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn an_object_that_is_named_again_stays() {
    let world = World::new().await.settle(std::time::Duration::ZERO);
    world.create_tokens(2_100).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let start = clock::now();
    for hour in 0..3 {
        step(&mut publisher, start + hour * HOUR).await;
    }
    // As if it had been unreferenced for long, and no sweep had seen it named since.
    note_unreferenced(&world, world.named()).await;
    for hour in 3..6 {
        step(&mut publisher, start + hour * HOUR).await;
    }
    assert!(world.is_whole());
}

/// Noted long ago, named by a base that no sweep saw, and replaced.
#[tokio::test]
async fn what_was_named_between_two_sweeps_has_its_day_anew() {
    let world = World::new().await.settle(std::time::Duration::ZERO);
    world.create_tokens(2_100).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let mut now = clock::now();
    for _ in 0..3 {
        now += HOUR;
        step(&mut publisher, now).await;
    }
    let first = world.named();
    note_unreferenced(&world, first.iter().cloned()).await;
    world.kv.clear();
    publisher.publish(now).await.unwrap();
    assert!(
        first.is_superset(&world.named()) && world.is_whole(),
        "the same objects are named again, at once"
    );

    world.create_tokens(2_100).await;
    for _ in 0..3 {
        step(&mut publisher, now).await;
    }
    let replaced: BTreeSet<String> = first.difference(&world.named()).cloned().collect();
    assert!(!replaced.is_empty() && world.is_whole());
    assert!(unnamed(&world).is_superset(&replaced), "an edge may still go by it");
    for _ in 0..26 {
        now += HOUR;
        step(&mut publisher, now).await;
    }
    assert_eq!(unnamed(&world), BTreeSet::new());
}

#[tokio::test]
async fn who_lost_the_lease_deletes_nothing() {
    let world = World::new().await;
    let mut paused = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    paused.publish(clock::now()).await.unwrap();
    world.kv.set_raw(ORPHAN, b"");
    note_unreferenced(&world, [ORPHAN.to_owned()]).await;

    let running = world.another().await.start();
    eventually("the other one publishes", async || running.status().await.published_version > 0).await;
    let _ = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    assert!(paused.publish(clock::now() + 2 * HOUR).await.is_err());
    assert!(paused.finish_work(clock::now() + 2 * HOUR).await.is_err());
    assert!(world.kv.raw(ORPHAN).is_some());
}
