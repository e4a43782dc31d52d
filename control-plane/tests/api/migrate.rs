use super::{Database, World};
use crate::database::Database as _;
use axum::http::StatusCode;
use control_plane::store::migrate::{self, Failure};
use control_plane::store::sql::query;
use control_plane::store::{Connection, Store};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn every_migration_goes_up_down_and_up_again() {
    let database = Database::create();
    let url = database.url();
    assert!(migrate::status(&url).await.unwrap().iter().all(|state| !state.is_applied));
    let all = migrate::up(&url).await.unwrap();
    assert!(!all.is_empty());
    assert!(migrate::up(&url).await.unwrap().is_empty());
    assert!(migrate::status(&url).await.unwrap().iter().all(|state| state.is_applied));
    for version in all.iter().rev() {
        assert_eq!(migrate::down(&url).await.unwrap(), *version);
    }
    assert!(matches!(migrate::down(&url).await, Err(Failure::NothingToUndo)));
    assert_eq!(migrate::up(&url).await.unwrap(), all);
    let world = World::on(Arc::new(database)).await;
    let project = world.project("a").await;
    world.token(&project).await;
}

#[tokio::test]
async fn those_that_start_together_migrate_once() {
    let database = Database::create();
    let url = database.url();
    let starts = [(); 8].map(|()| {
        let url = url.clone();
        tokio::spawn(async move { migrate::up(&url).await.unwrap().len() })
    });
    let mut applied = 0;
    for start in starts {
        applied += start.await.unwrap();
    }
    assert_eq!(applied, migrate::status(&url).await.unwrap().len());
}

/// What the outbox will tell: tokens, projects, and whether providers.
async fn told(conn: &mut Connection) -> (i64, i64, bool) {
    let tokens = "select count(distinct token_id) from outbox where published_version is null";
    let projects = "select count(distinct project_id) from outbox where published_version is null";
    let providers = "select count(*) from outbox where token_id is null and project_id is null \
                     and published_version is null";
    (
        query(tokens).scalar(conn).await.unwrap(),
        query(projects).scalar(conn).await.unwrap(),
        query(providers).scalar::<i64>(conn).await.unwrap() > 0,
    )
}

/// As after a publication that told everything and a compaction of it.
async fn tell(url: &str) {
    let store = Store::connect(url).await.unwrap();
    let mut tx = store.write().await.unwrap();
    query("delete from outbox").execute(&mut tx).await.unwrap();
    query("insert into snapshot_bases (state, content, uploaded_at) values ('current', '{}', 1)")
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

async fn assert_all_will_be_told(url: &str, tokens: i64, projects: i64) {
    let store = Store::connect(url).await.unwrap();
    let mut tx = store.read().await.unwrap();
    assert_eq!(told(&mut tx).await, (tokens, projects, tokens + projects > 0));
    let bases: i64 = query("select count(*) from snapshot_bases").scalar(&mut tx).await.unwrap();
    assert_eq!(bases, 0);
    drop(tx);
    store.close().await;
}

/// The format of the snapshot differs between versions, so each tells all of it.
#[tokio::test]
async fn another_version_publishes_everything_anew() {
    let world = World::without_kv().await;
    let url = world.database.url();
    let project = world.project("a").await;
    world.project("b").await;
    for _ in 0..3 {
        world.token(&project).await;
    }
    let database = world.stop().await;

    // What came later has the same format.
    while migrate::status(&url).await.unwrap()[4..].iter().any(|later| later.is_applied) {
        migrate::down(&url).await.unwrap();
    }
    for version in [4, 3, 2] {
        tell(&url).await;
        assert_eq!(migrate::down(&url).await.unwrap(), version);
        assert_all_will_be_told(&url, 3, 2).await;
    }
    tell(&url).await;
    assert_eq!(migrate::up(&url).await.unwrap()[..3], [2, 3, 4]);
    assert_all_will_be_told(&url, 3, 2).await;

    // And all is as it was; numbers go on.
    let world = World::on(database).await;
    let list = world.get(&format!("/manage/tokens?project_id={project}")).await.ok(StatusCode::OK);
    assert_eq!(list["data"].as_array().unwrap().len(), 3);
    world.project("c").await;
    let mut tx = world.store.read().await.unwrap();
    let numbers: Vec<i64> =
        query("select number from projects order by number").scalars(&mut tx).await.unwrap();
    assert_eq!(numbers, [1, 2, 3]);
}

/// The version before would publish what has a policy without it.
#[tokio::test]
async fn a_policy_in_force_is_not_lost_by_the_way_back() {
    let world = World::without_kv().await;
    let url = world.database.url();
    let project = world.project("a").await;
    let limited = json!({ "project_id": project, "name": "t", "policy": { "max_body_bytes": 1 } });
    let mut tokens = Vec::new();
    for _ in 0..4 {
        let made = world.post("/manage/tokens", limited.clone()).await.ok(StatusCode::CREATED);
        tokens.push(format!("/manage/tokens/{}", made["id"].as_str().unwrap()));
    }
    while migrate::status(&url).await.unwrap()[7..].iter().any(|later| later.is_applied) {
        migrate::down(&url).await.unwrap();
    }
    let refused = async || {
        let message = migrate::down(&url).await.unwrap_err().to_string();
        assert!(
            message.contains("take_policies_away_first") && message.contains("nothing was undone"),
            "{message}"
        );
        assert!(migrate::status(&url).await.unwrap()[6].is_applied);
    };
    refused().await;
    world.delete(&tokens[0]).await.ok(StatusCode::NO_CONTENT);
    world.patch(&tokens[1], json!({ "policy": null })).await.ok(StatusCode::OK);
    refused().await;
    let mut tx = world.store.write().await.unwrap();
    for token in &tokens[2..] {
        let id: uuid::Uuid = token.rsplit('/').next().unwrap().parse().unwrap();
        query("update tokens set expires_at = 1000 where id = $1").bind(id).execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    let path = format!("/manage/projects/{project}");
    world.patch(&path, json!({ "policy": { "countries": [] }, "is_active": false })).await.ok(StatusCode::OK);
    refused().await;
    world.patch(&path, json!({ "policy": null })).await.ok(StatusCode::OK);
    let groq = world.get("/manage/providers/groq").await.ok(StatusCode::OK);
    let put = |policy: Value| {
        json!({ "base_url": groq["base_url"], "auth": groq["auth"], "api": groq["api"],
            "allowed_endpoints": groq["allowed_endpoints"], "policy": policy })
    };
    world.put("/manage/providers/groq", put(json!({ "countries": [] }))).await.ok(StatusCode::OK);
    refused().await;
    world.put("/manage/providers/groq", put(Value::Null)).await.ok(StatusCode::OK);

    let database = world.stop().await;
    tell(&url).await;
    assert_eq!(migrate::down(&url).await.unwrap(), 7);
    assert_all_will_be_told(&url, 4, 1).await;
    // Those that had expired cannot be given more time without their policy.
    let world = World::on(database).await;
    for (token, is_revoked) in tokens.iter().zip([true, false, true, true]) {
        let shown = world.get(token).await.ok(StatusCode::OK);
        assert_eq!(shown["revoked_at"].is_string(), is_revoked, "{shown}");
    }
}

#[tokio::test]
async fn nothing_is_told_of_an_empty_database() {
    let database = Database::create();
    migrate::up(&database.url()).await.unwrap();
    assert_all_will_be_told(&database.url(), 0, 0).await;
}
