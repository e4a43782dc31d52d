//! The decoders behind the hash: damage that whoever publishes would have done
//! itself. What cannot be read is refused and changes nothing; what can be read
//! may say anything, but nothing that is looked up in it panics.

use crate::damage;
use crate::isolate::{Answers, insert};
use crate::world::{INDEX, PROVIDERS, SHARDS, SLICES, World};
use edge::snapshot::objects::{Object, ObjectError, Objects};
use std::rc::Rc;

#[test]
fn of_an_index() {
    // Magic and counts. Then come hashes, which may be any, and ids, which need only be in order.
    survives(INDEX, |good, bad| bad.len() != good.len() || bad[..12] != good[..12]);
}

#[test]
fn of_a_small_shard() {
    survives(SHARDS[0], cannot_be_a_shard);
}

#[test]
fn of_a_big_shard() {
    survives(SHARDS[1], cannot_be_a_shard);
}

/// Magic and count. Then come records, which may be any.
fn cannot_be_a_shard(good: &[u8], bad: &[u8]) -> bool {
    bad.len() != good.len() || bad[..8] != good[..8]
}

#[test]
fn of_a_small_slice() {
    survives(SLICES[0], cannot_be_json);
}

#[test]
fn of_a_big_slice() {
    survives(SLICES[1], cannot_be_json);
}

#[test]
fn of_providers() {
    survives(PROVIDERS, cannot_be_json);
}

/// A text may read well with other characters in it, but not with zeros or another end.
fn cannot_be_json(good: &[u8], bad: &[u8]) -> bool {
    bad.len() != good.len() || bad.contains(&0)
}

fn survives(at: usize, must_be_refused: impl Fn(&[u8], &[u8]) -> bool) {
    let world = World::new();
    let stored = &world.objects[at];
    let objects = others(&world, at);
    for (damage, content) in damage::all(&stored.content, &stored.offsets) {
        let (snapshot, object) = world.naming(at, &content, &objects);
        let lacking = Answers::of(&snapshot);
        match insert(&objects, object, &content) {
            Ok(()) => {
                assert!(!must_be_refused(&stored.content, &content), "{damage:?} was taken");
                Answers::of(&snapshot);
            }
            Err(error) => {
                assert!(!matches!(error, ObjectError::Hash), "{damage:?}: the hash does match");
                assert_eq!(Answers::of(&snapshot), lacking, "{damage:?}");
            }
        }
    }
}

/// All but the one at `at`.
fn others(world: &World, at: usize) -> Rc<Objects> {
    let objects = Rc::new(Objects::default());
    for (_, stored) in world.objects.iter().enumerate().filter(|(other, _)| *other != at) {
        insert(&objects, stored.object, &stored.content).unwrap();
    }
    objects
}

#[test]
fn none_takes_an_object_of_another_kind() {
    let world = World::new();
    for (at, stored) in world.objects.iter().enumerate() {
        let is_other =
            |object: &Object| std::mem::discriminant(object) != std::mem::discriminant(&stored.object);
        for other in world.objects.iter().filter(|other| is_other(&other.object)) {
            let objects = others(&world, at);
            let (snapshot, object) = world.naming(at, &other.content, &objects);
            let lacking = Answers::of(&snapshot);
            let refused = insert(&objects, object, &other.content).unwrap_err();
            assert!(!matches!(refused, ObjectError::Hash), "{object:?}: {refused}");
            assert_eq!(Answers::of(&snapshot), lacking);
        }
    }
}
