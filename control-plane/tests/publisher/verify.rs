use super::World;
use crate::world::signer;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::snapshot::verify;
use control_plane::store::sql::query;
use shared::snapshot::index::{Index, ShardRef};
use shared::snapshot::manifest::Base;
use shared::snapshot::shard::Shard;
use shared::snapshot::{Hash, MANIFEST_KEY, index_key, shard_key};
use std::time::Duration;
use uuid::Uuid;

/// A world with a base, a delta, and a publisher that stands still.
async fn published() -> (World, ByHand, Vec<Uuid>) {
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
    let (world, _publisher, _) = published().await;
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
}

#[tokio::test]
async fn each_kind_of_difference_is_found() {
    let (world, _publisher, tokens) = published().await;
    let token = tokens[7];
    let differs = format!("token {token} is not in KV as it is in the database");
    let project_differs = format!("project {} is not in KV as it is in the database", world.project);
    let changes = [
        ("update tokens set revoked_at = 1 where id = $1", &differs),
        ("update tokens set expires_at = 9 where id = $1", &differs),
        (
            "update tokens set secret_hash = (select secret_hash from tokens where id <> $1 limit 1) where id = $1",
            &differs,
        ),
        ("delete from tokens where id = $1", &format!("token {token} is in KV and not in the database")),
        ("update projects set tokens_valid_from = 5 where $1 = $1", &project_differs),
        ("delete from credentials where $1 = $1", &project_differs),
        (
            "update providers set definition = '' where $1 = $1",
            &"the providers in KV are not those in the database".to_owned(),
        ),
    ];
    for (change, problem) in changes {
        let world = world.copy().await;
        let mut tx = world.store.write().await.unwrap();
        query(change).bind(token).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(&world.verify().await.problems, std::slice::from_ref(problem), "{change}");
    }

    let missing = world.create_token().await;
    let mut tx = world.store.write().await.unwrap();
    query("delete from outbox where token_id = $1").bind(missing).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.verify().await.problems, [format!("token {missing} is not in KV")]);
}

#[tokio::test]
async fn a_token_in_the_shard_of_another_range_is_found() {
    let (world, _publisher, tokens) = published().await;
    let (index, records) = (world.index().unwrap(), world.records());
    let (low, high) = tokens.split_at(1_000);
    let stray = high[500];
    let upload = |ids: &[Uuid]| {
        let shard = Shard::build(ids.iter().map(|id| records[id]).collect());
        let hash = Hash::of(shard.as_bytes());
        world.kv.set_raw(&shard_key(hash), shard.as_bytes());
        ShardRef { first: ids[0], hash }
    };
    let shards = [upload(&[low, &[stray]].concat()), upload(high)];
    let slices: Vec<_> = index.slices().collect();
    let index = Index::build(&shards, &slices, index.providers()).unwrap();
    world.kv.set_raw(&index_key(index.hash()), index.as_bytes());
    let mut manifest = world.manifest().unwrap();
    manifest.base = manifest.base.map(|base| Base { index: index.hash(), ..base });
    world.kv.set_raw(MANIFEST_KEY, &manifest.encode(&signer()).unwrap());
    let expected = [
        format!("token {stray} is in the shard of another range"),
        format!("token {stray} is in KV and not in the database"),
    ];
    assert_eq!(world.verify().await.problems, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_the_same() {
    let (world, _publisher, tokens) = published().await;
    let version = world.manifest().unwrap().version;
    let run = |arguments: &[&str]| {
        let output = world.latchkey(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = run(&["snapshot", "status"]);
    assert_eq!(code, Some(0));
    for expected in [
        format!("published   version {version} at "),
        "pending     0 changes".to_owned(),
        "base        2100 tokens".to_owned(),
        format!("in KV       version {version}, "),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    let (code, said) = run(&["snapshot", "verify"]);
    assert_eq!(code, Some(0), "{said}");
    let objects = 1 + world.named().len();
    let verdict =
        format!("version {version}, {objects} objects, 2101 valid tokens, 1 projects, 0 changes pending");
    assert_eq!(said, format!("clean: {verdict}\n"));

    let mut tx = world.store.write().await.unwrap();
    query("update tokens set expires_at = 9 where id = $1").bind(tokens[7]).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let (code, said) = run(&["snapshot", "verify"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with(&format!("token {} is not in KV as it is", tokens[7])), "{said}");
    assert!(said.contains("\ndiffers: version "), "{said}");
    let (code, said) = run(&["snapshot", "verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &report["problem_count"]), (Some(1), &1.into()));
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
