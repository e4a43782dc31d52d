//! Copies of the snapshot in the location's Cache API: what an isolate goes by
//! when it holds nothing and KV fails.

use latchkey_tests::cache::{CacheServer, Fault as CacheFault};
use latchkey_tests::edge::compiled::{compiled, over};
use latchkey_tests::edge::{EdgeStack, ask, until, world};
use latchkey_tests::fixture::{self, encode, now, record, text};
use latchkey_tests::kv::{Fault, Side};
use latchkey_tests::workerd::Workerd;
use shared::provider::Api;
use shared::snapshot::fresh::Fresh;
use shared::snapshot::fresh_key;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::shard::Shard;

const REFRESH_MS: u64 = 100;
const HOUR: u64 = 60 * 60 * 1000;
/// The copy of the stack's manifest.
const MANIFEST: &str = "default/manifest/v1";
/// Tokens of three shards and three projects.
const SEEDS: [u8; 3] = [1, 3, 5];

fn secret(seed: u8) -> String {
    text(&world::settled(seed))
}

fn good(edge: &EdgeStack, version: u64) -> Manifest {
    over(compiled(edge).base(edge), version)
}

/// An isolate has asked for all [`SEEDS`] and kept copies of what it read.
async fn with_copies() -> EdgeStack {
    let edge = EdgeStack::with_cache(REFRESH_MS).await;
    edge.publish(&good(&edge, 1));
    for seed in SEEDS {
        edge.ask(&secret(seed)).await.assert_ok();
    }
    // Manifest, index, three shards, two slices, providers.
    until("all copies are kept", async || edge.cache().names("").len() == 8).await;
    edge
}

async fn assert_all_served(isolate: &Workerd) {
    for seed in SEEDS {
        let reply = ask(isolate, &secret(seed)).await;
        reply.assert_ok();
        assert_eq!(reply.snapshot().0, 1);
    }
}

#[tokio::test]
async fn a_new_isolate_is_served_from_the_copies_while_kv_fails() {
    let edge = with_copies().await;
    for fault in [Fault::Fail, Fault::RateLimit(7), Fault::Hang] {
        edge.kv.set_fault(Side::Binding, fault);
        edge.kv.reset_counts();
        assert_all_served(&edge.another_isolate()).await;
        assert_eq!(edge.kv.reads(Side::Binding, ""), 0, "{fault:?}: KV has answered");
    }
}

#[tokio::test]
async fn an_object_that_kv_misses_is_taken_from_its_copy() {
    let edge = with_copies().await;
    for kind in ["index/", "shard/", "project/", "providers/"] {
        edge.kv.hide(kind);
        assert_all_served(&edge.another_isolate()).await;
        edge.kv.unhide_all();
    }
}

/// KV that was wiped is published again; until then the location goes on.
#[tokio::test]
async fn a_manifest_that_kv_misses_is_taken_from_its_copy() {
    let edge = with_copies().await;
    edge.kv.clear();
    assert_all_served(&edge.another_isolate()).await;
}

#[tokio::test]
async fn while_kv_answers_no_copy_is_read() {
    let edge = with_copies().await;
    assert_all_served(&edge.another_isolate()).await;
    assert_eq!(edge.cache().reads(""), 0);
}

#[tokio::test]
async fn damaged_copies_are_not_believed() {
    let edge = with_copies().await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    let whole: Vec<_> =
        edge.cache().names("").into_iter().map(|name| (name.clone(), edge.cache().raw(&name))).collect();
    for kind in ["manifest/", "index/", "shard/", "project/", "providers/"] {
        let prefix = format!("default/{kind}");
        let damages: [fn(&mut Vec<u8>); 4] = [
            |content| *content.last_mut().unwrap() ^= 1,
            |content| content[0] ^= 0x80,
            |content| content.truncate(content.len() / 2),
            Vec::clear,
        ];
        for damage in damages {
            edge.cache().damage(&prefix, damage);
            let reply = ask(&edge.another_isolate(), &secret(1)).await;
            reply.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
            for (name, content) in &whole {
                edge.cache().set_raw(name, content.as_ref().unwrap());
            }
        }
    }
    assert_all_served(&edge.another_isolate()).await;
}

#[tokio::test]
async fn a_copy_of_a_manifest_is_believed_for_a_day_and_only_of_this_deployment() {
    let edge = with_copies().await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    let refuse = async |bad: &Manifest| {
        edge.cache().set_raw(MANIFEST, &encode(bad));
        let reply = ask(&edge.another_isolate(), &secret(1)).await;
        reply.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    };
    let good = good(&edge, 1);
    refuse(&Manifest { created_at: now() - 24 * HOUR - 1_000, ..good.clone() }).await;
    refuse(&Manifest { deployment_id: "other".into(), ..good.clone() }).await;
    edge.cache().set_raw(MANIFEST, &encode(&Manifest { created_at: now() - 23 * HOUR, ..good }));
    assert_all_served(&edge.another_isolate()).await;
}

/// Who went by a copy asks KV again, and obeys it.
#[tokio::test]
async fn when_kv_is_back_it_is_heard() {
    let edge = with_copies().await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    let cold = edge.another_isolate();
    assert_all_served(&cold).await;
    edge.publish(&revoking(&edge, 2));
    edge.kv.set_fault(Side::Binding, Fault::None);
    until("the revocation is enforced", async || {
        ask(&cold, &secret(1)).await.code() == Some("token_revoked")
    })
    .await;
}

/// Another isolate of the location may have heard of a change before KV failed.
#[tokio::test]
async fn a_warm_isolate_takes_a_newer_copy_but_no_older_one() {
    let edge = with_copies().await;
    edge.publish(&good(&edge, 3));
    until("the third is in force", async || edge.ask(&secret(3)).await.snapshot().0 == 3).await;
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    edge.cache().set_raw(MANIFEST, &encode(&revoking(&edge, 2)));
    let before = edge.cache().reads(MANIFEST);
    until("the copy is read", async || {
        edge.ask(&secret(1)).await.assert_ok();
        edge.cache().reads(MANIFEST) > before + 1
    })
    .await;
    edge.cache().set_raw(MANIFEST, &encode(&revoking(&edge, 4)));
    until("the newer one is obeyed", async || edge.ask(&secret(1)).await.code() == Some("token_revoked"))
        .await;
}

fn revoking(edge: &EdgeStack, version: u64) -> Manifest {
    let mut manifest = good(edge, version);
    manifest.delta.tokens = Shard::build(vec![record(&world::settled(1), 1, None, true)]);
    manifest
}

#[tokio::test]
async fn a_cache_that_fails_or_hangs_is_as_good_as_none() {
    for fault in [CacheFault::Fail, CacheFault::Hang] {
        let edge = EdgeStack::with_cache(REFRESH_MS).await;
        edge.cache().set_fault(fault);
        edge.publish(&good(&edge, 1));
        assert_all_served(&edge.workerd).await;
        until("it tries to keep copies", async || edge.cache().writes("") >= 8).await;
        assert_eq!(edge.cache().reads(""), 0);
        // Neither has anything, and that is said in time.
        edge.kv.set_fault(Side::Binding, Fault::Hang);
        let cold = edge.another_isolate();
        ask(&cold, &secret(1)).await.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
        edge.kv.set_fault(Side::Binding, Fault::None);
        until("it is served", async || ask(&cold, &secret(1)).await.status == 200).await;
    }
}

/// Only KV can tell whether a token was created a moment ago.
#[tokio::test]
async fn fresh_tokens_are_not_copied() {
    let edge = with_copies().await;
    let token = world::fresh_token(9);
    let fresh = Fresh {
        deployment_id: latchkey_tests::keys::DEPLOYMENT.into(),
        record: record(&token, 1, None, false),
        project: fixture::project(1, &edge.providers()),
    };
    edge.kv.set_raw(&fresh_key(token.id()), &fresh.encode(&latchkey_tests::keys::signer()).unwrap());
    edge.ask(&text(&token)).await.assert_ok();
    edge.kv.set_fault(Side::Binding, Fault::Fail);
    let reply = ask(&edge.another_isolate(), &text(&token)).await;
    reply.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    let is_about_it = |name: &String| name.contains("fresh");
    assert!(!edge.cache().names("").iter().any(is_about_it) && edge.cache().reads("default/fresh") == 0);
}

#[tokio::test]
async fn copies_are_kept_as_long_as_they_may_be_needed_and_not_again_and_again() {
    let edge = with_copies().await;
    let written = |cache: &CacheServer| cache.writes("default/") - cache.writes(MANIFEST);
    let began = std::time::Instant::now();
    for version in 2..6 {
        edge.publish(&good(&edge, version));
        until("it is in force", async || edge.ask(&secret(1)).await.snapshot().0 == version).await;
    }
    assert_eq!(written(edge.cache()), 7);
    let intervals = usize::try_from(began.elapsed().as_secs() / 10).unwrap();
    assert!(edge.cache().writes(MANIFEST) <= 1 + intervals, "{}", edge.cache().writes(MANIFEST));
    for name in edge.cache().names("") {
        let max_age = if name == MANIFEST { 24 * 60 * 60 } else { 7 * 24 * 60 * 60 };
        assert_eq!(edge.cache().cache_control(&name), Some(format!("public, max-age={max_age}")), "{name}");
    }
}
