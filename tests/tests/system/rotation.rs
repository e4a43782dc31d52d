//! Each key is rotated with the commands and in the order of
//! `docs/operations.md`, while clients go on: none of their requests fails. In
//! the end the old key is gone from both sides, and what it made is refused.

mod rig;

use latchkey_tests::keys::MANAGEMENT_TOKEN;
use latchkey_tests::kv::Side;
use reqwest::Method;
use rig::Rig;
use serde_json::{Value, json};
use shared::key::{Key, KeyRing};
use shared::signed_call::{Call, CallError};
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};

fn standing(rank: &str, needed_by: u64, verdict: &str) -> (String, u64, String) {
    (rank.to_owned(), needed_by, verdict.to_owned())
}

#[tokio::test]
async fn the_signing_key_is_rotated_without_an_outage() {
    let (signing, verify) = ("SNAPSHOT_SIGNING_KEY", "SNAPSHOT_VERIFY_KEY");
    let mut rig = Rig::start().await;
    let (old, old_public) = (rig.only(signing), rig.only(verify));
    let made = rig.keygen("snapshot-signing-key").await;
    let (new, new_public) = (&made[signing], &made[verify]);

    rig.edge(verify, &[new_public, &old_public]).await;
    rig.control_plane(signing, &[new, &old]).await;
    assert_eq!(
        rig.standing(signing).await,
        [standing("first", 1, "keep"), standing("listed", 0, "removable")]
    );
    rig.control_plane(signing, &[new]).await;
    rig.edge(verify, &[new_public]).await;

    // What the removed key signs is not taken, by a warm isolate nor by a cold one.
    rig.stop_control_plane().await;
    let kv = &rig.stack.kv;
    let verifier = SnapshotVerifier::from_base64_list(new_public).unwrap();
    let genuine = kv.raw(MANIFEST_KEY).unwrap();
    let mut forged = Manifest::decode(&genuine, &verifier).unwrap();
    forged.version += 1_000_000;
    let signer = SnapshotSigner::new(Key::from_base64(&old).unwrap().bytes());
    kv.set_raw(MANIFEST_KEY, &forged.encode(&signer).unwrap());
    let reads = kv.reads(Side::Binding, MANIFEST_KEY);
    let has_looked = async || kv.reads(Side::Binding, MANIFEST_KEY) >= reads + 3;
    rig.stack.until("a look at the forged manifest", has_looked).await;
    assert!(rig.version_at(&rig.stack.edge).await.unwrap() < forged.version);
    assert_eq!(rig.version_at(&rig.isolate()).await, None);

    rig.start_control_plane();
    rig.still_works().await;
}

#[tokio::test]
async fn the_edge_credential_key_is_rotated_without_an_outage_on_sqlite() {
    the_edge_credential_key_is_rotated(Rig::start().await).await;
}

#[tokio::test]
async fn the_edge_credential_key_is_rotated_without_an_outage_on_postgresql() {
    the_edge_credential_key_is_rotated(Rig::start_on_postgresql().await).await;
}

async fn the_edge_credential_key_is_rotated(mut rig: Rig) {
    let name = "EDGE_CREDENTIAL_KEY";
    let old = rig.only(name);
    let new = &rig.keygen("edge-credential-key").await[name];

    rig.edge(name, &[new, &old]).await;
    rig.control_plane(name, &[new, &old]).await;
    assert_eq!(rig.standing(name).await, [standing("first", 0, "keep"), standing("listed", 1, "keep")]);
    assert_eq!(rig.reseal().await, 1);
    // "Not every edge may know": those of this test do, once they have the snapshot.
    assert_eq!(rig.standing(name).await, [standing("first", 1, "keep"), standing("listed", 0, "keep")]);
    rig.stack.until_settled().await;
    rig.control_plane(name, &[new]).await;
    rig.edge(name, &[new]).await;

    // What the removed key sealed is of no use at this edge, until it is resealed.
    rig.control_plane(name, &[&old]).await;
    let token = another_project(&rig, "sealed with the old key", "example").await;
    rig.stack.until_settled().await;
    assert_eq!(rig.stack.ask(&token).await, (503, Some("upstream_unavailable".into())));
    rig.control_plane(name, &[new]).await;
    assert_eq!(
        rig.standing(name).await,
        [standing("first", 1, "keep"), standing("not_listed", 1, "problem")]
    );
    assert_eq!(rig.reseal().await, 1);
    rig.stack.until("the new seal", async || rig.stack.ask(&token).await.0 == 200).await;
    rig.still_works().await;
}

#[tokio::test]
async fn the_tag_key_is_rotated_without_an_outage() {
    let name = "TOKEN_TAG_KEY";
    let mut rig = Rig::start().await;
    let old = rig.only(name);
    let new = &rig.keygen("token-tag-key").await[name];
    let (id, tagged_with_old) = rig.stack.token().await;

    rig.edge(name, &[new, &old]).await;
    rig.control_plane(name, &[new, &old]).await;
    let [first, second] = &rig.standing(name).await[..] else { panic!("two keys are listed") };
    assert!(first.1 > 0 && second.1 > 0 && second.2 == "keep");
    assert_eq!(rig.stack.ask(&tagged_with_old).await, (200, None));
    rig.renew_tokens().await;
    for token in tokens_of(&rig, second.1).await {
        rig.stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{token}"), None).await;
    }
    let [_, second] = &rig.standing(name).await[..] else { panic!("two keys are listed") };
    assert_eq!(*second, standing("listed", 0, "removable"));
    assert_eq!(rig.stack.control_plane.get(&format!("/manage/tokens/{id}")).await["is_active"], false);
    rig.control_plane(name, &[new]).await;
    rig.edge(name, &[new]).await;
    assert_eq!(rig.stack.ask(&tagged_with_old).await, (401, Some("malformed_token".into())));
    rig.still_works().await;
}

#[tokio::test]
async fn the_encryption_key_is_rotated_without_an_outage_on_sqlite() {
    the_encryption_key_is_rotated(Rig::start().await).await;
}

#[tokio::test]
async fn the_encryption_key_is_rotated_without_an_outage_on_postgresql() {
    the_encryption_key_is_rotated(Rig::start_on_postgresql().await).await;
}

async fn the_encryption_key_is_rotated(mut rig: Rig) {
    let name = "ENCRYPTION_KEY";
    let old = rig.only(name);
    let new = &rig.keygen("encryption-key").await[name];

    rig.control_plane(name, &[new, &old]).await;
    assert_eq!(rig.standing(name).await, [standing("first", 0, "keep"), standing("listed", 1, "keep")]);
    assert_eq!(rig.reseal().await, 1);
    assert_eq!(rig.standing(name).await, [standing("first", 1, "keep"), standing("listed", 0, "removable")]);
    rig.control_plane(name, &[new]).await;

    // What the removed key sealed still works, but cannot be opened to be moved.
    rig.control_plane(name, &[&old]).await;
    let provider = rig.stack.control_plane.get("/manage/providers/example").await;
    put_provider(&rig, &provider, "https://here.example").await;
    let token = another_project(&rig, "encrypted with the old key", "moved").await;
    rig.control_plane(name, &[new]).await;
    put_provider(&rig, &provider, &rig.stack.upstream).await;
    let (path, confirm) =
        (credential_of(&rig, "encrypted with the old key").await, json!({"is_active": true}));
    let (status, _) = rig.stack.control_plane.call(Method::PATCH, &path, Some(confirm.clone())).await;
    assert_eq!(status, 500);
    assert_eq!(
        rig.standing(name).await,
        [standing("first", 1, "keep"), standing("not_listed", 1, "problem")]
    );
    // From the edge's seal: the key that is not there is not needed.
    assert_eq!(rig.reseal().await, 1);
    rig.stack.control_plane.patch(&path, confirm).await;
    rig.stack.until("the confirmed credential", async || rig.stack.ask(&token).await.0 == 200).await;
    rig.still_works().await;
}

/// Nothing calls the control plane yet: what there is are the lists on both
/// sides, and a signature that any listed key may have made.
#[tokio::test]
async fn the_ingest_key_is_rotated_without_an_outage() {
    let name = "EDGE_INGEST_KEY";
    let mut rig = Rig::start().await;
    let old = rig.only(name);
    let new = &rig.keygen("edge-ingest-key").await[name];
    let call = Call { time: 1_795_444_000, nonce: "n", method: "POST", path: "/edge/events", body: b"{}" };
    let signed_with = |key: &str| call.sign(&Key::from_base64(key).unwrap());
    let accepted_by = |list: &[&String], signature: &str| {
        let list = list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        call.verify(signature, &KeyRing::from_base64_list(&list).unwrap(), call.time)
    };

    rig.control_plane(name, &[&old, new]).await;
    assert_eq!(accepted_by(&[&old, new], &signed_with(&old)), Ok(()));
    rig.edge(name, &[new, &old]).await;
    assert_eq!(accepted_by(&[&old, new], &signed_with(new)), Ok(()));
    rig.control_plane(name, &[new]).await;
    rig.edge(name, &[new]).await;
    assert_eq!(accepted_by(&[new], &signed_with(new)), Ok(()));
    assert_eq!(accepted_by(&[new], &signed_with(&old)), Err(CallError::UnknownKey));
    assert_eq!(rig.standing(name).await, [standing("first", 0, "keep")]);
}

#[tokio::test]
async fn the_management_token_is_rotated_without_an_outage() {
    let name = "MANAGEMENT_TOKEN";
    let mut rig = Rig::start().await;
    let (old, new) = (MANAGEMENT_TOKEN.to_owned(), &rig.keygen("management-token").await[name]);
    let status_with = async |rig: &Rig, token: &String| {
        let url = rig.stack.control_plane.url("/manage/projects");
        reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!((status_with(&rig, new).await, status_with(&rig, &old).await), (401, 200));
    rig.control_plane(name, &[new, &old]).await;
    assert_eq!((status_with(&rig, new).await, status_with(&rig, &old).await), (200, 200));
    rig.reconfigure(name, &[new]).await;
    assert_eq!((status_with(&rig, new).await, status_with(&rig, &old).await), (200, 401));
}

/// A token of a new project, with a credential for `provider`.
async fn another_project(rig: &Rig, name: &str, provider: &str) -> String {
    let control_plane = &rig.stack.control_plane;
    let project =
        control_plane.post("/manage/projects", json!({"name": name, "default_provider": provider})).await;
    let id = project["id"].as_str().unwrap();
    let credential =
        json!({"provider": provider, "label": name, "api_key": latchkey_tests::fixture::UPSTREAM_KEY});
    control_plane.post(&format!("/manage/projects/{id}/credentials"), credential).await;
    let token = control_plane.post("/manage/tokens", json!({"project_id": id, "name": name})).await;
    token["token"].as_str().unwrap().to_owned()
}

async fn credential_of(rig: &Rig, project: &str) -> String {
    let projects = rig.stack.control_plane.get("/manage/projects").await;
    let project = projects["data"].as_array().unwrap().iter().find(|each| each["name"] == project).unwrap();
    let path = format!("/manage/projects/{}/credentials", project["id"].as_str().unwrap());
    let credentials = rig.stack.control_plane.get(&path).await;
    format!("{path}/{}", credentials["data"][0]["id"].as_str().unwrap())
}

/// The provider `moved`, like `example`, at another place.
async fn put_provider(rig: &Rig, like: &Value, base_url: &str) {
    let body = json!({
        "base_url": base_url,
        "auth": like["auth"],
        "api": like["api"],
        "allowed_endpoints": like["allowed_endpoints"],
    });
    rig.stack.control_plane.must(Method::PUT, "/manage/providers/moved", Some(body)).await;
}

/// The ids of the `count` oldest active tokens, which are the ones that the first key tagged.
async fn tokens_of(rig: &Rig, count: u64) -> Vec<String> {
    let listed = rig.stack.control_plane.get("/manage/tokens?active_only=true&limit=100").await;
    let newest_first = listed["data"].as_array().unwrap();
    let ids = newest_first.iter().rev().map(|token| token["id"].as_str().unwrap().to_owned());
    ids.take(usize::try_from(count).unwrap()).collect()
}
