//! A disk that is full, as `SQLite` meets it: it may use no more pages.

use crate::database::Sqlite;
use crate::edge::{Batch, Isolate, lines};
use crate::world;
use axum::http::StatusCode;
use control_plane::store::sql::query;

type World = world::World<Sqlite>;

/// As many as there are.
const FULL: &str = "pragma max_page_count = 1";
const ROOM: &str = "pragma max_page_count = 1000000";

/// Of every connection: all are held at once.
async fn set(world: &World, pragma: &'static str) {
    let mut connections = Vec::new();
    for _ in 0..world.store.pool_status().max {
        connections.push(world.store.read().await.unwrap());
    }
    for connection in &mut connections {
        query(pragma).execute(connection).await.unwrap();
    }
}

async fn counted(world: &World) -> i64 {
    let sum = query("select coalesce(cast(sum(requests) as bigint), 0) from usage_hourly");
    sum.scalar(&mut world.store.read().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_full_disk_takes_nothing_and_loses_nothing() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    let mut batch = || Batch::new(lines(&(0..50).map(|_| isolate.event()).collect::<Vec<_>>()));
    world.batch(&batch()).await.ok(StatusCode::OK);
    set(&world, FULL).await;
    // Until the room is used that the file has inside.
    let mut taken = 1;
    let refused = loop {
        let answer = world.batch(&batch()).await;
        if answer.status != StatusCode::OK {
            break answer;
        }
        taken += 1;
        assert!(taken < 1_000, "the disk is not full");
    };
    assert_eq!(refused.headers["retry-after"], "5");
    refused.error(503, "unavailable");
    // Nor can what waits be counted; it stays.
    let mut consumer = world.consumer();
    consumer.pass().await.unwrap_err();
    assert_eq!(world.get("/manage/events/status").await.ok(StatusCode::OK)["waiting_batches"], taken);
    assert_eq!(counted(&world).await, 0);

    set(&world, ROOM).await;
    world.batch(&batch()).await.ok(StatusCode::OK);
    while consumer.pass().await.unwrap().is_some() {}
    assert_eq!(counted(&world).await, 50 * (taken + 1));
}
