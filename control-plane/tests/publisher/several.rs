use super::World;
use crate::kv::{Fault, Side};
use crate::world::eventually;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::store::lease;
use shared::snapshot::MANIFEST_KEY;
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

async fn holder(world: &World) -> Option<uuid::Uuid> {
    let mut tx = world.store.read().await.unwrap();
    lease::get(&mut tx).await.unwrap().holder
}

#[tokio::test]
async fn one_publishes_and_another_takes_over_when_it_dies() {
    let world = World::new().await;
    let other = world.another().await;
    let [first, second] = [world.start(), other.start()];
    eventually("one has the lease", async || holder(&world).await.is_some()).await;
    first.caught_up().await;
    let one = holder(&world).await;
    tokio::time::sleep(2 * world.lease).await;
    assert_eq!(holder(&world).await, one, "it is kept");

    // Whichever of the two it is: the one that stays publishes.
    for publisher in [first, second] {
        drop(publisher);
        let next = world.start();
        let token = world.create_token().await;
        eventually("it is published", async || world.token(token).is_some()).await;
        drop(next);
    }
}

#[tokio::test]
async fn who_stops_gives_the_lease_back() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    publisher.stop().await;
    assert_eq!(holder(&world).await, None);
}

#[tokio::test]
async fn a_change_made_beside_the_publisher_is_found() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    let other = world.another().await;
    let follower = other.start();
    let token = other.create_token().await;
    follower.handle.publish_now().await.unwrap();
    assert!(world.token(token).is_some());
    publisher.stop().await;
    follower.stop().await;
}

/// Paused while it compiles, or between the write to KV and its record.
#[tokio::test]
async fn a_deposed_publisher_records_nothing() {
    let world = World::new().await.settle(Duration::ZERO);
    let tokens = world.create_tokens(2_100).await;
    let mut paused = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    // Starts a compaction of what is there now.
    paused.publish(clock::now()).await.unwrap();
    paused.finish_work(clock::now()).await.unwrap();
    paused.publish(clock::now()).await.unwrap();

    let other = world.another().await;
    let mut running = ByHand::start(other.settings(), other.store.clone()).await.unwrap();
    world.revoke(tokens[0]).await;
    for _ in 0..3 {
        running.publish(clock::now()).await.unwrap();
        running.finish_work(clock::now()).await.unwrap();
    }
    assert!(paused.finish_work(clock::now()).await.is_err(), "a base of old data");
    assert!(paused.publish(clock::now()).await.is_err());
    // What it wrote to KV is overwritten by the next heartbeat of the other.
    running.publish(clock::now()).await.unwrap();
    assert!(world.token(tokens[0]).is_none_or(|record| record.is_revoked()));
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn an_old_manifest_that_lands_late_lasts_a_heartbeat_at_most() {
    let heartbeat = 4 * SECOND;
    let world = World::new().await.heartbeat(heartbeat);
    let token = world.create_token().await;
    let publisher = world.start();
    publisher.caught_up().await;
    let old = world.kv.raw(MANIFEST_KEY).unwrap();
    world.revoke(token).await;
    publisher.caught_up().await;
    world.kv.set_raw(MANIFEST_KEY, &old);
    let since = Instant::now();
    assert!(!world.token(token).unwrap().is_revoked());
    eventually("the revocation is back", async || world.token(token).unwrap().is_revoked()).await;
    // One that is missed fails, a busy machine does not.
    assert!(since.elapsed() < 2 * heartbeat, "{:?}", since.elapsed());
    publisher.stop().await;
}

#[tokio::test]
async fn a_write_is_given_no_more_time_than_the_lease_has() {
    let world = World::new().await;
    let publisher = world.start();
    publisher.caught_up().await;
    // The next change is written at once.
    tokio::time::sleep(SECOND + SECOND / 5).await;
    world.kv.set_fault(Side::Rest, Fault::Hang);
    let token = world.create_token().await;
    let since = Instant::now();
    publisher.handle.changed();
    eventually("the call was given up", async || publisher.handle.kv_ready().await.is_err()).await;
    // Ten seconds by itself; the lease has five.
    assert!(since.elapsed() < 8 * SECOND, "{:?}", since.elapsed());
    world.kv.set_fault(Side::Rest, Fault::None);
    eventually("it is published", async || world.token(token).is_some()).await;
    publisher.stop().await;
}
