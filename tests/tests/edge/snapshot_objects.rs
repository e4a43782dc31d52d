//! Shards, slices of projects and providers: found where the manifest says,
//! outranked by its delta, and doubted when they are missing or wrong.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::{EdgeStack, world};
use latchkey_tests::fixture::{manifest, project, record, text};
use shared::provider::Api;
use shared::snapshot::config::{Project, Providers};
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::shard::Shard;
use shared::snapshot::{Hash, project_key, providers_key, shard_key};

const REFRESH_MS: u64 = 100;
/// Names nothing.
const NOWHERE: Hash = Hash([0x77; 32]);

/// Six tokens in three shards, of three projects in two slices; nothing in the delta.
fn compiled(edge: &EdgeStack, version: u64) -> Manifest {
    let providers = edge.providers();
    let shard = |seeds: [u8; 2], project| {
        seeds.map(|seed| record(&world::settled(seed), project, None, false)).to_vec()
    };
    let shards = vec![shard([1, 2], 1), shard([3, 4], 2), shard([5, 6], 3)];
    let slices = vec![vec![project(1, &providers)], vec![project(2, &providers), project(3, &providers)]];
    let base = world::compile(edge, shards, slices, Some(&providers));
    Manifest { base, delta: Delta::default(), ..manifest(version, Vec::new(), Vec::new(), providers) }
}

fn secret(seed: u8) -> String {
    text(&world::settled(seed))
}

#[tokio::test]
async fn every_token_is_found_and_each_object_is_read_once() {
    let edge = EdgeStack::empty(60_000).await;
    edge.publish(&compiled(&edge, 1));
    edge.ask(&secret(1)).await.assert_ok();
    assert_eq!(edge.object_reads(), 3, "its shard, its slice, the providers");
    for seed in [1, 2, 3, 4, 5, 6, 1] {
        edge.ask(&secret(seed)).await.assert_ok();
    }
    assert_eq!(edge.object_reads(), 3 + 2 + 1);
    for unknown in [0, 7] {
        edge.ask(&secret(unknown)).await.assert_refused(401, "invalid_token", Api::OpenAi);
    }
    assert_eq!(edge.object_reads(), 6);
}

#[tokio::test]
async fn the_next_manifest_costs_only_what_is_new_in_it() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let first = compiled(&edge, 1);
    edge.publish(&first);
    for seed in [1, 3, 5] {
        edge.ask(&secret(seed)).await.assert_ok();
    }
    let before = edge.object_reads();
    edge.publish(&Manifest { version: 2, ..first });
    edge.let_it_check().await;
    for seed in [1, 3, 5] {
        assert_eq!(edge.ask(&secret(seed)).await.snapshot().0, 2);
    }
    assert_eq!(edge.object_reads(), before);
}

#[tokio::test]
async fn the_delta_outranks_the_base() {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = compiled(&edge, 1);
    let providers = edge.providers();
    manifest.delta.tokens = Shard::build(vec![
        record(&world::settled(1), 1, None, true),
        record(&world::settled(9), 1, None, false),
    ]);
    manifest.delta.projects = vec![Project { is_active: false, ..project(2, &providers) }];
    manifest.delta.providers = Some(Providers { providers: providers.providers[..2].to_vec() });
    edge.publish(&manifest);
    edge.ask(&secret(1)).await.assert_refused(401, "token_revoked", Api::OpenAi);
    edge.ask(&secret(2)).await.assert_ok();
    edge.ask(&secret(9)).await.assert_ok();
    edge.ask(&secret(3)).await.assert_refused(403, "project_inactive", Api::OpenAi);
    edge.ask(&secret(5)).await.assert_ok();
    let google = edge.post("/google/v1beta/models/m:generateContent").bearer_auth(secret(5));
    send(google).await.assert_refused(404, "unknown_provider", Api::Gemini);
}

/// Each object of the base, one at a time, named by a hash that KV does not have.
fn with_one_missing(good: &Manifest, version: u64) -> Vec<(&'static str, Manifest)> {
    let change = |name, edit: &dyn Fn(&mut Base)| {
        let mut manifest = Manifest { version, ..good.clone() };
        edit(&mut manifest.base);
        (name, manifest)
    };
    vec![
        change("shard", &|base| base.shards[0].hash = NOWHERE),
        change("slice", &|base| base.projects[0].hash = NOWHERE),
        change("providers", &|base| base.providers = Some(NOWHERE)),
    ]
}

#[tokio::test]
async fn for_a_missing_or_wrong_object_the_snapshot_before_stands_in() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = compiled(&edge, 1);
    edge.publish(&good);
    edge.ask(&edge.token).await.assert_ok();
    let mut in_force = 1;
    for wrong_content in [None, Some(b"not what its name says")] {
        for key in [shard_key, project_key, providers_key] {
            wrong_content.inspect(|content| edge.kv.set_raw(&key(NOWHERE), *content));
        }
        for (name, bad) in with_one_missing(&good, 0) {
            edge.publish(&Manifest { version: in_force + 1, ..bad });
            edge.let_it_check().await;
            for _ in 0..2 {
                let reply = edge.ask(&edge.token).await;
                assert_eq!(
                    (reply.status, reply.snapshot().0),
                    (200, in_force + 1),
                    "{name}: {}",
                    reply.text()
                );
            }
            in_force += 2;
            edge.publish(&Manifest { version: in_force, ..good.clone() });
            edge.let_it_check().await;
            assert_eq!(edge.ask(&edge.token).await.snapshot().0, in_force, "{name}");
        }
    }
}

/// What stands in does not bring back what was revoked since.
#[tokio::test]
async fn the_delta_of_a_manifest_with_a_missing_object_is_obeyed() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = compiled(&edge, 1);
    edge.publish(&good);
    edge.ask(&edge.token).await.assert_ok();
    let (_, mut bad) = with_one_missing(&good, 2).swap_remove(0);
    bad.delta.tokens = Shard::build(vec![record(&world::settled(1), 1, None, true)]);
    edge.publish(&bad);
    edge.let_it_check().await;
    let reply = edge.ask(&edge.token).await;
    assert_eq!((reply.status, reply.code()), (401, Some("token_revoked")));
}

#[tokio::test]
async fn a_cold_isolate_refuses_what_it_cannot_look_up_until_it_can() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = compiled(&edge, 1);
    for (name, bad) in with_one_missing(&good, 1) {
        edge.publish(&bad);
        let cold = edge.another_isolate();
        let ask = async || {
            send(
                latchkey_tests::edge::call::client()
                    .get(cold.url(latchkey_tests::edge::MODEL))
                    .bearer_auth(&edge.token),
            )
            .await
        };
        let reply = ask().await;
        assert_eq!((reply.status, reply.code()), (503, Some("snapshot_unavailable")), "{name}");
        edge.publish(&Manifest { version: 2, ..good.clone() });
        latchkey_tests::edge::until("it takes the good one", async || ask().await.status == 200).await;
    }
}

#[tokio::test]
async fn an_object_with_another_content_than_its_name_says_is_missing() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = compiled(&edge, 1);
    let names = [
        shard_key(good.base.shards[0].hash),
        project_key(good.base.projects[0].hash),
        providers_key(good.base.providers.unwrap()),
    ];
    edge.publish(&good);
    for name in names {
        let content = edge.kv.raw(&name).unwrap();
        let mut flipped = content.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for wrong in
            [Vec::new(), flipped, content[..content.len() - 1].to_vec(), [&content[..], b" "].concat()]
        {
            edge.kv.set_raw(&name, &wrong);
            let reply = edge.ask(&edge.token).await;
            assert_eq!((reply.status, reply.code()), (503, Some("snapshot_unavailable")), "{name}");
        }
        edge.kv.set_raw(&name, &content);
    }
    edge.ask(&edge.token).await.assert_ok();
}

/// Only some tokens need the missing object; others may have moved the isolate
/// on by two manifests before one that does comes along.
#[tokio::test]
async fn the_last_whole_snapshot_is_kept_until_a_newer_one_proved_whole() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = compiled(&edge, 1);
    edge.publish(&good);
    for seed in [1, 3] {
        edge.ask(&secret(seed)).await.assert_ok();
    }
    for version in [2, 3] {
        let (_, bad) = with_one_missing(&good, version).swap_remove(0);
        edge.publish(&bad);
        // Token 3 is in another shard: nothing shows.
        latchkey_tests::edge::until("it goes by the new one", async || {
            let reply = edge.ask(&secret(3)).await;
            reply.assert_ok();
            reply.snapshot().0 == version
        })
        .await;
    }
    edge.ask(&secret(1)).await.assert_ok();
}
