//! A database is put back to where it was yesterday, as `docs/operations.md`
//! says, and takes its edges with it.

mod scene;

use reqwest::Method;
use scene::{Database, Scene};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

#[tokio::test]
async fn a_restored_sqlite_takes_its_edges_with_it() {
    takes_its_edges_with_it(Database::Sqlite).await;
}

#[tokio::test]
async fn a_restored_postgresql_takes_its_edges_with_it() {
    takes_its_edges_with_it(Database::postgres()).await;
}

#[tokio::test]
async fn a_clock_set_back_holds_nothing_back_on_sqlite() {
    a_clock_set_back_holds_nothing_back(Database::Sqlite).await;
}

#[tokio::test]
async fn a_clock_set_back_holds_nothing_back_on_postgresql() {
    a_clock_set_back_holds_nothing_back(Database::postgres()).await;
}

#[tokio::test]
async fn what_an_edge_knew_before_does_not_stand_in_after_a_restore_of_sqlite() {
    what_an_edge_knew_before_does_not_stand_in(Database::Sqlite).await;
}

#[tokio::test]
async fn what_an_edge_knew_before_does_not_stand_in_after_a_restore_of_postgresql() {
    what_an_edge_knew_before_does_not_stand_in(Database::postgres()).await;
}

async fn takes_its_edges_with_it(database: Database) {
    let mut scene = Scene::start(database).await;
    scene.back_up();
    scene.a_day_goes_by().await;
    let before = scene.version_at(&scene.stack.edge).await.unwrap();

    scene.stop().await;
    scene.restore();
    scene.start_again();
    scene.is_as_it_was_yesterday(&scene.stack.edge).await;
    assert!(scene.version_at(&scene.stack.edge).await.unwrap() > before);
    scene.is_as_it_was_yesterday(&scene.isolate()).await;
    scene.traffic.flows().await;
    scene.verify_is_clean().await;

    // What was revoked meanwhile is valid again; who does not know what, revokes all.
    let revoke_all = format!("/manage/projects/{}/tokens/revoke", scene.stack.project_id);
    scene.stack.control_plane.must(Method::POST, &revoke_all, None).await;
    let refused = async || scene.ask(&scene.stack.edge, &scene.revoked).await == "token_revoked";
    scene.stack.until("the bulk revocation", refused).await;
    let (_, new) = scene.stack.token().await;
    assert_eq!(scene.ask(&scene.stack.edge, &new).await, "200");
    scene.verify_is_clean().await;
}

/// The manifest in KV is a day ahead, as if whoever wrote it had had a wrong clock.
async fn a_clock_set_back_holds_nothing_back(database: Database) {
    let mut scene = Scene::start(database).await;
    scene.back_up();
    scene.a_day_goes_by().await;
    scene.stop().await;
    let ahead = scene.put_manifest_ahead(DAY_MS);
    let edge = &scene.stack.edge;
    let is_taken = async || {
        scene.ask(edge, &scene.lost).await;
        scene.version_at(edge).await == Some(ahead)
    };
    scene.stack.until("the manifest of the day after", is_taken).await;

    scene.restore();
    scene.start_again();
    scene.is_as_it_was_yesterday(&scene.stack.edge).await;
    assert!(scene.version_at(&scene.stack.edge).await.unwrap() > ahead);
    scene.is_as_it_was_yesterday(&scene.isolate()).await;
    scene.traffic.flows().await;
    scene.verify_is_clean().await;
}

/// What an edge knew before must not stand in for an object that it cannot
/// load: it knew of a day that never was.
async fn what_an_edge_knew_before_does_not_stand_in(database: Database) {
    let mut scene = Scene::start(database).await;
    scene.back_up();
    scene.a_day_goes_by().await;
    scene.stop().await;
    let ahead = scene.put_manifest_ahead(DAY_MS);
    // Has no object of the time before the backup in its memory.
    let edge = scene.isolate();
    assert_eq!(scene.ask(&edge, &scene.lost).await, "200");
    assert_eq!(scene.version_at(&edge).await, Some(ahead));

    scene.restore();
    for prefix in ["index/", "shard/"] {
        scene.stack.kv.hide(prefix);
    }
    scene.start_again();
    let is_newer = async || {
        // An isolate looks for news while it is asked.
        scene.ask(&edge, &scene.lost).await;
        scene.version_at(&edge).await > Some(ahead)
    };
    scene.stack.until("the restored manifest", is_newer).await;
    assert_eq!(scene.ask(&edge, &scene.lost).await, "snapshot_unavailable");
    assert_eq!(scene.ask(&edge, &scene.of_new_project).await, "snapshot_unavailable");
    scene.stack.kv.unhide_all();
    scene.is_as_it_was_yesterday(&edge).await;
}
