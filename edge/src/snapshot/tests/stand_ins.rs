//! What stands in for an object that cannot be loaded.

use super::*;

/// Another base, in which token 1 is revoked.
fn other() -> Compiled {
    Compiled::new(&[vec![record(1, 1, true)]], &[vec![1]])
}

fn warm() -> (Compiled, Rc<Snapshot>) {
    let compiled = Compiled::thousand();
    let snapshot = snapshot(&compiled, 1, None);
    find(&snapshot, &compiled, 1);
    load(&snapshot, &compiled, || snapshot.project(1));
    (compiled, snapshot)
}

#[test]
fn for_an_index_the_whole_snapshot_before_stands_in() {
    let (_, first) = warm();
    let second = snapshot(&other(), 2, Some(&first));
    let missing = second.token(token(1).id()).unwrap_err();
    assert!(matches!(missing, Object::Index(_)));
    assert!(second.give_up(missing));
    assert_eq!(second.token(token(1).id()).unwrap().unwrap().record, record(1, 1, false));
    assert_eq!(second.project(1).unwrap().unwrap().number, 1);
}

#[test]
fn for_a_shard_what_stands_in_is_under_the_newer_delta() {
    let (_, first) = warm();
    let other = other();
    let mut newer = manifest(2, other.base);
    newer.delta.tokens = Shard::build(vec![record(2, 1, true)]);
    let second = Snapshot::new(newer, Some(&first), first.objects.clone());
    insert(&second, &other, Object::Index(other.base.unwrap().index));
    let missing = second.token(token(1).id()).unwrap_err();
    assert!(second.give_up(missing));
    assert!(!second.token(token(1).id()).unwrap().unwrap().record.is_revoked());
    assert!(second.token(token(2).id()).unwrap().unwrap().record.is_revoked());
}

#[test]
fn none_may_that_is_older_than_the_base() {
    let (_, first) = warm();
    let mut compiled = other();
    compiled.base.as_mut().unwrap().compiled_at = first.created_at() + 1;
    let second = snapshot(&compiled, 2, Some(&first));
    let missing = second.token(token(1).id()).unwrap_err();
    assert!(!second.give_up(missing));
    assert_eq!(second.token(token(1).id()).err(), Some(missing));
}

#[test]
fn one_that_lacks_its_own_object_is_no_help() {
    let (compiled, first) = warm();
    let other = Compiled::new(&[vec![record(995, 1, false)]], &[vec![1]]);
    let second = snapshot(&other, 2, Some(&first));
    insert(&second, &other, Object::Index(other.base.unwrap().index));
    let missing = second.token(token(995).id()).unwrap_err();
    assert!(second.give_up(missing));
    // Now the one before asks for its shard, and nothing stands in for that.
    let missing_too = second.token(token(995).id()).unwrap_err();
    assert_ne!(missing_too, missing);
    assert!(!second.give_up(missing_too));
    insert(&second, &compiled, missing_too);
    assert!(second.token(token(995).id()).unwrap().is_some());
}

#[test]
fn one_that_lacks_the_same_object_is_no_help() {
    let compiled = Compiled::thousand();
    let first = snapshot(&compiled, 1, None);
    insert(&first, &compiled, Object::Index(compiled.base.unwrap().index));
    let Err(slice) = first.project(1) else { panic!("it was not loaded") };
    // The slice of project 1 is in both, and in memory of neither.
    let other = other();
    let second = snapshot(&other, 2, Some(&first));
    insert(&second, &other, Object::Index(other.base.unwrap().index));
    assert_eq!(second.project(1).err(), Some(slice));
    assert!(!second.give_up(slice));
}

/// Each compaction left something that cannot be loaded.
#[test]
fn they_stand_in_for_one_another() {
    let (_, first) = warm();
    let mut last = first;
    for version in 2..6 {
        let compiled = Compiled::new(&[vec![record(u32::try_from(version).unwrap(), 1, true)]], &[vec![1]]);
        let next = snapshot(&compiled, version, Some(&last));
        let missing = next.token(token(1).id()).unwrap_err();
        assert!(next.give_up(missing));
        last = next;
    }
    assert_eq!(last.token(token(1).id()).unwrap().unwrap().record, record(1, 1, false));
    // One further back lost something it had.
    let gone = last.token(token(500).id()).unwrap_err();
    assert!(!last.give_up(gone), "nobody stands in for the first one");
}

#[test]
fn the_one_before_is_dropped_once_the_next_needed_none() {
    let (_, first) = warm();
    let (second_base, third_base) = (other(), Compiled::new(&[vec![record(3, 1, false)]], &[vec![1]]));
    let second = snapshot(&second_base, 2, Some(&first));
    let gone = Rc::downgrade(&first);
    drop(first);
    assert!(gone.upgrade().is_some());
    find(&second, &second_base, 1);
    let _third = snapshot(&third_base, 3, Some(&second));
    assert!(gone.upgrade().is_none());
}

/// Nobody asked for anything while it was in force.
#[test]
fn one_that_was_never_used_keeps_the_one_before() {
    let (_, first) = warm();
    let second = snapshot(&other(), 2, Some(&first));
    let third_base = Compiled::new(&[vec![record(3, 1, false)]], &[vec![1]]);
    let third = snapshot(&third_base, 3, Some(&second));
    for _ in 0..2 {
        assert!(third.give_up(third.token(token(1).id()).unwrap_err()));
    }
    assert_eq!(third.token(token(1).id()).unwrap().unwrap().record, record(1, 1, false));
}

#[test]
fn their_number_is_bounded() {
    let (_, first) = warm();
    let mut last = first;
    for version in 2..200 {
        let compiled = Compiled::new(&[vec![record(u32::try_from(version).unwrap(), 1, true)]], &[vec![1]]);
        last = snapshot(&compiled, version, Some(&last));
        assert!(last.count_before() <= MAX_BEFORE);
    }
}
