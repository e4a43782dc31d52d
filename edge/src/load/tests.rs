use super::*;
use crate::snapshot::holder::Holder;
use crate::snapshot::objects::{Budget, Objects};
use crate::testing::{Compiled, Fault, NOW, World, isolate, manifest, record, text, token};
use futures_util::future::join_all;
use shared::snapshot::shard::Shard;

const MANIFEST_COPY: &str = "default/manifest/v1";

/// What one request comes to, and how long it took.
fn ask(world: &World, isolate: &Rc<Isolate>, number: u32) -> (Result<(), Code>, u64) {
    let began = world.now();
    let head = format!("GET\nhttps://edge/v1/models\nx-api-key\n{}\n", text(&token(number)));
    let outcome = world.run(async {
        refresh(isolate, world, world.now()).await;
        let snapshot = isolate.holder.borrow().current();
        decide(
            isolate,
            world,
            snapshot.as_deref(),
            &Head::parse(&head).unwrap(),
            world.now(),
            0,
            &mut Trace::default(),
        )
        .await
    });
    (outcome.map(|_| ()).map_err(|refusal| refusal.code), world.now() - began)
}

/// The kinds of object that KV was asked for since the last time.
fn reads(world: &World) -> Vec<String> {
    let reads = world.reads.take();
    reads.iter().map(|key| key.split('/').next().unwrap().to_owned()).collect()
}

fn published() -> (World, Compiled) {
    let (world, compiled) = (World::new(), Compiled::thousand());
    world.publish(&manifest(1, compiled.base), &compiled);
    (world, compiled)
}

/// Another isolate of this location has asked for `numbers`.
fn with_copies(numbers: &[u32]) -> (World, Compiled) {
    let (world, compiled) = published();
    let earlier = isolate();
    for number in numbers {
        assert_eq!(ask(&world, &earlier, *number).0, Ok(()));
    }
    world.reads.take();
    (world, compiled)
}

#[test]
fn a_cold_isolate_reads_four_times_in_turn_and_a_warm_one_never() {
    let (world, _) = published();
    let isolate = isolate();
    let (outcome, took) = ask(&world, &isolate, 5);
    assert_eq!(outcome, Ok(()));
    assert_eq!(reads(&world), ["manifest", "index", "shard", "providers", "project"]);
    assert_eq!(took, 4, "the providers are read beside the shard");
    assert_eq!(ask(&world, &isolate, 6), (Ok(()), 0));
    assert_eq!(ask(&world, &isolate, 2_000), (Err(Code::InvalidToken), 1));
    assert_eq!(reads(&world), ["shard"]);
}

#[test]
fn what_was_thrown_out_is_read_again() {
    let (world, _) = published();
    let isolate = isolate();
    let budget = Budget { shards: 1, records: 1, ..Budget::default() };
    *isolate.holder.borrow_mut() = Holder::new(Rc::new(Objects::new(budget)));
    for _ in 0..2 {
        for number in [5, 15] {
            assert_eq!(ask(&world, &isolate, number).0, Ok(()));
        }
    }
    assert_eq!(reads(&world).iter().filter(|kind| *kind == "shard").count(), 4);
    assert_eq!(isolate.stats().traffic.kv_reads, 4 + 4);
}

/// Shards that push each other out while their requests wait for the project.
#[test]
fn requests_at_once_beyond_the_budget_are_all_served() {
    let (world, _) = published();
    let isolate = isolate();
    let budget = Budget { shards: 1, slices: 1, ..Budget::default() };
    *isolate.holder.borrow_mut() = Holder::new(Rc::new(Objects::new(budget)));
    world.run(check_manifest(&isolate, &world));
    let snapshot = isolate.holder.borrow().current();
    let heads: Vec<_> = (0..100)
        .map(|n| format!("GET\nhttps://edge/v1/models\nx-api-key\n{}\n", text(&token(n * 10))))
        .collect();
    let outcomes = world.run(join_all(heads.iter().map(async |head| {
        decide(
            &isolate,
            &world,
            snapshot.as_deref(),
            &Head::parse(head).unwrap(),
            NOW,
            0,
            &mut Trace::default(),
        )
        .await
    })));
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

/// What each of `count` requests of a cold isolate comes to.
fn ask_at_once(world: &World, isolate: &Rc<Isolate>, count: usize) -> Vec<Result<Plan, Refusal>> {
    let head = format!("GET\nhttps://edge/v1/models\nx-api-key\n{}\n", text(&token(5)));
    world.run(join_all((0..count).map(async |_| {
        refresh(isolate, world, world.now()).await;
        let snapshot = isolate.holder.borrow().current();
        decide(
            isolate,
            world,
            snapshot.as_deref(),
            &Head::parse(&head).unwrap(),
            NOW,
            0,
            &mut Trace::default(),
        )
        .await
    })))
}

#[test]
fn requests_at_once_read_what_they_share_once() {
    let (world, _) = published();
    world.fault.set(Fault::Slow(30));
    let outcomes = ask_at_once(&world, &isolate(), 100);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(reads(&world), ["manifest", "index", "shard", "providers", "project"]);
}

#[test]
fn requests_at_once_share_the_copies_too() {
    for fault in [Fault::Fail, Fault::Hang] {
        let (world, _) = with_copies(&[5]);
        world.fault.set(fault);
        let isolate = isolate();
        let outcomes = ask_at_once(&world, &isolate, 100);
        assert!(outcomes.iter().all(Result::is_ok), "{fault:?}: {outcomes:?}");
        assert!(isolate.stats().traffic.copies_used <= 5);
    }
}

/// A request that was cancelled never ends what it has begun.
#[test]
fn nobody_waits_long_for_a_request_that_does_not_go_on() {
    let (world, compiled) = published();
    let isolate = isolate();
    world.run(check_manifest(&isolate, &world));
    let index = compiled.base.unwrap().index;
    std::mem::forget(world.run(isolate.under_way.begin(index, &world, || false)));
    let (outcome, took) = ask(&world, &isolate, 5);
    assert_eq!(outcome, Ok(()));
    assert!((200..300).contains(&took), "{took} ms");
}

#[test]
fn copies_serve_a_cold_isolate_while_kv_fails_or_hangs() {
    for (fault, at_most) in [(Fault::Fail, 10), (Fault::Hang, COPY_AFTER + 10)] {
        let (world, _) = with_copies(&[5]);
        world.fault.set(fault);
        let isolate = isolate();
        let (outcome, took) = ask(&world, &isolate, 5);
        assert_eq!(outcome, Ok(()));
        assert!(took <= at_most, "{fault:?}: {took} ms");
        assert_eq!(isolate.stats().traffic.copies_used, 5);
        // A shard that nobody of this location has read.
        let (outcome, took) = ask(&world, &isolate, 15);
        assert_eq!(outcome, Err(Code::SnapshotUnavailable));
        assert!(took <= DEADLINE + COPY_AFTER, "{fault:?}: {took} ms");
    }
}

#[test]
fn without_kv_and_copies_the_refusal_comes_in_time() {
    for cache_fault in [Fault::None, Fault::Fail, Fault::Hang] {
        for fault in [Fault::Fail, Fault::Hang] {
            let world = World::new();
            world.fault.set(fault);
            world.cache_fault.set(cache_fault);
            let (outcome, took) = ask(&world, &isolate(), 5);
            assert_eq!(outcome, Err(Code::SnapshotUnavailable));
            assert!(took <= COLD_WAIT + 1_000, "{fault:?} {cache_fault:?}: {took} ms");
        }
    }
}

#[test]
fn kv_that_is_slow_is_waited_for_only_where_there_is_no_copy() {
    let slow = Fault::Slow(2 * COPY_AFTER);
    let (world, _) = published();
    world.fault.set(slow);
    let (outcome, took) = ask(&world, &isolate(), 5);
    assert_eq!(outcome, Ok(()));
    assert!((4 * 2 * COPY_AFTER..5 * 2 * COPY_AFTER).contains(&took), "{took} ms");
    let (world, _) = with_copies(&[5]);
    world.fault.set(slow);
    let (outcome, took) = ask(&world, &isolate(), 5);
    assert_eq!(outcome, Ok(()));
    assert!(took <= COPY_AFTER + 10, "{took} ms");
}

#[test]
fn a_copy_of_the_manifest_is_no_successful_check() {
    let (world, compiled) = with_copies(&[5]);
    world.fault.set(Fault::Fail);
    let isolate = isolate();
    assert_eq!(ask(&world, &isolate, 5).0, Ok(()));
    world.finish();
    reads(&world);
    // Within the interval nobody asks KV, after it one does, and waits for it.
    assert_eq!(ask(&world, &isolate, 5), (Ok(()), 0));
    assert!(reads(&world).is_empty());
    world.fault.set(Fault::None);
    let mut revoking = manifest(2, compiled.base);
    revoking.delta.tokens = Shard::build(vec![record(5, 1, true)]);
    world.publish(&revoking, &compiled);
    world.pass(isolate.refresh_ms + 1);
    assert_eq!(ask(&world, &isolate, 5).0, Err(Code::TokenRevoked));
}

#[test]
fn the_copy_of_the_manifest_follows_but_not_at_every_step() {
    let (world, compiled) = published();
    let isolate = isolate();
    let kept = || world.copies.borrow().get(MANIFEST_COPY).cloned();
    let mut copies = Vec::new();
    for version in 1..=40 {
        world.publish(&manifest(version, compiled.base), &compiled);
        world.run(check_manifest(&isolate, &world));
        copies.push(kept().unwrap());
        world.pass(1_000);
    }
    copies.dedup();
    assert!((3..=5).contains(&copies.len()), "{}", copies.len());
    // Once it is quiet, the copy is of the last one.
    world.pass(10_000);
    world.run(check_manifest(&isolate, &world));
    let raw = isolate.holder.borrow().current_raw().map(|(_, raw)| raw.to_vec());
    assert_eq!(kept(), raw);
}

#[test]
fn an_object_read_again_is_copied_again_after_half_a_day() {
    let (world, compiled) = published();
    let isolate = isolate();
    let load_again = || {
        *isolate.holder.borrow_mut() = Holder::default();
        world.publish(&manifest(1, compiled.base), &compiled);
        assert_eq!(ask(&world, &isolate, 5).0, Ok(()));
        isolate.stats().traffic.copies_kept
    };
    let at_first = load_again();
    assert_eq!(load_again(), at_first);
    world.pass(12 * 60 * 60 * 1000);
    assert_eq!(load_again(), at_first + 4);
}
