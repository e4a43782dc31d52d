use super::World;
use crate::kv::Side;
use crate::world::eventually;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::snapshot::{Rebuild, rebuild};
use control_plane::store::sql::query;
use std::time::Duration;

const HOUR: u64 = 60 * 60 * 1000;

#[tokio::test]
async fn a_rebuild_on_demand_is_in_use_when_it_is_answered() {
    let world = World::new().await.settle(Duration::from_secs(1));
    let tokens = world.create_tokens(10).await;
    let publisher = world.start();
    publisher.caught_up().await;
    assert!(world.index().is_none(), "ten tokens are bridged by the delta");

    let mut steps = Vec::new();
    let version = rebuild(&world.store, &mut |step| steps.push(step)).await.unwrap();
    assert_eq!(steps, [Rebuild::Compiling, Rebuild::Settling]);
    assert!(world.index().is_some() && world.manifest().unwrap().version >= version);
    assert!(world.is_whole() && world.has_all(&tokens));
    assert!(world.manifest().unwrap().delta.tokens.is_empty());
    publisher.stop().await;
}

#[tokio::test]
async fn a_rebuild_survives_the_death_of_who_began_it() {
    let world = World::new().await.settle(Duration::from_secs(1));
    world.create_tokens(10).await;
    let publisher = world.start();
    publisher.caught_up().await;
    let store = world.store.clone();
    let asked = tokio::spawn(async move { rebuild(&store, &mut |_| ()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(publisher);
    let publisher = world.start();
    asked.await.unwrap().unwrap();
    assert!(world.is_whole() && world.index().is_some());
    publisher.stop().await;
}

#[tokio::test]
async fn a_rebuild_whose_objects_vanish_before_they_are_in_use_has_failed() {
    let world = World::new().await.settle(Duration::from_secs(2));
    world.create_tokens(10).await;
    let publisher = world.start();
    publisher.caught_up().await;
    let store = world.store.clone();
    let asked = tokio::spawn(async move { rebuild(&store, &mut |_| ()).await });
    eventually("the upload", async || !world.kv.keys("index/").is_empty()).await;
    world.kv.clear();
    assert!(asked.await.unwrap().unwrap_err().to_string().contains("again"));
    assert!(rebuild(&world.store, &mut |_| ()).await.is_ok() && world.is_whole());
    publisher.stop().await;
}

/// Its content is the same as before, so its name is.
#[tokio::test]
async fn a_rebuild_makes_good_what_kv_has_lost() {
    let world = World::new().await.settle(Duration::from_secs(1));
    world.create_tokens(10).await;
    let publisher = world.start();
    publisher.caught_up().await;
    rebuild(&world.store, &mut |_| ()).await.unwrap();
    for prefix in ["shard/", "project/", "providers/"] {
        world.kv.remove(&world.kv.keys(prefix)[0]);
    }
    assert!(!world.is_whole());
    rebuild(&world.store, &mut |_| ()).await.unwrap();
    assert!(world.is_whole());
    publisher.stop().await;
}

/// What changed is cut anew, and nothing else.
#[tokio::test]
async fn a_compaction_touches_the_shards_and_slices_of_what_changed() {
    let world = World::new().await.settle(Duration::ZERO);
    let mut tokens = Vec::new();
    for _ in 0..6 {
        tokens.extend(world.create_tokens(2_100).await);
    }
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let now = clock::now();
    for _ in 0..3 {
        publisher.publish(now).await.unwrap();
        publisher.finish_work(now).await.unwrap();
    }
    let shards = world.index().unwrap().shards().len();
    assert!(shards >= 3, "{shards}");

    // Beyond the delta's bound, all within the newest shard.
    let new = world.create_tokens(2_050).await;
    world.kv.reset_counts();
    for _ in 0..3 {
        publisher.publish(now + 1_000).await.unwrap();
        publisher.finish_work(now + 1_000).await.unwrap();
    }
    assert!(world.manifest().unwrap().delta.tokens.is_empty());
    let written = world.kv.writes(Side::Rest, "shard/");
    assert!((1..shards).contains(&written), "{written} shards of {shards} were written");
    assert_eq!(world.kv.writes(Side::Rest, "project/"), 0);
    assert!(world.has_all(&tokens) && world.has_all(&new));
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn once_a_day_what_has_ended_leaves_though_nothing_changed() {
    let world = World::new().await.settle(Duration::ZERO);
    let tokens = world.create_tokens(2_100).await;
    let now = clock::now();
    let mut tx = world.store.write().await.unwrap();
    let soon = i64::try_from(now + HOUR).unwrap();
    query("update tokens set expires_at = $1 where id <> $2")
        .bind(soon)
        .bind(tokens[0])
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    for hour in 0..24 {
        publisher.publish(now + hour * HOUR).await.unwrap();
        publisher.finish_work(now + hour * HOUR).await.unwrap();
    }
    assert!(world.has_all(&tokens), "the edge can say that it expired");
    // The clock of compaction is the real one: only the day is made up.
    let mut tx = world.store.write().await.unwrap();
    query("update tokens set expires_at = 1 where id <> $1").bind(tokens[0]).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    for hour in 24..28 {
        publisher.publish(now + hour * HOUR).await.unwrap();
        publisher.finish_work(now + hour * HOUR).await.unwrap();
    }
    assert!(world.token(tokens[0]).is_some());
    assert!(world.records().len() == 1);
    assert_eq!(world.index().unwrap().shards().len(), 1);
    eventually("it is clean", async || world.verify().await.is_clean()).await;
}
