//! Clocks that differ by four minutes: the edge's, and those of control planes.

use super::World;
use crate::edge::{Batch, Isolate, lines};
use axum::http::StatusCode;
use control_plane::clock;
use control_plane::events::consume::CONSUMER;
use control_plane::events::{Consumer, ConsumerSettings, Duty};
use control_plane::store::sql::query;
use shared::id::UnixMs;
use std::sync::Arc;

const APART_MS: UnixMs = 4 * 60 * 1000;

fn behind() -> UnixMs {
    clock::now() - APART_MS
}

fn ahead() -> UnixMs {
    clock::now() + APART_MS
}

fn consumer(world: &World, clock: fn() -> UnixMs) -> Consumer {
    let settings = ConsumerSettings { retention_days: 90, clock, duty: Duty::Count };
    let metrics = world.metrics.consumer(CONSUMER);
    Consumer::new(world.store.clone(), Arc::clone(&world.log), Arc::default(), settings, metrics)
}

async fn counted(world: &World) -> i64 {
    let sum = query("select coalesce(cast(sum(requests) as bigint), 0) from usage_hourly");
    sum.scalar(&mut world.store.read().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_edge_four_minutes_off_is_taken_in_and_counted() {
    let world = World::start().await;
    for clock in [behind, ahead] {
        let event = Isolate::new().event_at(clock() - 2_000);
        let batch = Batch { time: clock() / 1000, ..Batch::new(lines(&[event])) };
        let answer = world.batch(&batch).await.ok(StatusCode::OK);
        assert_eq!((&answer["accepted"], &answer["set_aside"]), (&1.into(), &0.into()));
    }
    world.count().await;
    assert_eq!(counted(&world).await, 2);
}

/// Each thinks that the other's time with a batch is over, or has hardly begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_four_minutes_apart_count_each_event_once() {
    let world = World::start().await;
    let mut isolate = Isolate::new();
    for _ in 0..60 {
        world.batch(&Batch::new(lines(&[isolate.event(), isolate.event()]))).await.ok(StatusCode::OK);
    }
    let counting = [behind as fn() -> UnixMs, clock::now, ahead].map(|clock| {
        let mut consumer = consumer(&world, clock);
        tokio::spawn(async move { while consumer.pass().await.unwrap().is_some() {} })
    });
    for each in counting {
        each.await.unwrap();
    }
    assert_eq!(counted(&world).await, 120);
}

/// It took a batch and died: the others wait by four minutes longer, and no more.
#[tokio::test]
async fn what_one_that_is_ahead_had_is_given_out_again() {
    let world = World::start().await;
    world.batch(&Batch::new(lines(&[Isolate::new().event()]))).await.ok(StatusCode::OK);
    assert_eq!(world.log.read(CONSUMER, 10, ahead()).await.unwrap().len(), 1);
    assert!(consumer(&world, clock::now).pass().await.unwrap().is_none());
    assert!(consumer(&world, || ahead() + 31_000).pass().await.unwrap().is_some());
    assert_eq!(counted(&world).await, 1);
}
