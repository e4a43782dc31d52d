use super::*;
use crate::balance::error_kind::ErrorKind;
use crate::balance::testing::{NAMED, NOW, OK, answered, candidate, cool};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use shared::route::Strategy;

const BAD: Happened = answered(500);
const LIMITED: Happened = answered(429);
const BAD_KEY: Happened = answered(401);
const TOO_LONG: Happened = Happened::Answered { status: 400, kind: Some(ErrorKind::ContextLength) };

/// A request over `candidates`, by priority.
struct Request {
    candidates: Vec<Candidate>,
    standings: Standings,
    attempts: Attempts,
    now: UnixMs,
}

fn request(mut candidates: Vec<Candidate>, retry: Retry) -> Request {
    for candidate in &mut candidates {
        candidate.target_priority = u32::try_from(candidate.target).unwrap();
        candidate.credential_priority = u32::try_from(candidate.credential).unwrap();
    }
    let rules = Rules { strategy: Strategy::Priority, retry, started_at: NOW, deadline: NOW + 600_000 };
    let attempts = Attempts::new(&rules, Deal { chance: 7, turn: 0 });
    Request { candidates, standings: Standings::default(), attempts, now: NOW }
}

impl Request {
    fn first(&mut self) -> Option<usize> {
        self.attempts.first(&self.candidates, &mut self.standings, self.now)
    }

    fn after(&mut self, happened: Happened) -> Next {
        self.after_with(happened, Signs::default())
    }

    fn after_with(&mut self, happened: Happened, signs: Signs) -> Next {
        let ended = Ended { named: NAMED, happened, signs };
        let next = self.attempts.next(&self.candidates, &mut self.standings, &ended, self.now);
        if let Next::Ask { after_ms, .. } = next {
            self.now += after_ms;
        }
        next
    }

    /// Who is asked, each after the one before ended so.
    fn way(&mut self, happened: &[Happened]) -> Vec<usize> {
        let mut way = vec![self.first().unwrap()];
        for happened in happened {
            match self.after(*happened) {
                Next::Ask { candidate, .. } => way.push(candidate),
                Next::PassOn => break,
            }
        }
        way
    }
}

const TEN: Retry = Retry { attempts: 10, budget_ms: 600_000, after_reset: true };

fn at_once(candidate: usize) -> Next {
    Next::Ask { candidate, after_ms: 0 }
}

fn larger(candidate: Candidate) -> Candidate {
    Candidate { larger_context: true, ..candidate }
}

#[test]
fn who_is_alone_is_asked_and_its_answer_passed_on() {
    let mut request = request(vec![candidate(0, 0)], Retry::default());
    assert_eq!(request.first(), Some(0));
    assert_eq!(request.after(OK), Next::PassOn);
    assert_eq!(request.attempts.tried.capacity(), 0);
    assert_eq!(request.standings.all().count(), 0);
    assert_eq!(super::tests::request(vec![], Retry::default()).first(), None);
}

#[test]
fn another_is_asked_at_once_after_what_may_be_tried_again() {
    for happened in [
        Happened::Unusable,
        Happened::Unreachable,
        Happened::Reset,
        Happened::Silent,
        Happened::Error { kind: ErrorKind::Other },
        BAD_KEY,
        answered(402),
        answered(403),
        answered(408),
        answered(409),
        LIMITED,
        BAD,
        answered(529),
    ] {
        let mut request = request(vec![candidate(0, 0), candidate(1, 1)], Retry::default());
        request.first();
        assert_eq!(request.after(happened), at_once(1), "{happened:?}");
    }
}

#[test]
fn what_others_would_answer_too_is_passed_on() {
    for status in [200, 204, 302, 400, 404, 405, 410, 413, 415, 422, 451, 499] {
        let mut request = request(vec![candidate(0, 0), candidate(1, 1)], Retry::default());
        request.first();
        assert_eq!(request.after(answered(status)), Next::PassOn, "{status}");
    }
    let filtered = Happened::Answered { status: 403, kind: Some(ErrorKind::ContentFilter) };
    let mut request = request(vec![candidate(0, 0), candidate(1, 1)], Retry::default());
    request.first();
    assert_eq!(request.after(filtered), Next::PassOn);
    assert_eq!(request.standings.all().count(), 0);
}

#[test]
fn a_reset_is_passed_on_where_the_route_says_so() {
    let retry = Retry { after_reset: false, ..TEN };
    let mut request = request(vec![candidate(0, 0), candidate(1, 1)], retry);
    request.first();
    assert_eq!(request.after(Happened::Reset), Next::PassOn);
    assert_eq!(request.standings.all().count(), 1);
    let mut request = super::tests::request(vec![candidate(0, 0), candidate(1, 1)], retry);
    request.first();
    assert_eq!(request.after(Happened::Unreachable), at_once(1));
}

#[test]
fn a_failing_target_is_left_for_another_a_limit_for_another_key() {
    let all = vec![candidate(0, 0), candidate(0, 1), candidate(1, 2)];
    assert_eq!(request(all.clone(), TEN).way(&[BAD, BAD]), [0, 2, 1]);
    assert_eq!(request(all, TEN).way(&[LIMITED, LIMITED]), [0, 1, 2]);
}

#[test]
fn a_key_that_is_not_taken_is_not_used_again_for_any_target() {
    let all = vec![candidate(0, 0), candidate(0, 1), candidate(1, 0), candidate(1, 1)];
    assert_eq!(request(all, TEN).way(&[BAD_KEY, BAD_KEY, BAD_KEY]), [0, 1]);
}

#[test]
fn a_silent_target_is_not_asked_again_with_any_key() {
    let all = vec![candidate(0, 0), candidate(0, 1), candidate(1, 0)];
    assert_eq!(request(all, TEN).way(&[Happened::Silent, Happened::Silent]), [0, 2]);
}

#[test]
fn what_is_too_long_goes_to_larger_targets_only() {
    let all = vec![candidate(0, 0), candidate(1, 1), larger(candidate(2, 2)), larger(candidate(2, 3))];
    assert_eq!(request(all.clone(), TEN).way(&[TOO_LONG, LIMITED, TOO_LONG]), [0, 2, 3]);
    let first = Happened::Error { kind: ErrorKind::ContextLength };
    assert_eq!(request(all.clone(), TEN).way(&[first, TOO_LONG]), [0, 2]);
    assert_eq!(request(vec![candidate(0, 0), candidate(1, 1)], TEN).way(&[TOO_LONG]), [0]);
    assert_eq!(request(vec![larger(candidate(0, 0)), candidate(1, 1)], TEN).way(&[TOO_LONG]), [0]);
}

#[test]
fn the_same_is_asked_again_after_a_growing_wait() {
    let mut longest = [0; 9];
    for chance in 0..100 {
        let mut request = request(vec![candidate(0, 0)], TEN);
        request.attempts.deal.chance = chance;
        request.first();
        for longest in &mut longest {
            let Next::Ask { candidate: 0, after_ms } = request.after(BAD) else { panic!("{longest}") };
            *longest = after_ms.max(*longest);
        }
        assert_eq!(request.after(BAD), Next::PassOn);
    }
    for (longest, most) in
        longest.into_iter().zip([250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000])
    {
        assert!((most * 9 / 10..=most).contains(&longest), "{longest} of {most}");
    }
}

#[test]
fn waits_have_full_jitter() {
    let rules = Rules { strategy: Strategy::Priority, retry: TEN, started_at: NOW, deadline: NOW + 600_000 };
    for (waits, most) in [(0, 250), (1, 500), (5, 8_000), (40, 8_000)] {
        let mut waited: Vec<u64> = (0..10_000)
            .map(|chance| Attempts { waits, ..Attempts::new(&rules, Deal { chance, turn: 0 }) }.back_off_ms())
            .collect();
        waited.sort_unstable();
        assert!(waited[0] <= most / 50 && waited[9_999] > most - most / 50 && waited[9_999] <= most);
        assert!(waited[5_000].abs_diff(most / 2) < most / 20, "{} of {most}", waited[5_000]);
    }
}

#[test]
fn the_same_is_not_asked_before_it_wants_to_be() {
    let signs = Signs { retry_after_ms: Some(5_000), ..Signs::default() };
    let mut request = request(vec![candidate(0, 0)], Retry::default());
    request.first();
    assert_eq!(request.after_with(LIMITED, signs), Next::Ask { candidate: 0, after_ms: 5_000 });
    let signs = Signs { retry_after_ms: Some(15_000), ..Signs::default() };
    assert_eq!(request.after_with(LIMITED, signs), Next::PassOn);
}

#[test]
fn of_those_that_cool_the_first_to_be_well_is_waited_for() {
    let mut request = request(vec![candidate(0, 0), candidate(1, 1)], TEN);
    cool(&mut request.standings, &request.candidates[0], 9_000);
    cool(&mut request.standings, &request.candidates[1], 4_000);
    assert_eq!(request.first(), Some(1), "nobody is refused");
    assert_eq!(request.after(LIMITED), at_once(0));
    assert_eq!(request.after(LIMITED), Next::Ask { candidate: 1, after_ms: 4_000 });
}

#[test]
fn there_are_so_many_attempts_and_so_much_time() {
    let all: Vec<Candidate> = (0..5).map(|at| candidate(at, at)).collect();
    assert_eq!(request(all.clone(), Retry::default()).way(&[BAD; 9]), [0, 1, 2]);
    assert_eq!(request(all.clone(), Retry { attempts: 1, ..TEN }).way(&[BAD; 9]), [0]);
    assert_eq!(request(all.clone(), Retry { budget_ms: 0, ..TEN }).way(&[BAD; 9]), [0]);

    let mut late = request(all.clone(), Retry::default());
    late.first();
    late.now = NOW + 19_999;
    assert_eq!(late.after(BAD), at_once(1));
    late.now = NOW + 20_000;
    assert_eq!(late.after(BAD), Next::PassOn);

    let rules = Rules { strategy: Strategy::Priority, retry: TEN, started_at: NOW, deadline: NOW + 1_000 };
    let mut late = Request {
        attempts: Attempts::new(&rules, Deal { chance: 0, turn: 0 }),
        now: NOW + 1_000,
        ..request(all, TEN)
    };
    late.first();
    assert_eq!(late.after(BAD), Next::PassOn);
}

#[test]
fn a_key_that_does_not_open_costs_no_attempt() {
    let all: Vec<Candidate> = (0..4).map(|at| candidate(0, at)).collect();
    let happened = [Happened::Unusable, Happened::Unusable, Happened::Unusable, Happened::Unusable];
    assert_eq!(request(all, Retry { attempts: 1, ..TEN }).way(&happened), [0, 1, 2, 3]);
}

#[test]
fn one_request_at_a_time_probes() {
    let all = vec![candidate(0, 0), candidate(1, 1)];
    let mut first = request(all.clone(), TEN);
    for _ in 0..5 {
        first.standings.ended(all[0].key, NAMED, BAD, Signs::default(), NOW - 5_000);
    }
    assert_eq!(first.first(), Some(0));
    let mut second = Request { standings: first.standings, ..request(all.clone(), TEN) };
    assert_eq!(second.first(), Some(1));
    second.standings.given_up(all[0].key);
    let mut third = Request { standings: second.standings, ..request(all, TEN) };
    assert_eq!(third.first(), Some(0));
}

fn any_happened() -> impl proptest::strategy::Strategy<Value = Happened> {
    let kind = prop::sample::select(vec![
        ErrorKind::ContextLength,
        ErrorKind::ContentFilter,
        ErrorKind::BadKey,
        ErrorKind::Other,
    ]);
    prop_oneof![
        Just(Happened::Unusable),
        Just(Happened::Unreachable),
        Just(Happened::Reset),
        Just(Happened::Silent),
        kind.clone().prop_map(|kind| Happened::Error { kind }),
        (prop::sample::select(vec![401, 403, 408, 429, 500, 503]), proptest::option::of(kind))
            .prop_map(|(status, kind)| Happened::Answered { status, kind }),
    ]
}

proptest! {
    #[test]
    fn nobody_is_asked_twice_while_another_is_left(
        all in prop::collection::hash_set((0usize..4, 0usize..4), 1..10),
        happened in prop::collection::vec((any_happened(), 0u64..3_000), 1..20),
        is_larger: [bool; 4],
        attempts in 1u32..10,
        budget_ms in 0u32..60_000,
        chance: u64,
    ) {
        let all = all.into_iter().map(|(target, credential)| Candidate {
            larger_context: is_larger[target],
            ..candidate(target, credential)
        });
        let mut request = request(all.collect(), Retry { attempts, budget_ms, after_reset: true });
        request.attempts.deal.chance = chance;
        let mut asked = vec![request.first().unwrap()];
        let mut barred: Vec<(Happened, Candidate)> = Vec::new();
        let mut really = 0;
        for (happened, took_ms) in happened {
            request.now += took_ms;
            let last = request.candidates[*asked.last().unwrap()];
            barred.push((happened, last));
            really += u32::from(happened != Happened::Unusable);
            let Next::Ask { candidate: next, after_ms } = request.after(happened) else { break };
            prop_assert!(really < attempts);
            prop_assert!(request.now < NOW + u64::from(budget_ms));
            let is_allowed = |candidate: &Candidate| barred.iter().all(|(happened, tried)| {
                match happened.fault().unwrap() {
                    Fault::Key => candidate.credential != tried.credential,
                    Fault::Silence => candidate.target != tried.target,
                    Fault::Length => candidate.larger_context && candidate.target != tried.target,
                    Fault::Limit | Fault::Moment | Fault::Provider => true,
                }
            });
            prop_assert!(is_allowed(&request.candidates[next]));
            let is_another_left = request
                .candidates
                .iter()
                .enumerate()
                .any(|(at, candidate)| !asked.contains(&at) && is_allowed(candidate));
            prop_assert_eq!(asked.contains(&next), !is_another_left);
            prop_assert!(after_ms == 0 || !is_another_left);
            asked.push(next);
        }
    }
}
