use super::World;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::snapshot::verify;
use control_plane::store::sql::query;
use shared::snapshot::MANIFEST_KEY;
use std::time::Duration;

/// A world with a base, a delta, and a publisher that stands still.
async fn published() -> (World, ByHand, Vec<uuid::Uuid>) {
    let world = World::new().await.settle(Duration::ZERO);
    let tokens = world.create_tokens(2_100).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    for _ in 0..3 {
        publisher.publish(clock::now()).await.unwrap();
        publisher.finish_work(clock::now()).await.unwrap();
    }
    world.create_token().await;
    publisher.publish(clock::now()).await.unwrap();
    (world, publisher, tokens)
}

#[tokio::test]
async fn what_is_published_is_clean_and_what_waits_is_excused() {
    let (world, _publisher, tokens) = published().await;
    let report = world.verify().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.tokens, report.projects, report.pending), (2_101, 1, 0));
    assert_eq!(report.objects, 1 + world.named().len() as u64);

    world.revoke(tokens[3]).await;
    world.create_token().await;
    let report = world.verify().await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.pending, 2);
}

#[tokio::test]
async fn each_kind_of_damage_is_found() {
    let (world, _publisher, tokens) = published().await;
    for prefix in ["index/", "shard/", "project/", "providers/"] {
        let key = world.named().into_iter().find(|key| key.starts_with(prefix)).unwrap();
        let good = world.kv.raw(&key).unwrap();
        world.kv.remove(&key);
        assert!(world.verify().await.problems[0].contains("missing"), "{prefix}");
        let mut damaged = good.clone();
        *damaged.last_mut().unwrap() ^= 1;
        world.kv.set_raw(&key, &damaged);
        assert!(!world.verify().await.is_clean(), "{prefix}");
        world.kv.set_raw(&key, &good);
        assert!(world.verify().await.is_clean(), "{prefix}");
    }
    let changes: [(&'static str, &str); 4] = [
        ("update tokens set revoked_at = 1 where id = $1", "as it is in the database"),
        (
            "update tokens set secret_hash = (select secret_hash from tokens where id <> $1 limit 1), expires_at = 9 where id = $1",
            "as it is in the database",
        ),
        ("update projects set tokens_valid_from = 5 where $1 = $1", "project"),
        ("delete from tokens where id = $1", "not in the database"),
    ];
    for (change, problem) in changes {
        let mut tx = world.store.write().await.unwrap();
        query(change).bind(tokens[7]).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let report = world.verify().await;
        assert!(report.problems.iter().any(|found| found.contains(problem)), "{change}: {report:?}");
    }
}

#[tokio::test]
async fn without_a_manifest_that_is_ours_it_says_so() {
    let (world, _publisher, _) = published().await;
    world.kv.set_raw(MANIFEST_KEY, b"junk");
    let failed = verify(&world.settings(), &world.store, &mut |_, _| ()).await.unwrap_err().to_string();
    assert!(failed.contains("manifest"), "{failed}");
    world.kv.remove(MANIFEST_KEY);
    let failed = verify(&world.settings(), &world.store, &mut |_, _| ()).await.unwrap_err().to_string();
    assert!(failed.contains("no manifest"), "{failed}");
}
