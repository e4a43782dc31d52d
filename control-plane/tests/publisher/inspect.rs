use super::World;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::snapshot::{Overview, overview};
use control_plane::timestamp::Timestamp;
use shared::snapshot::MANIFEST_KEY;

/// Longer than objects settle.
const SETTLED: u64 = 91_000;

async fn look(world: &World) -> Overview {
    overview(&world.settings(), &world.store).await.unwrap()
}

/// A publication, and the work beside it.
async fn step(publisher: &mut ByHand, now: u64) {
    publisher.publish(now).await.unwrap();
    publisher.finish_work(now).await.unwrap();
}

#[tokio::test]
async fn the_overview_goes_with_what_is_published() {
    let world = World::new().await;
    let seen = look(&world).await;
    assert_eq!((seen.published_version, seen.published_at, seen.pending), (0, None, 1));
    assert_eq!((seen.tokens, seen.size_bytes), (0, 0));
    assert!(seen.base.is_none() && seen.in_kv.unwrap_err().contains("no manifest"));

    world.create_tokens(2_100).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let now = clock::now();
    step(&mut publisher, now).await;
    step(&mut publisher, now).await;
    let seen = look(&world).await;
    let manifest = world.manifest().unwrap();
    assert_eq!((seen.published_version, seen.published_at), (manifest.version, Some(Timestamp(now))));
    assert_eq!((seen.pending, seen.lag_ms, seen.tokens), (0, 0, 2_100));
    assert!(seen.base.is_none(), "no manifest names it yet");
    assert!(seen.size_bytes >= world.kv.raw(MANIFEST_KEY).unwrap().len() as u64);
    assert_eq!(seen.in_kv.unwrap().version, manifest.version);

    step(&mut publisher, now + SETTLED).await;
    let base = look(&world).await.base.unwrap();
    assert_eq!((base.tokens, base.is_settling), (2_100, false));
    assert!(base.whole_at.0 >= now && base.whole_at.0 <= clock::now());

    world.create_tokens(2_100).await;
    step(&mut publisher, now + SETTLED + 1).await;
    step(&mut publisher, now + SETTLED + 1).await;
    let seen = look(&world).await;
    let base = seen.base.unwrap();
    assert_eq!((seen.tokens, base.tokens, base.is_settling), (4_200, 2_100, true));

    world.create_token().await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    world.kv.set_raw(MANIFEST_KEY, b"junk");
    let seen = look(&world).await;
    assert!(seen.pending == 1 && seen.lag_ms >= 20, "{seen:?}");
    assert!(seen.in_kv.unwrap_err().contains("cannot be used"));
}
