//! A token that was created a moment ago, told by an object of its own.

use crate::damage;
use crate::manifest::PAYLOAD;
use crate::world::World;
use edge::snapshot::Halt;
use edge::snapshot::fresh::FreshTokens;
use latchkey_tests::{fixture, keys};
use shared::snapshot::fresh::Fresh;
use shared::snapshot::signed::{Kind, SnapshotVerifier};
use shared::token::Token;

const NOW: u64 = 1_795_444_000_000;

fn token() -> Token {
    fixture::token(NOW, 3)
}

pub(crate) fn object() -> Vec<u8> {
    let project = fixture::project(7, &fixture::providers("https://api.test"));
    let record = fixture::record(&token(), 7, None, false);
    Fresh { deployment_id: keys::DEPLOYMENT.into(), record, project }.encode(&keys::signer()).unwrap()
}

fn decode(object: &[u8]) -> Option<Fresh> {
    Fresh::decode(object, &SnapshotVerifier::from(&keys::signer())).ok()
}

#[test]
fn it_is_refused_and_the_good_one_taken() {
    let good = object();
    for (damage, object) in damage::everywhere(&good) {
        assert!(decode(&object).is_none(), "{damage:?}");
    }
    let tokens = FreshTokens::default();
    assert!(matches!(tokens.find(&token(), NOW, NOW), Err(Halt::Fresh(_))));
    tokens.remember(decode(&good).unwrap());
    assert!(tokens.find(&token(), NOW, NOW).is_ok_and(|found| found.is_some()));
}

#[test]
fn no_other_object_passes_for_one() {
    let world = World::new();
    let manifest = fixture::encode(&world.manifest(1));
    for object in world.objects.iter().map(|stored| &stored.content).chain([&manifest]) {
        assert!(decode(object).is_none());
        assert!(decode(&keys::signer().sign(Kind::Fresh, object)).is_none());
    }
    assert!(decode(&keys::signer().sign(Kind::Fresh, &manifest[PAYLOAD..])).is_none());
}

#[test]
fn the_decoder_survives_what_is_signed() {
    let (tokens, good) = (FreshTokens::default(), object());
    let mut taken = 0;
    for (_, payload) in damage::everywhere(&good[PAYLOAD..]) {
        if let Some(fresh) = decode(&keys::signer().sign(Kind::Fresh, &payload)) {
            taken += 1;
            tokens.remember(fresh);
            // It may be about another token by now.
            let _ = tokens.find(&token(), NOW, NOW);
        }
    }
    assert!(taken > 0, "a changed digit of an id reads well");
}
