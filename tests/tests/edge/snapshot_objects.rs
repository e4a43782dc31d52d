//! Shards, slices of projects and providers: found where the manifest says,
//! outranked by its delta, and doubted when they are missing or wrong.

use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::compiled::{Compiled, compiled, over};
use latchkey_tests::edge::{EdgeStack, ask, until, world};
use latchkey_tests::fixture::{project, record, text};
use latchkey_tests::kv::{Fault, Side};
use shared::provider::Api;
use shared::snapshot::config::{Project, Providers};
use shared::snapshot::manifest::{Base, Manifest};
use shared::snapshot::shard::Shard;
use shared::snapshot::{Hash, index_key, project_key, providers_key, shard_key};
use std::time::Duration;

const REFRESH_MS: u64 = 100;
/// Names nothing.
const NOWHERE: Hash = Hash([0x77; 32]);

fn good(edge: &EdgeStack, version: u64) -> Manifest {
    over(compiled(edge).base(edge), version)
}

fn secret(seed: u8) -> String {
    text(&world::settled(seed))
}

#[tokio::test]
async fn every_token_is_found_and_each_object_is_read_once() {
    let edge = EdgeStack::empty(60_000).await;
    edge.publish(&good(&edge, 1));
    edge.ask(&secret(1)).await.assert_ok();
    assert_eq!(edge.object_reads(), 4, "the index, its shard, its slice, the providers");
    for seed in [1, 2, 3, 4, 5, 6, 1] {
        edge.ask(&secret(seed)).await.assert_ok();
    }
    assert_eq!(edge.object_reads(), 4 + 2 + 1);
    for unknown in [0, 7] {
        edge.ask(&secret(unknown)).await.assert_refused(401, "invalid_token", Api::OpenAi);
    }
    assert_eq!(edge.object_reads(), 7);
}

#[tokio::test]
async fn requests_that_start_together_on_a_cold_isolate_do_not_each_read_everything() {
    const AT_ONCE: usize = 20;
    let edge = EdgeStack::empty(60_000).await;
    edge.publish(&good(&edge, 1));
    edge.kv.set_fault(Side::Binding, Fault::Delay(Duration::from_millis(50)));
    let replies = futures_util::future::join_all((0..AT_ONCE).map(|_| edge.ask(&edge.token))).await;
    replies.iter().for_each(Reply::assert_ok);
    // Five, were the machine not busy: who finds that another takes long reads for itself.
    let reads = edge.kv.reads(Side::Binding, "");
    assert!((5..5 * AT_ONCE).contains(&reads), "{reads}");
}

#[tokio::test]
async fn the_next_manifest_costs_only_what_is_new_in_it() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let first = good(&edge, 1);
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
    let mut manifest = good(&edge, 1);
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
fn with_one_missing(edge: &EdgeStack, version: u64) -> Vec<(&'static str, Manifest)> {
    let change = |name, edit: &dyn Fn(&mut Compiled)| {
        let mut compiled = compiled(edge);
        edit(&mut compiled);
        (name, over(compiled.base(edge), version))
    };
    vec![
        ("index", over(Base { index: NOWHERE, compiled_at: 0 }, version)),
        change("shard", &|compiled| compiled.shards[0].hash = NOWHERE),
        change("slice", &|compiled| compiled.slices[0].hash = NOWHERE),
        change("providers", &|compiled| compiled.providers = NOWHERE),
    ]
}

/// The one without the shard of token 1.
fn without_a_shard(edge: &EdgeStack, version: u64) -> Manifest {
    with_one_missing(edge, version).swap_remove(1).1
}

#[tokio::test]
async fn for_a_missing_or_wrong_object_the_snapshot_before_stands_in() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = good(&edge, 1);
    edge.publish(&good);
    edge.ask(&edge.token).await.assert_ok();
    let mut in_force = 1;
    for wrong_content in [None, Some(b"not what its name says")] {
        for key in [index_key, shard_key, project_key, providers_key] {
            wrong_content.inspect(|content| edge.kv.set_raw(&key(NOWHERE), *content));
        }
        for (name, bad) in with_one_missing(&edge, 0) {
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
    let good = good(&edge, 1);
    edge.publish(&good);
    edge.ask(&edge.token).await.assert_ok();
    let mut bad = without_a_shard(&edge, 2);
    bad.delta.tokens = Shard::build(vec![record(&world::settled(1), 1, None, true)]);
    edge.publish(&bad);
    edge.let_it_check().await;
    let reply = edge.ask(&edge.token).await;
    assert_eq!((reply.status, reply.code()), (401, Some("token_revoked")));
}

#[tokio::test]
async fn a_cold_isolate_refuses_what_it_cannot_look_up_until_it_can() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = good(&edge, 1);
    for (name, bad) in with_one_missing(&edge, 1) {
        edge.publish(&bad);
        let cold = edge.another_isolate();
        let reply = ask(&cold, &edge.token).await;
        assert_eq!((reply.status, reply.code()), (503, Some("snapshot_unavailable")), "{name}");
        edge.publish(&Manifest { version: 2, ..good.clone() });
        until("it takes the good one", async || ask(&cold, &edge.token).await.status == 200).await;
    }
}

#[tokio::test]
async fn an_object_with_another_content_than_its_name_says_is_missing() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = good(&edge, 1);
    let Compiled { shards, slices, providers } = compiled(&edge);
    let names = [
        index_key(good.base.unwrap().index),
        shard_key(shards[0].hash),
        project_key(slices[0].hash),
        providers_key(providers),
    ];
    edge.publish(&good);
    for name in names {
        let cold = edge.another_isolate();
        let content = edge.kv.raw(&name).unwrap();
        let mut flipped = content.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for wrong in
            [Vec::new(), flipped, content[..content.len() - 1].to_vec(), [&content[..], b" "].concat()]
        {
            edge.kv.set_raw(&name, &wrong);
            let reply = ask(&cold, &edge.token).await;
            assert_eq!((reply.status, reply.code()), (503, Some("snapshot_unavailable")), "{name}");
        }
        edge.kv.set_raw(&name, &content);
        ask(&cold, &edge.token).await.assert_ok();
    }
}

/// Only some tokens need the missing object; others may have moved the isolate
/// on by two manifests before one that does comes along.
#[tokio::test]
async fn the_last_whole_snapshot_is_kept_until_a_newer_one_proved_whole() {
    let edge = EdgeStack::empty(REFRESH_MS).await;
    let good = good(&edge, 1);
    edge.publish(&good);
    for seed in [1, 3] {
        edge.ask(&secret(seed)).await.assert_ok();
    }
    for version in [2, 3] {
        edge.publish(&without_a_shard(&edge, version));
        // Token 3 is in another shard: nothing shows.
        until("it goes by the new one", async || {
            let reply = edge.ask(&secret(3)).await;
            reply.assert_ok();
            reply.snapshot().0 == version
        })
        .await;
    }
    edge.ask(&secret(1)).await.assert_ok();
}
