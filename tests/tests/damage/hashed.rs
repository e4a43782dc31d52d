//! Objects that are named by the hash of their content.

use crate::damage;
use crate::isolate::{Answers, Isolate};
use crate::world::{INDEX, PROVIDERS, SHARDS, SLICES, Stored, World};
use edge::snapshot::objects::ObjectError;

#[test]
fn an_undamaged_world_answers_everything() {
    let answers = Isolate::warm(&World::new(), None).answers();
    let there = |count: usize, of: usize| (0..of).map(|at| at < count).collect::<Vec<_>>();
    let found: Vec<bool> = answers.tokens.iter().map(|token| token.unwrap().is_some()).collect();
    assert_eq!(found, there(7, 10));
    let found: Vec<bool> =
        answers.projects.iter().map(|project| project.as_ref().unwrap().is_some()).collect();
    assert_eq!(found, there(5, 8));
    assert_eq!(answers.providers.unwrap().providers.len(), 3);
}

#[test]
fn an_index_is_refused() {
    is_refused(INDEX);
}

#[test]
fn a_small_shard_is_refused() {
    is_refused(SHARDS[0]);
}

#[test]
fn a_big_shard_is_refused() {
    is_refused(SHARDS[1]);
}

#[test]
fn a_small_slice_is_refused() {
    is_refused(SLICES[0]);
}

#[test]
fn a_big_slice_is_refused() {
    is_refused(SLICES[1]);
}

#[test]
fn providers_are_refused() {
    is_refused(PROVIDERS);
}

/// By an isolate that asks for it and by one that has it; and the good one is
/// taken after all.
fn is_refused(at: usize) {
    let world = World::new();
    let stored = &world.objects[at];
    let whole = Isolate::warm(&world, None).answers();
    let isolate = Isolate::warm(&world, Some(at));
    assert_ne!(isolate.answers(), whole);
    nothing_damaged_is_taken(&isolate, stored);
    isolate.insert(stored.object, &stored.content).unwrap();
    assert_eq!(isolate.answers(), whole);
    nothing_damaged_is_taken(&isolate, stored);
    isolate.insert(stored.object, &stored.content).unwrap();
    assert_eq!(isolate.answers(), whole);
}

fn nothing_damaged_is_taken(isolate: &Isolate, stored: &Stored) {
    let before = isolate.answers();
    for (damage, content) in damage::all(&stored.content, &stored.offsets) {
        is_not_taken(isolate, stored, &content, &before, &format!("{damage:?}"));
    }
}

fn is_not_taken(isolate: &Isolate, stored: &Stored, content: &[u8], before: &Answers, what: &str) {
    let refused = isolate.insert(stored.object, content);
    assert!(matches!(refused, Err(ObjectError::Hash)), "{:?}, {what}: {refused:?}", stored.object);
    assert_eq!(isolate.answers(), *before, "{:?}, {what}", stored.object);
}

#[test]
fn one_object_in_the_place_of_another_is_refused() {
    let world = World::new();
    for (at, stored) in world.objects.iter().enumerate() {
        let isolate = Isolate::warm(&world, Some(at));
        let before = isolate.answers();
        for (other_at, other) in world.objects.iter().enumerate().filter(|(other_at, _)| *other_at != at) {
            is_not_taken(&isolate, stored, &other.content, &before, &format!("for object {other_at}"));
        }
    }
}
