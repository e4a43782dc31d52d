//! Policies of tokens, from the database to where the edge looks.

use super::World;
use crate::world::signer;
use control_plane::clock;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::store::sql::query;
use shared::policy::{Carried, Policy};
use shared::snapshot::config::Profile;
use shared::snapshot::fresh::Fresh;
use shared::snapshot::fresh_key;
use shared::snapshot::record::{ProfileNumber, TokenRecord};
use shared::snapshot::signed::SnapshotVerifier;
use std::time::Duration;
use tokio::task::JoinSet;

const HOUR: u64 = 3_600_000;

fn text(bytes: u64) -> String {
    format!(r#"{{"max_body_bytes":{bytes}}}"#)
}

fn profile(number: ProfileNumber, bytes: u64) -> Profile {
    let policy = Policy { max_body_bytes: Some(bytes), ..Policy::default() };
    Profile { number, policy: policy.into() }
}

async fn compact(publisher: &mut ByHand) {
    for _ in 0..2 {
        publisher.publish(clock::now()).await.unwrap();
        publisher.finish_work(clock::now()).await.unwrap();
    }
    publisher.publish(clock::now()).await.unwrap();
}

#[tokio::test]
async fn reach_the_edge_with_the_delta_and_with_a_base() {
    let world = World::new().await.settle(Duration::ZERO);
    let tokens = world.create_tokens(2_100).await;
    let (one, two) = (world.profile(1, &text(1), u64::MAX).await, world.profile(2, &text(2), u64::MAX).await);
    world.limit(tokens[7], one).await;
    world.limit(tokens[8], two).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    let profiles = |world: &World| [6, 7, 8].map(|at| world.token(tokens[at]).unwrap().profile());
    publisher.publish(clock::now()).await.unwrap();
    assert!(world.manifest().unwrap().base.is_none());
    assert_eq!(profiles(&world), [None, Some(1), Some(2)]);
    assert_eq!(world.project().unwrap().profiles, [profile(1, 1), profile(2, 2)]);

    compact(&mut publisher).await;
    assert!(world.manifest().unwrap().delta.tokens.is_empty());
    assert_eq!(profiles(&world), [None, Some(1), Some(2)]);
    assert_eq!(world.project().unwrap().profiles, [profile(1, 1), profile(2, 2)]);
    assert!(world.verify().await.is_clean());

    // And what changes afterwards.
    world.limit(tokens[7], two).await;
    publisher.publish(clock::now()).await.unwrap();
    assert_eq!(profiles(&world), [None, Some(2), Some(2)]);
    assert!(world.verify().await.is_clean());
}

#[tokio::test]
async fn those_that_expired_some_time_ago_stay_behind() {
    let world = World::new().await.settle(Duration::ZERO);
    let now = clock::now();
    for (number, used_until) in [(1, 0), (2, now - 2 * HOUR), (3, now - HOUR / 2), (4, now + HOUR)] {
        world.profile(number, &text(number.cast_unsigned()), used_until).await;
    }
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    publisher.publish(now).await.unwrap();
    assert_eq!(world.project().unwrap().profiles, [profile(3, 3), profile(4, 4)]);
}

/// Time passes between a publication and its verification.
#[tokio::test]
async fn what_was_needed_when_it_was_published_is_no_problem() {
    let world = World::new().await.settle(Duration::ZERO);
    let ends = world.profile(1, &text(1), clock::now() - HOUR / 2).await;
    world.profile(2, &text(2), u64::MAX).await;
    let mut publisher = ByHand::start(world.settings(), world.store.clone()).await.unwrap();
    publisher.publish(clock::now()).await.unwrap();
    let set = async |id, column: &'static str, value: &str| {
        let mut tx = world.store.write().await.unwrap();
        query(column).bind(id).bind(value).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    assert!(world.verify().await.is_clean());
    set(ends, "update profiles set used_until = 5 where id = $1 and $2 <> ''", "x").await;
    assert!(world.verify().await.is_clean());
    // But one that is needed and is not there, or says something else, is.
    set(ends, "update profiles set used_until = 9000000000000 where id = $1 and $2 <> ''", "x").await;
    assert!(world.verify().await.is_clean());
    set(ends, "update profiles set policy = $2 where id = $1", &text(7)).await;
    assert!(world.verify().await.problems[0].contains("not in KV as it is in the database"));
    set(ends, "update profiles set policy = $2 where id = $1", &text(1)).await;
    world.profile(3, &text(3), u64::MAX).await;
    let mut tx = world.store.write().await.unwrap();
    query("delete from outbox where published_version is null").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.verify().await.problem_count, 1);
}

/// A project has up to 200; a new token needs its own.
#[tokio::test]
async fn a_new_token_comes_with_its_own() {
    let world = World::new().await;
    let publisher = world.start();
    world.profile(1, &text(1), u64::MAX).await;
    world.profile(2, "{", u64::MAX).await;
    let ids = world.create_tokens(3).await;
    let wanted = [(None, false), (Some(1), false), (Some(2), true)];
    let mut announced = JoinSet::new();
    for (id, (number, _)) in ids.iter().zip(wanted) {
        let record = TokenRecord::new(*id, &[7; 32], None, 1, false).with_profile(number);
        let (handle, project) = (publisher.handle.clone(), world.project);
        announced.spawn(async move { handle.announce(record, project).await });
    }
    assert!(announced.join_all().await.iter().all(|acknowledged| *acknowledged));
    for (id, (number, unreadable)) in ids.iter().zip(wanted) {
        let object = world.kv.raw(&fresh_key(*id)).unwrap();
        let fresh = Fresh::decode(&object, &SnapshotVerifier::from(&signer())).unwrap();
        assert_eq!(fresh.record.profile(), number);
        let carried: Vec<_> = fresh.project.profiles.iter().map(|profile| profile.number).collect();
        assert_eq!(carried, Vec::from_iter(number));
        let denies = fresh.project.profiles.iter().any(|each| matches!(each.policy, Carried::Unreadable(_)));
        assert_eq!(denies, unreadable);
    }
}
