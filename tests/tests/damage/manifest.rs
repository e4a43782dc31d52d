//! The manifest, which is named by nothing and believed for its signature.

use crate::damage;
use crate::isolate::{Answers, Isolate};
use crate::world::World;
use edge::snapshot::Snapshot;
use latchkey_tests::{fixture, keys};
use shared::snapshot::manifest::Manifest;
use shared::snapshot::shard::Shard;
use shared::snapshot::signed::{Kind, SnapshotVerifier};
use std::rc::Rc;

/// Magic, key id and signature precede the payload.
pub(crate) const PAYLOAD: usize = 76;

/// The one after the isolate's: had it been taken, there would be no token in the delta.
fn next(world: &World) -> Vec<u8> {
    let mut next = world.manifest(2);
    next.delta.tokens = Shard::default();
    fixture::encode(&next)
}

#[test]
fn a_warm_isolate_keeps_what_it_holds() {
    let world = World::new();
    let mut isolate = Isolate::warm(&world, None);
    let (held, before) = (isolate.snapshot().unwrap(), isolate.answers());
    let next = next(&world);
    for (damage, object) in damage::everywhere(&next) {
        assert!(isolate.read(&object).is_err() && isolate.read_copy(&object).is_err(), "{damage:?}");
        assert!(Rc::ptr_eq(&isolate.snapshot().unwrap(), &held), "{damage:?}");
    }
    assert_eq!(isolate.answers(), before);
    isolate.read(&next).unwrap();
    assert_eq!(isolate.snapshot().unwrap().version(), 2);
    assert_ne!(isolate.answers(), before);
}

#[test]
fn a_cold_isolate_goes_on_holding_nothing() {
    let world = World::new();
    let mut isolate = Isolate::default();
    let next = next(&world);
    for (damage, object) in damage::everywhere(&next) {
        assert!(isolate.read(&object).is_err() && isolate.read_copy(&object).is_err(), "{damage:?}");
        assert!(isolate.snapshot().is_none(), "{damage:?}");
    }
    isolate.read(&next).unwrap();
    assert_eq!(isolate.snapshot().unwrap().version(), 2);
}

#[test]
fn no_other_object_passes_for_a_manifest() {
    let world = World::new();
    let mut isolate = Isolate::warm(&world, None);
    let before = isolate.answers();
    let fresh = crate::fresh::object();
    for object in world.objects.iter().map(|stored| &stored.content).chain([&fresh]) {
        assert!(isolate.read(object).is_err());
        // Nor under a manifest's signature.
        assert!(isolate.read(&keys::signer().sign(Kind::Manifest, object)).is_err());
    }
    assert!(isolate.read(&keys::signer().sign(Kind::Manifest, &fresh[PAYLOAD..])).is_err());
    assert_eq!(isolate.answers(), before);
}

/// Damage under a right signature: refused or read, but never a panic, also not
/// when it is looked up in; and what is refused changes nothing.
#[test]
fn the_decoder_survives_what_is_signed() {
    let world = World::new();
    let mut isolate = Isolate::warm(&world, None);
    let (held, before) = (isolate.snapshot().unwrap(), isolate.answers());
    let verifier = SnapshotVerifier::from(&keys::signer());
    let next = next(&world);
    let mut taken = 0;
    for (damage, payload) in damage::everywhere(&next[PAYLOAD..]) {
        let object = keys::signer().sign(Kind::Manifest, &payload);
        if let Ok(manifest) = Manifest::decode(&object, &verifier) {
            taken += 1;
            let again = Manifest::decode(&fixture::encode(&manifest), &verifier).unwrap();
            assert_eq!(again, manifest, "{damage:?}");
            Answers::of(&Snapshot::new(manifest, Some(&held), isolate.objects().clone()));
        } else {
            assert!(isolate.read(&object).is_err(), "{damage:?}");
            assert!(Rc::ptr_eq(&isolate.snapshot().unwrap(), &held), "{damage:?}");
        }
    }
    assert_eq!(isolate.answers(), before);
    assert!(taken > 0, "a changed digit of an id reads well");
}
