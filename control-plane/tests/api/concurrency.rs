//! Several control planes on one database.

use super::{Database, World};
use crate::database::Database as _;
use crate::world::{API_KEY, Answer, request};
use axum::http::{Method, StatusCode};
use control_plane::store::sql::query;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::sync::Arc;

/// Two that share a database, and cannot reach KV: whatever changes stays pending.
async fn two() -> (World, World) {
    let here = World::without_kv().await;
    let there = here.beside().await;
    (here, there)
}

async fn pending(world: &World) -> u64 {
    world.get("/manage/snapshot").await.ok(StatusCode::OK)["pending"].as_u64().unwrap()
}

fn one_of(answer: &Answer, expected: &[u16]) {
    assert!(expected.contains(&answer.status.as_u16()), "{} {}", answer.status, answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projects_created_at_once_have_numbers_of_their_own() {
    let (here, there) = two().await;
    let create = async |number: usize| {
        let world = if number.is_multiple_of(2) { &here } else { &there };
        world.post("/manage/projects", json!({ "name": format!("p{number}") })).await.status
    };
    let statuses = join_all((0..40).map(create)).await;
    assert!(statuses.iter().all(|&status| status == StatusCode::CREATED), "{statuses:?}");
    let mut tx = here.store.read().await.unwrap();
    let numbers: Vec<i64> =
        query("select number from projects order by number").scalars(&mut tx).await.unwrap();
    assert_eq!(numbers, (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_given_once() {
    let (here, there) = two().await;
    for round in 0..5 {
        let body = json!({ "name": format!("n{round}") });
        let at_once =
            [&here, &there, &here, &there].map(|world| world.post("/manage/projects", body.clone()));
        let mut statuses: Vec<u16> =
            join_all(at_once).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
    }
}

/// Two that wait for each other's name would both fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_exchanged_are_refused_and_nobody_fails() {
    let (here, there) = two().await;
    let (a, b) = (here.project("a").await, here.project("b").await);
    for _ in 0..10 {
        let (first, second) = join(
            here.patch(&format!("/manage/projects/{a}"), json!({ "name": "b" })),
            there.patch(&format!("/manage/projects/{b}"), json!({ "name": "a" })),
        )
        .await;
        first.error(409, "conflict");
        second.error(409, "conflict");
    }
}

/// Sends 20 changes of one field here and 20 of another there, all at once, and
/// some revocations of all tokens if the path is a project's.
async fn change_at_once(worlds: (&World, &World), path: &str, fields: (&str, &str), with_revocations: bool) {
    let (here, there) = worlds;
    let before = pending(here).await;
    let changes = (0..20).flat_map(|n| {
        let value =
            |field| if matches!(field, "name" | "label") { json!(format!("n{n}")) } else { json!(n + 2) };
        let metadata = json!({ "metadata": { "n": n } });
        let second = if fields.1 == "metadata" { metadata } else { json!({ fields.1: value(fields.1) }) };
        [(here, json!({ fields.0: value(fields.0) })), (there, second)]
    });
    let revocations = if with_revocations { 10 } else { 0 };
    let patches = join_all(changes.map(|(world, change)| world.patch(path, change)));
    let revoke = format!("{path}/tokens/revoke");
    let revokes = (0..revocations).map(|_| there.send(request(Method::POST, &revoke, None)));
    let (patches, revokes) = join(patches, join_all(revokes)).await;
    for answer in patches.into_iter().chain(revokes) {
        answer.ok(StatusCode::OK);
    }
    assert_eq!(pending(there).await - before, 40 + revocations, "each is told");
}

/// Every change began where another ended, from creation to the present.
async fn assert_one_history(world: &World, resource: &str, changes: usize) -> Value {
    let audit = world.get("/manage/audit?limit=100").await.ok(StatusCode::OK);
    let of_it = |record: &&Value| record["resource_id"] == resource;
    let mut records: Vec<Value> = audit["data"].as_array().unwrap().iter().filter(of_it).cloned().collect();
    assert_eq!(records.len(), changes + 1);
    let mut state = Value::Null;
    while let Some(next) = records.iter().position(|record| record["before"] == state) {
        state = records.swap_remove(next)["after"].take();
    }
    assert!(records.is_empty(), "{} records do not follow from {state}", records.len());
    state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_token_at_once_lose_nothing() {
    let (here, there) = two().await;
    let project = here.project("a").await;
    let id = here.token(&project).await["id"].as_str().unwrap().to_owned();
    let path = format!("/manage/tokens/{id}");
    change_at_once((&here, &there), &path, ("name", "metadata"), false).await;
    let last = assert_one_history(&here, &id, 40).await;
    let shown = there.get(&path).await.ok(StatusCode::OK);
    assert_eq!((&shown["name"], &shown["metadata"]), (&last["name"], &last["metadata"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_project_at_once_lose_nothing() {
    let (here, there) = two().await;
    let id = here.project("a").await;
    let path = format!("/manage/projects/{id}");
    change_at_once((&here, &there), &path, ("name", "max_snapshot_age"), true).await;
    let last = assert_one_history(&here, &id, 50).await;
    let shown = there.get(&path).await.ok(StatusCode::OK);
    assert_eq!(shown["name"], last["name"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_credential_at_once_lose_nothing() {
    let (here, there) = two().await;
    let project = here.project("a").await;
    let path = here.credential(&project, "openai").await;
    let id = path.rsplit('/').next().unwrap();
    change_at_once((&here, &there), &path, ("label", "weight"), false).await;
    let last = assert_one_history(&here, id, 40).await;
    let shown = &there.get(path.rsplit_once('/').unwrap().0).await.ok(StatusCode::OK)["data"][0];
    assert_eq!((&shown["label"], &shown["weight"]), (&last["label"], &last["weight"]));
}

/// A change must not write back what a revocation has changed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_beside_a_change_holds() {
    let (here, there) = two().await;
    let project = here.project("a").await;
    for round in 0..15 {
        let token = here.token(&project).await;
        let path = format!("/manage/tokens/{}", token["id"].as_str().unwrap());
        let name = format!("renamed {round}");
        let (changed, revoked) =
            join(here.patch(&path, json!({ "name": name, "expires_at": null })), there.delete(&path)).await;
        changed.ok(StatusCode::OK);
        revoked.ok(StatusCode::NO_CONTENT);
        let shown = here.get(&path).await.ok(StatusCode::OK);
        assert!(shown["revoked_at"].is_string() && shown["name"] == name, "{shown}");
    }
}

fn provider(host: &str) -> Value {
    json!({
        "base_url": format!("https://{host}.example"),
        "auth": { "header": "authorization", "prefix": "Bearer " },
        "api": "openai",
        "allowed_endpoints": [{ "methods": ["POST"], "path": "/v1/chat/completions" }],
    })
}

/// However a provider's move falls among changes of its credentials, none is
/// left active that is sealed for where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_stays_active_for_an_origin_that_was_left() {
    let (here, there) = two().await;
    let mine = "/manage/providers/mine";
    here.put(mine, provider("one")).await.ok(StatusCode::CREATED);
    let project = here.project("a").await;
    let credential = here.credential(&project, "mine").await;
    let list = format!("/manage/projects/{project}/credentials");
    for round in 0..10 {
        let new = json!({ "provider": "mine", "api_key": API_KEY });
        let confirm = json!({ "label": format!("round {round}"), "is_active": true });
        let (moved, (changed, created)) = join(
            here.put(mine, provider(&format!("host{round}"))),
            join(there.patch(&credential, confirm), there.post(&list, new)),
        )
        .await;
        moved.ok(StatusCode::OK);
        changed.ok(StatusCode::OK);
        created.ok(StatusCode::CREATED);
        let mut tx = here.store.read().await.unwrap();
        let origins: Vec<String> =
            query("select origin from credentials where provider = 'mine' and is_active")
                .scalars(&mut tx)
                .await
                .unwrap();
        assert!(
            origins.iter().all(|origin| *origin == format!("https://host{round}.example")),
            "{origins:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_is_put_once_and_then_replaced() {
    let (here, there) = two().await;
    for round in 0..5 {
        let path = format!("/manage/providers/new{round}");
        let (first, second) = join(here.put(&path, provider("one")), there.put(&path, provider("two"))).await;
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 201]);
        let last = assert_one_history(&here, &format!("new{round}"), 1).await;
        let shown = here.get(&path).await.ok(StatusCode::OK);
        assert_eq!(shown["base_url"], last["base_url"]);
    }
}

/// Either the provider goes, or it is used; nobody is told of an inside failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_deleted_is_not_used() {
    let (here, there) = two().await;
    let project = here.project("a").await;
    let credentials = format!("/manage/projects/{project}/credentials");
    for round in 0..10 {
        let name = format!("gone{round}");
        let path = format!("/manage/providers/{name}");
        here.put(&path, provider("one")).await.ok(StatusCode::CREATED);
        let (users, body) = if round % 2 == 0 {
            ("/manage/projects", json!({ "name": format!("p{round}"), "default_provider": name }))
        } else {
            (credentials.as_str(), json!({ "provider": name, "api_key": API_KEY }))
        };
        let (deleted, used) = join(here.delete(&path), there.post(users, body)).await;
        one_of(&deleted, &[204, 409]);
        one_of(&used, if deleted.status == StatusCode::NO_CONTENT { &[400] } else { &[201] });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_in_providers_are_stored_once() {
    let database = Arc::new(Database::create());
    let worlds = join_all((0..4).map(|_| World::on(Arc::clone(&database)))).await;
    let audit = worlds[3].get("/manage/audit?limit=100").await.ok(StatusCode::OK);
    assert_eq!(audit["data"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn a_read_sees_one_state() {
    let (here, there) = two().await;
    let mut tx = here.store.read().await.unwrap();
    let count = "select count(*) from projects";
    assert_eq!(query(count).scalar::<i64>(&mut tx).await.unwrap(), 0);
    there.project("a").await;
    assert_eq!(query(count).scalar::<i64>(&mut tx).await.unwrap(), 0);
    drop(tx);
    let mut tx = here.store.read().await.unwrap();
    assert_eq!(query(count).scalar::<i64>(&mut tx).await.unwrap(), 1);
}

/// Dropped without a commit, a transaction leaves nothing.
#[tokio::test]
async fn what_is_not_committed_is_undone() {
    let (here, there) = two().await;
    let id = here.project("a").await;
    let mut tx = here.store.write().await.unwrap();
    query("update projects set name = 'b'").execute(&mut tx).await.unwrap();
    drop(tx);
    let path = format!("/manage/projects/{id}");
    there.patch(&path, json!({ "on_stale": "deny" })).await.ok(StatusCode::OK);
    assert_eq!(here.get(&path).await.ok(StatusCode::OK)["name"], "a");
}
