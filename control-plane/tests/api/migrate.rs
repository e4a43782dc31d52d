use super::{Database, World};
use crate::database::Database as _;
use axum::http::StatusCode;
use control_plane::store::migrate::{self, Failure};
use control_plane::store::sql::query;
use control_plane::store::{Connection, Store};
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

#[tokio::test]
async fn nothing_is_told_of_an_empty_database() {
    let database = Database::create();
    migrate::up(&database.url()).await.unwrap();
    assert_all_will_be_told(&database.url(), 0, 0).await;
}
