//! Keys are rotated by listing two: what either made is accepted.

use base64::{Engine, engine::general_purpose::STANDARD};
use latchkey_tests::edge::call::{client, send};
use latchkey_tests::edge::{EdgeStack, MODEL, world};
use latchkey_tests::keys;
use latchkey_tests::workerd::{Worker, Workerd};
use shared::key::{Key, KeyRing};
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::signed::SnapshotSigner;
use shared::token::TagKeys;

const NEW: [u8; 32] = [0x66; 32];

#[tokio::test]
async fn while_two_keys_are_listed_both_are_good() {
    let edge = EdgeStack::start(100).await;
    let new_signer = SnapshotSigner::new(&NEW);
    let variables = keys::edge_variables().into_iter().map(|(name, value)| match name {
        "SNAPSHOT_VERIFY_KEY" => (name, format!("{}, {value}", STANDARD.encode(new_signer.verifying_key()))),
        "TOKEN_TAG_KEY" | "EDGE_CREDENTIAL_KEY" => (name, format!("{}, {value}", STANDARD.encode(NEW))),
        _ => (name, value),
    });
    let mut variables: Vec<_> = variables.collect();
    variables.push(("SNAPSHOT_REFRESH_MS", "100".into()));
    let workerd = Workerd::start(&Worker::edge(edge.kv.binding_address(), variables));
    let ask = async |token: &str| send(client().get(workerd.url(MODEL)).bearer_auth(token)).await;

    ask(&edge.token).await.assert_ok();
    let new_tags = TagKeys::from(&KeyRing::from(Key::new(NEW)));
    ask(&world::settled(1).reveal(&new_tags)).await.assert_ok();
    edge.kv.set_raw(MANIFEST_KEY, &edge.manifest(2).encode(&new_signer).unwrap());
    latchkey_tests::edge::until("the new key's manifest is taken", async || {
        ask(&edge.token).await.snapshot().0 == 2
    })
    .await;
}
