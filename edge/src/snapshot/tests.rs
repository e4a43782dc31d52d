mod stand_ins;

use super::objects::{Budget, Object, ObjectError, Objects};
use super::*;
use crate::testing::{Compiled, manifest, project, record, token};
use shared::snapshot::shard::Shard;

fn objects(shards: usize, records: usize) -> Rc<Objects> {
    Rc::new(Objects::new(Budget { shards, records, ..Budget::default() }))
}

fn snapshot(compiled: &Compiled, version: u64, before: Option<&Rc<Snapshot>>) -> Rc<Snapshot> {
    let objects = before.map_or_else(|| objects(usize::MAX, usize::MAX), |before| before.objects.clone());
    Rc::new(Snapshot::new(manifest(version, compiled.base), before, objects))
}

fn insert(snapshot: &Snapshot, compiled: &Compiled, object: Object) {
    snapshot.objects.insert(object.verify(compiled.content(object)).unwrap()).unwrap();
}

/// Looks up, loading what is asked for; says what that was.
fn load<T>(
    snapshot: &Snapshot,
    compiled: &Compiled,
    look_up: impl Fn() -> Result<T, Object>,
) -> (T, Vec<Object>) {
    let mut loaded = Vec::new();
    loop {
        match look_up() {
            Ok(found) => return (found, loaded),
            Err(object) => {
                insert(snapshot, compiled, object);
                loaded.push(object);
            }
        }
    }
}

/// Finds token `number` as its owner does; says how many objects that took.
fn find(snapshot: &Snapshot, compiled: &Compiled, number: u32) -> (Option<TokenRecord>, usize) {
    let (found, loaded) = load(snapshot, compiled, || snapshot.token(token(number).id()));
    if let Some(found) = &found {
        snapshot.remember(found, &token(number));
    }
    (found.map(|found| found.record), loaded.len())
}

#[test]
fn a_look_up_asks_for_one_object_after_another() {
    let compiled = Compiled::thousand();
    let snapshot = snapshot(&compiled, 1, None);
    let (found, loaded) = load(&snapshot, &compiled, || snapshot.token(token(15).id()));
    assert_eq!(found.unwrap().record, record(15, 1, false));
    assert!(matches!(loaded[..], [Object::Index(_), Object::Shard(_)]), "{loaded:?}");
    let (project, loaded) = load(&snapshot, &compiled, || snapshot.project(1));
    assert_eq!(project.unwrap().number, 1);
    assert!(matches!(loaded[..], [Object::Projects(_)]), "{loaded:?}");
    let (providers, loaded) = load(&snapshot, &compiled, || snapshot.providers());
    assert_eq!(providers.providers.len(), 1);
    assert!(matches!(loaded[..], [Object::Providers(_)]), "{loaded:?}");
    assert_eq!(find(&snapshot, &compiled, 1_500), (None, 1));
    assert!(snapshot.project(2).unwrap().is_none());
}

#[test]
fn shards_stay_within_their_budget_and_come_back_when_they_are_needed() {
    let compiled = Compiled::thousand();
    let budget = 8_000;
    let objects = objects(budget, 0);
    let snapshot = Snapshot::new(manifest(1, compiled.base), None, objects.clone());
    for round in 0..2 {
        for number in (0..1_000).step_by(10) {
            let (found, loaded) = find(&snapshot, &compiled, number);
            assert!(found.is_some());
            assert_eq!(loaded, if round + number == 0 { 2 } else { 1 });
            assert!(objects.stats().shards.bytes <= budget);
        }
    }
    let stats = objects.stats().shards;
    assert_eq!(stats.count as u64 + stats.evictions, 200);
    assert!(stats.count > 1);
}

#[test]
fn a_shard_larger_than_the_budget_is_used_all_the_same() {
    let compiled = Compiled::thousand();
    let snapshot = Snapshot::new(manifest(1, compiled.base), None, objects(1, 0));
    for number in [5, 15, 5] {
        assert_eq!(find(&snapshot, &compiled, number).0, Some(record(number, 1, false)));
        assert_eq!(snapshot.objects().stats().shards.count, 1);
    }
}

#[test]
fn a_token_that_was_seen_needs_its_shard_no_more() {
    let compiled = Compiled::thousand();
    let snapshot = Snapshot::new(manifest(1, compiled.base), None, objects(1, usize::MAX));
    for number in (0..1_000).step_by(10) {
        find(&snapshot, &compiled, number);
    }
    for number in (0..1_000).step_by(10) {
        assert_eq!(find(&snapshot, &compiled, number), (Some(record(number, 1, false)), 0));
    }
    assert_eq!(snapshot.objects().stats().records.hits, 100);
}

#[test]
fn only_who_has_the_secret_makes_a_token_seen() {
    let compiled = Compiled::thousand();
    let snapshot = Snapshot::new(manifest(1, compiled.base), None, objects(usize::MAX, usize::MAX));
    let guessed = Token::new(token(5).id(), [8; 20]);
    let (found, _) = load(&snapshot, &compiled, || snapshot.token(guessed.id()));
    snapshot.remember(&found.unwrap(), &guessed);
    assert_eq!(snapshot.objects().stats().records.count, 0);
}

#[test]
fn a_flood_of_unknown_ids_pushes_no_seen_token_out() {
    let compiled = Compiled::thousand();
    let snapshot = Snapshot::new(manifest(1, compiled.base), None, objects(2_000, 2_000));
    find(&snapshot, &compiled, 5);
    for number in 0..10_000 {
        let mut random = [9; 10];
        random[6..].copy_from_slice(&u32::to_be_bytes(number));
        let unknown =
            Token::new(shared::id::new(token(number * 10 % 1_000).issued_at().unwrap(), &random), [7; 20]);
        let (found, _) = load(&snapshot, &compiled, || snapshot.token(unknown.id()));
        assert!(found.is_none());
    }
    assert!(snapshot.objects().stats().shards.evictions > 1_000);
    assert_eq!(find(&snapshot, &compiled, 5), (Some(record(5, 1, false)), 0));
}

#[test]
fn a_seen_token_does_not_outlive_its_shard() {
    let before = Compiled::new(&[vec![record(1, 1, false), record(2, 1, false)]], &[vec![1]]);
    let after = Compiled::new(&[vec![record(1, 1, true)]], &[vec![1]]);
    let first = snapshot(&before, 1, None);
    find(&first, &before, 1);
    find(&first, &before, 2);
    let second = snapshot(&after, 2, Some(&first));
    assert_eq!(find(&second, &after, 1), (Some(record(1, 1, true)), 2));
    assert_eq!(find(&second, &after, 2), (None, 0));
    // Who still decides by the first is not led astray by the second.
    assert_eq!(find(&first, &before, 1), (Some(record(1, 1, false)), 0));
}

#[test]
fn the_delta_outranks_a_seen_token() {
    let compiled = Compiled::thousand();
    let first = snapshot(&compiled, 1, None);
    find(&first, &compiled, 5);
    let mut newer = manifest(2, compiled.base);
    newer.delta.tokens = Shard::build(vec![record(5, 1, true)]);
    let second = Snapshot::new(newer, Some(&first), first.objects.clone());
    assert_eq!(find(&second, &compiled, 5), (Some(record(5, 1, true)), 0));
}

#[test]
fn what_was_handed_out_outlives_its_eviction() {
    let compiled = Compiled::new(&[vec![record(1, 1, false)]], &[vec![1], vec![2]]);
    let objects = Rc::new(Objects::new(Budget { slices: 1, ..Budget::default() }));
    let snapshot = Snapshot::new(manifest(1, compiled.base), None, objects);
    let (held, _) = load(&snapshot, &compiled, || snapshot.project(1));
    load(&snapshot, &compiled, || snapshot.project(2));
    assert!(snapshot.project(1).is_err(), "it was not evicted");
    assert_eq!(held.unwrap().number, 1);
}

#[test]
fn a_wrong_or_malformed_object_changes_nothing() {
    let compiled = Compiled::thousand();
    let snapshot = snapshot(&compiled, 1, None);
    let Err(asked) = snapshot.token(token(1).id()) else { panic!("it knows already") };
    let mut wrong = compiled.content(asked);
    wrong[50] ^= 1;
    assert!(matches!(asked.verify(wrong), Err(ObjectError::Hash)));
    let junk = b"junk".to_vec();
    for kind in [Object::Index, Object::Shard, Object::Projects, Object::Providers] {
        let object = kind(Hash::of(&junk));
        assert!(snapshot.objects.insert(object.verify(junk.clone()).unwrap()).is_err());
        assert!(!snapshot.objects.holds(object));
    }
    assert_eq!(snapshot.token(token(1).id()).err(), Some(asked));
}

#[test]
fn a_project_of_the_delta_keeps_its_open_credentials_until_it_changes() {
    let with_projects = |version, projects| {
        let mut manifest = manifest(version, None);
        manifest.delta.projects = projects;
        manifest
    };
    let first = Rc::new(Snapshot::new(
        with_projects(1, vec![project(1), project(2)]),
        None,
        objects(usize::MAX, usize::MAX),
    ));
    let changed = shared::snapshot::config::Project { is_active: false, ..project(2) };
    let second =
        Snapshot::new(with_projects(2, vec![project(1), changed]), Some(&first), first.objects.clone());
    let of = |snapshot: &Snapshot, number| snapshot.project(number).unwrap().unwrap();
    assert!(Rc::ptr_eq(&of(&first, 1), &of(&second, 1)));
    assert!(of(&first, 2).is_active && !of(&second, 2).is_active);
}
