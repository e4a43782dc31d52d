//! A token that the manifest does not have yet, looked for under its own key.

use latchkey_tests::edge::{EdgeStack, world};
use latchkey_tests::fixture::{self, record, text};
use latchkey_tests::keys;
use latchkey_tests::kv::Side;
use shared::provider::Api;
use shared::snapshot::config::Project;
use shared::snapshot::fresh::Fresh;
use shared::snapshot::fresh_key;
use shared::snapshot::signed::SnapshotSigner;
use shared::token::Token;

fn fresh(edge: &EdgeStack, token: &Token, project: u32) -> Fresh {
    Fresh {
        deployment_id: keys::DEPLOYMENT.into(),
        record: record(token, project, None, false),
        project: fixture::project(project, &edge.providers()),
    }
}

fn put(edge: &EdgeStack, token: &Token, fresh: &Fresh) {
    edge.kv.set_raw(&fresh_key(token.id()), &fresh.encode(&keys::signer()).unwrap());
}

#[tokio::test]
async fn an_unknown_token_made_just_now_costs_one_read() {
    let edge = EdgeStack::warm(1_000).await;
    let token = world::fresh_token(2);
    edge.ask(&text(&token)).await.assert_refused(401, "invalid_token", Api::OpenAi);
    assert_eq!(edge.kv.reads(Side::Binding, &fresh_key(token.id())), 1);
    assert_eq!(edge.object_reads(), 1);
}

#[tokio::test]
async fn an_unknown_token_older_than_three_minutes_costs_none() {
    let edge = EdgeStack::warm(1_000).await;
    let token = fixture::token(fixture::now() - 180_001, 2);
    edge.ask(&text(&token)).await.assert_refused(401, "invalid_token", Api::OpenAi);
    edge.ask(&text(&fixture::token(0, 3))).await.assert_refused(401, "invalid_token", Api::OpenAi);
    assert_eq!(edge.object_reads(), 0);
}

#[tokio::test]
async fn a_fresh_token_works_at_once_and_is_remembered() {
    let edge = EdgeStack::warm(1_000).await;
    let token = world::fresh_token(2);
    put(&edge, &token, &fresh(&edge, &token, 1));
    for _ in 0..3 {
        edge.ask(&text(&token)).await.assert_ok();
    }
    assert_eq!(edge.object_reads(), 1);
}

#[tokio::test]
async fn a_fresh_token_brings_its_project_when_the_manifest_has_it_not() {
    let edge = EdgeStack::warm(1_000).await;
    let token = world::fresh_token(2);
    put(&edge, &token, &fresh(&edge, &token, 9));
    edge.ask(&text(&token)).await.assert_ok();
}

#[tokio::test]
async fn a_project_in_the_manifest_outranks_the_one_a_fresh_token_brings() {
    let edge = EdgeStack::start(1_000).await;
    let mut manifest = edge.manifest(1);
    manifest.delta.projects[0].is_active = false;
    edge.publish(&manifest);
    let token = world::fresh_token(2);
    put(&edge, &token, &fresh(&edge, &token, 1));
    edge.ask(&text(&token)).await.assert_refused(403, "project_inactive", Api::OpenAi);
}

#[tokio::test]
async fn a_revocation_in_the_manifest_outranks_the_fresh_record() {
    let edge = EdgeStack::warm(200).await;
    let token = world::fresh_token(2);
    put(&edge, &token, &fresh(&edge, &token, 1));
    edge.ask(&text(&token)).await.assert_ok();
    let mut manifest = edge.manifest(2);
    let records = manifest.delta.tokens.iter().chain([record(&token, 1, None, true)]);
    manifest.delta.tokens = shared::snapshot::shard::Shard::build(records.collect());
    edge.publish(&manifest);
    edge.let_it_check().await;
    edge.ask(&text(&token)).await.assert_refused(401, "token_revoked", Api::OpenAi);
}

#[tokio::test]
async fn a_fresh_record_is_believed_only_of_its_own_token() {
    let edge = EdgeStack::warm(1_000).await;
    let (token, other) = (world::fresh_token(2), world::fresh_token(3));
    put(&edge, &token, &fresh(&edge, &other, 1));
    edge.ask(&text(&token)).await.assert_refused(401, "invalid_token", Api::OpenAi);
    // The right id with a wrong secret.
    put(&edge, &token, &fresh(&edge, &token, 1));
    let guess = text(&world::with_other_secret(&token));
    edge.ask(&guess).await.assert_refused(401, "invalid_token", Api::OpenAi);
    edge.ask(&text(&token)).await.assert_ok();
}

#[tokio::test]
async fn a_fresh_record_that_is_damaged_or_not_ours_is_not_believed() {
    let edge = EdgeStack::warm(1_000).await;
    let token = world::fresh_token(2);
    let good = fresh(&edge, &token, 1);
    let whole = good.encode(&keys::signer()).unwrap();
    let flipped = |at: usize| {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        damaged
    };
    let elsewhere = Fresh { deployment_id: "other".into(), ..good.clone() };
    for bytes in [
        Vec::new(),
        b"not a record".to_vec(),
        whole[76..].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
        flipped(0),
        flipped(4),
        flipped(20),
        flipped(80),
        flipped(whole.len() - 1),
        good.encode(&SnapshotSigner::new(&[0x66; 32])).unwrap(),
        elsewhere.encode(&keys::signer()).unwrap(),
        fixture::encode(&edge.manifest(2)),
    ] {
        edge.kv.set_raw(&fresh_key(token.id()), &bytes);
        edge.ask(&text(&token)).await.assert_refused(401, "invalid_token", Api::OpenAi);
    }
    put(&edge, &token, &good);
    edge.ask(&text(&token)).await.assert_ok();
}

#[tokio::test]
async fn a_fresh_token_that_is_expired_or_of_an_inactive_project_is_refused() {
    let edge = EdgeStack::warm(1_000).await;
    let token = world::fresh_token(2);
    let expired = Fresh { record: record(&token, 1, Some(fixture::now()), false), ..fresh(&edge, &token, 1) };
    put(&edge, &token, &expired);
    edge.ask(&text(&token)).await.assert_refused(401, "token_expired", Api::OpenAi);
    let token = world::fresh_token(3);
    let project = Project { is_active: false, ..fixture::project(9, &edge.providers()) };
    put(&edge, &token, &Fresh { project, ..fresh(&edge, &token, 9) });
    edge.ask(&text(&token)).await.assert_refused(403, "project_inactive", Api::OpenAi);
}
