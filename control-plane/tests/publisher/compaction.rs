use super::World;
use crate::kv::Side;
use crate::world::eventually;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::store::outbox;
use control_plane::store::sql::query;
use shared::snapshot::MANIFEST_KEY;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: u64 = 60 * 60 * 1000;
const DAY: u64 = 24 * HOUR;
/// Beyond `MAX_DELTA_RECORDS`.
const MANY: usize = 2_100;

async fn outbox_len(world: &World) -> i64 {
    let mut tx = world.store.read().await.unwrap();
    control_plane::store::sql::query("select count(*) from outbox").scalar(&mut tx).await.unwrap()
}

fn is_compacted(world: &World) -> bool {
    world.manifest().is_some_and(|manifest| manifest.base.is_some())
}

#[tokio::test]
async fn objects_are_named_only_after_they_settled() {
    let world = World::new().await.settle(3 * SECOND);
    let tokens = world.create_tokens(MANY).await;
    let publisher = world.start();
    eventually("objects are uploaded", async || !world.kv.keys("providers/").is_empty()).await;
    assert!(!is_compacted(&world));
    assert!(world.has_all(&tokens), "the delta bridges");
    // What changes meanwhile is in the delta also after the base is named.
    world.revoke(tokens[5]).await;
    let between = world.create_token().await;
    tokio::time::sleep(2 * SECOND).await;
    assert!(!is_compacted(&world));

    eventually("the base is named", async || is_compacted(&world)).await;
    assert!(world.is_whole());
    let manifest = world.manifest().unwrap();
    assert!(manifest.delta.tokens.len() <= 2 && manifest.delta.projects.is_empty());
    assert!(world.has_all(&tokens));
    assert!(world.token(tokens[5]).unwrap().is_revoked() && world.token(between).is_some());
    assert!(world.project().is_some() && world.providers().is_some());
    eventually("told rows are gone", async || outbox_len(&world).await <= 2).await;
    assert_eq!(publisher.status().await.tokens, MANY as u64 + 1);
}

/// Isolates have no room for it, so there is no time to let its objects settle.
#[tokio::test]
async fn a_delta_beyond_its_hard_bound_is_compacted_and_named_at_once() {
    let world = World::new().await;
    let token = world.create_token().await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    publisher.publish(clock::now()).await.unwrap();
    assert!(!is_compacted(&world) && world.token(token).is_some());

    let sealed = "s".repeat(9 * 1024 * 1024);
    let mut tx = world.store.write().await.unwrap();
    query("update credentials set sealed = $1").bind(&sealed).execute(&mut tx).await.unwrap();
    outbox::project_changed(&mut tx, world.project, clock::now()).await.unwrap();
    tx.commit().await.unwrap();
    publisher.publish(clock::now()).await.unwrap();
    assert!(is_compacted(&world) && world.is_whole());
    assert!(world.kv.raw(MANIFEST_KEY).unwrap().len() < 1_000);
    assert!(world.token(token).is_some() && world.verify().await.is_clean());
}

#[tokio::test]
async fn a_second_compaction_uploads_what_was_touched() {
    let world = World::new().await.settle(Duration::ZERO);
    world.create_tokens(MANY).await;
    let publisher = world.start();
    eventually("the base is named", async || is_compacted(&world)).await;
    let first = world.manifest().unwrap().base;
    world.kv.reset_counts();
    let new = world.create_tokens(MANY).await;
    eventually("the next base is named", async || world.manifest().unwrap().base != first).await;
    assert!(world.has_all(&new));
    assert_eq!(world.kv.writes(Side::Rest, "providers/") + world.kv.writes(Side::Rest, "project/"), 0);
    publisher.stop().await;
}

#[tokio::test]
async fn tokens_that_ended_long_ago_leave() {
    let world = World::new().await.settle(Duration::ZERO);
    let tokens = world.create_tokens(MANY).await;
    let mut tx = world.store.write().await.unwrap();
    query("update tokens set expires_at = 1 where id = $1").bind(tokens[0]).execute(&mut tx).await.unwrap();
    query("update tokens set revoked_at = 1 where id = $1").bind(tokens[1]).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let now = clock::now();
    let revoked_long_ago = world.create_elsewhere(2, now - 3 * DAY, now - DAY - HOUR).await;
    let revoked_lately = world.create_elsewhere(3, now - 3 * DAY, now - DAY + HOUR).await;
    let issued_since = world.create_elsewhere(4, now - DAY, now - DAY - HOUR).await;
    let _publisher = world.start();
    eventually("the base is named", async || is_compacted(&world)).await;
    assert_eq!([tokens[0], tokens[1], revoked_long_ago].map(|token| world.token(token)), [None; 3]);
    assert!(world.has_all(&tokens[2..]) && world.has_all(&[revoked_lately, issued_since]));
}

#[tokio::test]
async fn a_wiped_kv_gets_its_objects_back_at_once() {
    let world = World::new().await.settle(Duration::ZERO).heartbeat(SECOND);
    let tokens = world.create_tokens(MANY).await;
    let publisher = world.start();
    eventually("the base is named", async || is_compacted(&world)).await;
    publisher.caught_up().await;
    // From now on nothing may wait for objects to settle.
    publisher.stop().await;
    let world = world.settle(90 * SECOND);

    let publisher = world.start();
    world.kv.clear();
    eventually("it is healed", async || world.is_whole()).await;
    assert!(world.has_all(&tokens));

    // Only objects are lost, while nobody looks.
    publisher.stop().await;
    for key in world.kv.keys("shard/") {
        world.kv.remove(&key);
    }
    assert!(!world.is_whole());
    let publisher = world.start();
    eventually("it is healed again", async || world.is_whole()).await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_wipe_while_a_base_settles_is_noticed_before_it_is_named() {
    let world = World::new().await.settle(3 * SECOND).heartbeat(SECOND);
    let tokens = world.create_tokens(MANY).await;
    let _publisher = world.start();
    eventually("objects are uploaded", async || !world.kv.keys("providers/").is_empty()).await;
    world.kv.clear();
    eventually("the delta is back", async || world.manifest().is_some()).await;
    eventually("a base is named", async || {
        assert!(world.manifest().is_none() || world.is_whole(), "nothing is named that is not there");
        is_compacted(&world)
    })
    .await;
    assert!(world.has_all(&tokens));
}

#[tokio::test]
async fn killed_while_compacting_it_begins_anew() {
    let world = World::new().await.settle(SECOND);
    let tokens = world.create_tokens(MANY).await;
    for _ in 0..5 {
        let publisher = world.start();
        tokio::time::sleep(Duration::from_millis(120)).await;
        drop(publisher);
    }
    let _publisher = world.start();
    eventually("the base is named", async || is_compacted(&world)).await;
    assert!(world.is_whole() && world.has_all(&tokens));
    assert!(world.kv.raw(MANIFEST_KEY).is_some());
}
