//! How sinks are delivered to.

use super::World;
use crate::edge::Isolate;
use crate::recorder::{Recorder, sink};
use crate::world::ring;
use control_plane::clock;
use control_plane::events::retain;
use control_plane::sinks::SinkError;
use control_plane::sinks::claim::Claim;
use control_plane::sinks::runner::{Runner, Turn};
use control_plane::store::dead_letters::{self, DeadLetterRow};
use control_plane::store::sinks::{self, SinkRow};
use shared::event::{Bodies, Event};
use shared::sealed::Sealed;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

async fn now(world: &World, row: &SinkRow) -> SinkRow {
    sinks::get(&mut world.store.read().await.unwrap(), row.id).await.unwrap().unwrap()
}

/// One more process that delivers.
async fn runner(world: &World, row: &SinkRow, to: &Arc<Recorder>) -> Runner {
    let row = now(world, row).await;
    let claim = Claim::take(&world.store, &row, crate::edge::new_id(1)).await.unwrap().unwrap();
    Runner::new(world.store.clone(), &row, to.clone(), claim, clock::now)
}

/// Until there is nothing to do; how long it was to wait in between.
async fn drain(runner: &mut Runner) -> Duration {
    let mut waited = Duration::ZERO;
    loop {
        match runner.turn().await.unwrap() {
            Turn::Moved => {}
            Turn::Wait(pause) => waited += pause,
            Turn::Idle => return waited,
            Turn::Lost => panic!("the claim is lost"),
        }
    }
}

async fn counted(world: &World, count: usize) -> Vec<Uuid> {
    let mut isolate = Isolate::new();
    let events: Vec<Event> = (0..count).map(|_| isolate.event()).collect();
    world.events(&events).await;
    events.iter().map(|event| event.id).collect()
}

async fn letters(world: &World, row: &SinkRow) -> Vec<DeadLetterRow> {
    let mut tx = world.store.read().await.unwrap();
    dead_letters::list(&mut tx, Some(row.id), Uuid::max(), 100).await.unwrap()
}

#[tokio::test]
async fn each_event_is_delivered_once_in_order_and_nothing_from_before() {
    let world = World::start().await;
    counted(&world, 3).await;
    let row = sink(&world, "a", 10).await;
    let (sink, mut ids) = (Recorder::new(), counted(&world, 25).await);
    let mut runner = runner(&world, &row, &sink).await;
    drain(&mut runner).await;
    assert_eq!(sink.batches(), [10, 10, 5]);
    ids.extend(counted(&world, 2).await);
    drain(&mut runner).await;
    assert_eq!(sink.delivered(), ids);
    let row = now(&world, &row).await;
    assert_eq!((row.delivered, row.skipped, row.failures, row.position), (27, 0, 0, 30));
    assert!(row.delivered_at.is_some() && row.error.is_none());
}

#[tokio::test]
async fn an_event_that_is_refused_becomes_a_dead_letter_and_holds_up_no_other() {
    let world = World::start().await;
    let row = sink(&world, "a", 64).await;
    let ids = counted(&world, 200).await;
    let poison = [ids[0], ids[77], ids[199]];
    let sink = Recorder::new();
    sink.answer(move |batch| match batch.iter().find(|id| poison.contains(id)) {
        Some(id) => Err(SinkError::Refused(format!("not {id}\0"))),
        None => Ok(()),
    });
    let waited = drain(&mut runner(&world, &row, &sink).await).await;
    assert_eq!(waited, Duration::ZERO);
    let others: Vec<Uuid> = ids.into_iter().filter(|id| !poison.contains(id)).collect();
    assert_eq!(sink.delivered(), others);
    let mut letters = letters(&world, &row).await;
    letters.reverse();
    assert_eq!(letters.iter().map(|letter| letter.event_id).collect::<Vec<_>>(), poison);
    assert_eq!(letters[1].reason, format!("not {}\u{fffd}", poison[1]));
    let row = now(&world, &row).await;
    assert_eq!((row.delivered, row.position), (197, 200));
}

#[tokio::test]
async fn a_sink_that_refuses_everything_is_asked_slowly() {
    let world = World::start().await;
    let row = sink(&world, "a", 100).await;
    counted(&world, 40).await;
    let sink = Recorder::new();
    sink.answer(|_| Err(SinkError::Refused("no".into())));
    let waited = drain(&mut runner(&world, &row, &sink).await).await;
    assert!(waited > Duration::from_mins(1), "{waited:?}");
    assert_eq!(letters(&world, &row).await.len(), 40);
}

#[tokio::test]
async fn a_sink_that_fails_for_an_hour_loses_nothing_and_is_not_hammered() {
    let world = World::start().await;
    let row = sink(&world, "a", 100).await;
    let mut ids = counted(&world, 5).await;
    let sink = Recorder::new();
    sink.answer(|_| Err(SinkError::unavailable("away")));
    let mut runner = runner(&world, &row, &sink).await;
    let (mut hour, mut tries) = (Duration::ZERO, 0);
    while hour < Duration::from_hours(1) {
        let Turn::Wait(pause) = runner.turn().await.unwrap() else { panic!("it did not wait") };
        hour += pause;
        tries += 1;
    }
    assert!((300..800).contains(&tries), "{tries}");
    let failing = now(&world, &row).await;
    assert_eq!((failing.failures, failing.error.as_deref(), failing.delivered), (tries, Some("away"), 0));
    assert!(failing.failed_at.is_some());
    // The counting goes on meanwhile.
    ids.extend(counted(&world, 5).await);
    sink.answer(|_| Ok(()));
    drain(&mut runner).await;
    assert_eq!(sink.delivered(), ids);
    let row = now(&world, &row).await;
    assert_eq!((row.failures, row.error, row.delivered), (0, None, 10));
}

#[tokio::test]
async fn a_sink_that_does_not_answer_is_given_up_after_its_time() {
    let world = World::start().await;
    let row = sink(&world, "a", 100).await;
    let ids = counted(&world, 5).await;
    let sink = Recorder::new();
    sink.hang(true);
    let mut runner = runner(&world, &row, &sink).await;
    assert!(matches!(runner.turn().await.unwrap(), Turn::Wait(_)));
    assert_eq!(now(&world, &row).await.error.as_deref(), Some("no answer within 1 s"));
    sink.hang(false);
    drain(&mut runner).await;
    assert_eq!(sink.delivered(), ids);
}

#[tokio::test]
async fn a_sink_may_ask_to_be_left_alone_for_an_hour_at_most() {
    let world = World::start().await;
    let row = sink(&world, "a", 100).await;
    counted(&world, 1).await;
    let sink = Recorder::new();
    let mut runner = runner(&world, &row, &sink).await;
    for (asked, waits) in [(60, 60), (1_000_000, 3_600)] {
        let retry_after = Some(Duration::from_secs(asked));
        sink.answer(move |_| Err(SinkError::Unavailable { message: "busy".into(), retry_after }));
        assert_eq!(runner.turn().await.unwrap(), Turn::Wait(Duration::from_secs(waits)));
    }
}

#[tokio::test]
async fn who_was_paused_moves_nothing_after_another_took_over() {
    let world = World::start().await;
    let row = sink(&world, "a", 100).await;
    let ids = counted(&world, 10).await;
    let (first, second) = (Recorder::new(), Recorder::new());
    let mut paused = runner(&world, &row, &first).await;
    let seen = now(&world, &row).await;
    // It lives, so that who saw it before cannot take it.
    assert!(matches!(paused.turn().await.unwrap(), Turn::Moved));
    assert!(Claim::take(&world.store, &seen, crate::edge::new_id(1)).await.unwrap().is_none());

    let more = counted(&world, 10).await;
    let mut other = runner(&world, &row, &second).await;
    assert_eq!(paused.turn().await.unwrap(), Turn::Lost);
    drain(&mut other).await;
    assert_eq!(first.delivered(), [ids, more.clone()].concat());
    assert_eq!(second.delivered(), more);
    assert_eq!(now(&world, &row).await.delivered, 20);
}

#[tokio::test]
async fn events_that_were_removed_for_their_age_are_told() {
    let world = World::start().await;
    let row = sink(&world, "a", 100).await;
    counted(&world, 7).await;
    retain::run(&world.store, 1, clock::now() + 2 * 86_400_000).await.unwrap();
    let sink = Recorder::new();
    let mut runner = runner(&world, &row, &sink).await;
    // Also before another event comes.
    drain(&mut runner).await;
    let skipped = now(&world, &row).await;
    assert_eq!((skipped.delivered, skipped.skipped, skipped.position), (0, 7, 7));
    let ids = counted(&world, 2).await;
    drain(&mut runner).await;
    assert_eq!(sink.delivered(), ids);
    let row = now(&world, &row).await;
    assert_eq!((row.delivered, row.skipped, row.position), (2, 7, 9));
}

#[tokio::test]
async fn a_batch_is_bounded_by_what_was_captured_too() {
    let world = World::start().await;
    let row = sink(&world, "a", 1_000).await;
    let mut isolate = Isolate::new();
    let body = "x".repeat(30_000);
    let events: Vec<Event> = (0..200)
        .map(|_| Event {
            bodies: Bodies { request_body: Some(body.clone()), ..Bodies::default() },
            ..isolate.event()
        })
        .collect();
    world.events(&events).await;
    let sink = Recorder::new();
    drain(&mut runner(&world, &row, &sink).await).await;
    assert_eq!(sink.batches(), [139, 61]);
    assert!(sink.bodies().iter().all(|length| *length == 30_000));
    assert_eq!(sink.bodies().len(), 200);
}

/// Positions become visible in their order, whoever counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_that_count_no_event_is_passed_over() {
    const EVENTS: usize = 2_000;
    let world = World::start().await;
    let beside = world.beside().await;
    let row = sink(&world, "a", 50).await;
    for _ in 0..EVENTS / 20 {
        let mut isolate = Isolate::new();
        let events: Vec<Event> = (0..20).map(|_| isolate.event()).collect();
        world.log.append(&crate::edge::lines(&events), clock::now()).await.unwrap();
    }
    let counting = [world.consumer(), beside.consumer()]
        .map(|mut consumer| tokio::spawn(async move { while consumer.pass().await.unwrap().is_some() {} }));
    let sink = Recorder::new();
    let mut runner = runner(&world, &row, &sink).await;
    while sink.delivered().len() < EVENTS {
        runner.turn().await.unwrap();
    }
    for each in counting {
        each.await.unwrap();
    }
    let row = now(&world, &row).await;
    assert_eq!((row.delivered, row.skipped, row.position), (2_000, 0, 2_000));
}

#[test]
fn a_secret_opens_for_its_own_sink_only() {
    let keys = ring(3);
    let vault = control_plane::vault::Vault { deployment_id: "test".into(), at_rest: keys, edge: ring(4) };
    let place = |id| control_plane::sinks::open::place(id, "webhook");
    let (mine, other) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
    let sealed = vault.seal_at_rest("secret", place(mine)).unwrap();
    assert!(Sealed::from(sealed.clone()).key_id().is_some());
    assert_eq!(vault.open(&sealed, place(mine)).unwrap().as_str(), "secret");
    assert!(vault.open(&sealed, place(other)).is_err());
}
