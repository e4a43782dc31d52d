//! A manifest that is damaged, forged, foreign or old changes nothing; an
//! isolate that has none better refuses.

use latchkey_tests::edge::{EdgeStack, world};
use latchkey_tests::fixture::{encode, now, record};
use latchkey_tests::keys;
use shared::provider::Api;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::fresh::Fresh;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::shard::Shard;
use shared::snapshot::signed::SnapshotSigner;

const HOUR: u64 = 60 * 60 * 1000;
/// Magic, key id and signature precede the payload.
const PAYLOAD: usize = 76;

/// The same, but the stack's token is revoked: had it been taken, one would see.
fn revoking(edge: &EdgeStack, version: u64) -> Manifest {
    let mut manifest = edge.manifest(version);
    manifest.delta.tokens = Shard::build(vec![record(&world::settled(1), 1, None, true)]);
    manifest
}

/// What must not be taken for `good`, with a name each.
fn bad(good: &Manifest) -> Vec<(String, Vec<u8>)> {
    let whole = encode(good);
    let mut bad = vec![
        ("empty".to_owned(), Vec::new()),
        ("junk".to_owned(), b"<html>not a manifest</html>".repeat(9)),
        ("unsigned".to_owned(), whole[PAYLOAD..].to_vec()),
        ("with zeros for a signature".to_owned(), [&whole[..12], &[0; 64], &whole[PAYLOAD..]].concat()),
        ("longer".to_owned(), [&whole[..], b"\0"].concat()),
        ("signed with an unknown key".to_owned(), good.encode(&SnapshotSigner::new(&[0x66; 32])).unwrap()),
        ("of another deployment".to_owned(), {
            encode(&Manifest { deployment_id: "other".into(), ..good.clone() })
        }),
        ("a signed object of another kind".to_owned(), {
            let token = world::settled(1);
            let project = good.delta.projects[0].clone();
            let deployment_id = keys::DEPLOYMENT.into();
            Fresh { deployment_id, record: record(&token, 1, None, true), project }
                .encode(&keys::signer())
                .unwrap()
        }),
    ];
    for at in [0, 3, 4, 11, 12, 75, PAYLOAD, PAYLOAD + 9, whole.len() / 2, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        bad.push((format!("with a bit of byte {at} flipped"), flipped));
    }
    for length in [1, PAYLOAD - 1, PAYLOAD, whole.len() / 2, whole.len() - 1] {
        bad.push((format!("cut to {length} bytes"), whole[..length].to_vec()));
    }
    bad
}

#[tokio::test]
async fn a_warm_isolate_keeps_the_last_good_one() {
    let edge = EdgeStack::warm(100).await;
    for (name, bytes) in bad(&revoking(&edge, 2)) {
        edge.kv.set_raw(MANIFEST_KEY, &bytes);
        edge.let_it_check().await;
        let reply = edge.ask(&edge.token).await;
        assert_eq!((reply.status, reply.snapshot().0), (200, 1), "{name}");
    }
    edge.kv.remove(MANIFEST_KEY);
    edge.let_it_check().await;
    edge.ask(&edge.token).await.assert_ok();
    // All the while nothing was wrong with this one.
    edge.publish(&revoking(&edge, 2));
    edge.let_it_check().await;
    edge.ask(&edge.token).await.assert_refused(401, "token_revoked", Api::OpenAi);
}

#[tokio::test]
async fn a_cold_isolate_refuses_until_a_good_one_is_there() {
    let edge = EdgeStack::empty(100).await;
    for (name, bytes) in bad(&edge.manifest(2)) {
        edge.kv.set_raw(MANIFEST_KEY, &bytes);
        let reply = edge.ask(&edge.token).await;
        assert_eq!((reply.status, reply.code()), (503, Some("snapshot_unavailable")), "{name}");
        assert!(reply.header("retry-after").is_some() && reply.header("x-latchkey-snapshot").is_none());
    }
    edge.publish(&edge.manifest(2));
    edge.ask(&edge.token).await.assert_ok();
}

#[tokio::test]
async fn an_older_or_equal_version_is_not_taken() {
    let edge = EdgeStack::empty(100).await;
    edge.publish(&edge.manifest(5));
    edge.ask(&edge.token).await.assert_ok();
    for version in [4, 1, 5] {
        edge.publish(&revoking(&edge, version));
        edge.let_it_check().await;
        let reply = edge.ask(&edge.token).await;
        assert_eq!((reply.status, reply.snapshot().0), (200, 5), "version {version}");
    }
    edge.publish(&revoking(&edge, 6));
    edge.let_it_check().await;
    edge.ask(&edge.token).await.assert_refused(401, "token_revoked", Api::OpenAi);
}

#[tokio::test]
async fn a_manifest_older_than_a_day_is_refused_by_a_cold_isolate_only() {
    let edge = EdgeStack::warm(100).await;
    let old = Manifest { created_at: now() - 24 * HOUR - 1_000, ..edge.manifest(2) };
    edge.publish(&old);
    edge.let_it_check().await;
    let reply = edge.ask(&edge.token).await;
    reply.assert_ok();
    assert!(reply.snapshot().1 >= 24 * 60 * 60, "{:?}", reply.snapshot());
    let cold = EdgeStack { workerd: edge.another_isolate(), ..edge };
    cold.ask(&cold.token).await.assert_refused(503, "snapshot_unavailable", Api::OpenAi);
    cold.publish(&Manifest { created_at: now() - 23 * HOUR, ..cold.manifest(2) });
    cold.ask(&cold.token).await.assert_ok();
}
