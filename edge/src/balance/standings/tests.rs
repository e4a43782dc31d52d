use super::*;
use crate::balance::error_kind::ErrorKind;
use crate::balance::testing::{NAMED, NOW, OK, answered, key};

const BAD: Happened = answered(500);
const LIMITED: Happened = answered(429);

fn ended(standings: &mut Standings, happened: Happened, signs: Signs, now: UnixMs) {
    standings.ended(key(1), NAMED, happened, signs, now);
}

fn retry_after(ms: u64) -> Signs {
    Signs { retry_after_ms: Some(ms), ..Signs::default() }
}

fn low_for(ms: u64) -> Signs {
    Signs { low_for_ms: Some(ms), ..Signs::default() }
}

fn health(standings: &Standings, now: UnixMs) -> Health {
    standings.look(key(1), now).health
}

#[test]
fn nothing_is_kept_of_who_is_well() {
    let mut standings = Standings::default();
    standings.began(key(1), NOW);
    ended(&mut standings, OK, low_for(0), NOW);
    ended(&mut standings, answered(404), Signs::default(), NOW);
    assert_eq!((standings.all().count(), health(&standings, NOW)), (0, Health::Well));
}

#[test]
fn a_limit_cools_for_as_long_as_is_said() {
    let spent = Signs { spent_for_ms: Some(9_000), ..Signs::default() };
    for (signs, ms) in [
        (retry_after(7_000), 7_000),
        (spent, 9_000),
        (Signs { retry_after_ms: Some(500), ..spent }, 500),
        (Signs::default(), 1_000),
    ] {
        let mut standings = Standings::default();
        ended(&mut standings, LIMITED, signs, NOW);
        assert_eq!(health(&standings, NOW), Health::UnwellUntil(NOW + ms));
        assert_eq!(health(&standings, NOW + ms), Health::Well);
        assert_eq!(standings.look(key(2), NOW), Look::default());
        assert_eq!(standings.look(key(1), NOW).failed_at, NOW);
    }
}

#[test]
fn who_does_not_say_cools_twice_as_long_each_time() {
    let (mut standings, mut now) = (Standings::default(), NOW);
    for ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
        for _ in 0..10 {
            ended(&mut standings, LIMITED, Signs::default(), now);
        }
        assert_eq!(health(&standings, now), Health::UnwellUntil(now + ms));
        // That of one that began before.
        ended(&mut standings, OK, Signs::default(), now + 1);
        assert_eq!(health(&standings, now + 1), Health::UnwellUntil(now + ms));
        now += ms;
    }
    ended(&mut standings, OK, Signs::default(), now);
    ended(&mut standings, LIMITED, Signs::default(), now);
    assert_eq!(health(&standings, now), Health::UnwellUntil(now + 1_000));
}

#[test]
fn only_an_answer_ends_a_row_of_limits() {
    for (between, ms) in [(BAD, 2_000), (Happened::Silent, 2_000), (OK, 1_000), (answered(404), 1_000)] {
        let mut standings = Standings::default();
        ended(&mut standings, LIMITED, Signs::default(), NOW);
        ended(&mut standings, between, Signs::default(), NOW + 1_000);
        ended(&mut standings, LIMITED, Signs::default(), NOW + 1_000);
        assert_eq!(health(&standings, NOW + 1_000), Health::UnwellUntil(NOW + 1_000 + ms), "{between:?}");
    }
}

#[test]
fn only_failures_open_the_breaker() {
    let failures = [Happened::Unreachable, Happened::Reset, Happened::Silent, BAD, answered(529)];
    let mut standings = Standings::default();
    for happened in failures {
        assert_eq!(health(&standings, NOW), Health::Well);
        ended(&mut standings, happened, Signs::default(), NOW);
    }
    assert_eq!(health(&standings, NOW), Health::UnwellUntil(NOW + 5_000));
    ended(&mut standings, answered(400), Signs::default(), NOW);
    assert_eq!(health(&standings, NOW), Health::Well);

    let mut standings = Standings::default();
    for status in [429, 400, 404, 408, 409].repeat(2) {
        ended(&mut standings, answered(status), retry_after(0), NOW);
    }
    let long = Happened::Error { kind: ErrorKind::ContextLength };
    ended(&mut standings, long, Signs::default(), NOW);
    assert_eq!(health(&standings, NOW), Health::Well);
}

#[test]
fn a_failure_that_says_when_to_come_back_cools_too() {
    let mut standings = Standings::default();
    ended(&mut standings, answered(503), retry_after(8_000), NOW);
    assert_eq!(health(&standings, NOW), Health::UnwellUntil(NOW + 8_000));
}

#[test]
fn a_probe_is_given_once() {
    let mut standings = Standings::default();
    for _ in 0..5 {
        ended(&mut standings, BAD, Signs::default(), NOW);
    }
    let due = NOW + 5_000;
    assert_eq!(health(&standings, due), Health::Well);
    standings.began(key(1), due);
    assert_eq!(health(&standings, due), Health::UnwellUntil(due));
    standings.given_up(key(1));
    assert_eq!(health(&standings, due), Health::Well);
    standings.began(key(1), due);
    ended(&mut standings, OK, Signs::default(), due);
    assert_eq!(health(&standings, due), Health::Well);
}

#[test]
fn a_bad_key_is_bad_for_all_that_is_asked_with_it() {
    let mut standings = Standings::default();
    ended(&mut standings, answered(401), Signs::default(), NOW);
    let other_model = Key::of(key(1).credential(), Some("another"));
    for key in [key(1), other_model] {
        assert_eq!(standings.look(key, NOW).health, Health::UnwellUntil(NOW + 60_000));
        assert_eq!(standings.look(key, NOW + 60_000).health, Health::Well);
    }
    assert_eq!(standings.look(key(2), NOW), Look::default());
}

#[test]
fn a_key_that_does_not_open_says_nothing_of_the_provider() {
    let mut standings = Standings::default();
    for _ in 0..5 {
        ended(&mut standings, BAD, Signs::default(), NOW);
    }
    let due = NOW + 5_000;
    standings.began(key(1), due);
    ended(&mut standings, Happened::Unusable, Signs::default(), due);
    assert_eq!(health(&standings, due), Health::UnwellUntil(due + 60_000));
    let breakers: Vec<_> = standings.all().map(|standing| standing.breaker).collect();
    assert!(breakers.contains(&Breaker::Open { until: due, times: 1 }), "{breakers:?}");
}

#[test]
fn who_is_near_a_limit_is_so_until_told_otherwise() {
    let mut standings = Standings::default();
    ended(&mut standings, OK, low_for(3_000), NOW);
    assert_eq!(health(&standings, NOW + 2_999), Health::Low);
    assert_eq!(health(&standings, NOW + 3_000), Health::Well);
    ended(&mut standings, OK, Signs::default(), NOW);
    assert_eq!(health(&standings, NOW), Health::Low);
    ended(&mut standings, OK, low_for(0), NOW);
    assert_eq!(health(&standings, NOW), Health::Well);
}

#[test]
fn is_bounded_and_the_oldest_goes() {
    let mut standings = Standings::default();
    for number in 0..3_000 {
        standings.ended(key(number), NAMED, LIMITED, retry_after(60_000), NOW);
        standings.ended(key(0), NAMED, LIMITED, retry_after(60_000), NOW);
    }
    assert_eq!(standings.all().count(), MAX_STANDINGS);
    let unwell = Health::UnwellUntil(NOW + 60_000);
    assert_eq!(standings.look(key(0), NOW).health, unwell);
    assert_eq!(standings.look(key(2_999), NOW).health, unwell);
    assert_eq!(standings.look(key(1), NOW).health, Health::Well);
}

#[test]
fn tells_a_person_what_is_wrong() {
    let mut standings = Standings::default();
    let model = "ä".repeat(1_000);
    standings.ended(key(1), Named { model: Some(&model), ..NAMED }, LIMITED, retry_after(1_000), NOW);
    let told = serde_json::to_value(standings.all().collect::<Vec<_>>()).unwrap();
    assert_eq!(
        told,
        serde_json::json!([{
            "credential_id": key(1).credential(), "provider": "openai", "model": "ä".repeat(100),
            "cools_until": NOW + 1_000, "low_until": 0, "failed_at": NOW,
            "breaker": {"state": "closed", "failures": 0},
        }])
    );
}

#[test]
fn who_always_begins_and_never_ends_is_left_out() {
    let (mut standings, mut now) = (Standings::default(), NOW);
    let broke = Happened::BrokeOff { is_silent: false };
    for number in 1..=5 {
        assert_eq!(health(&standings, now), Health::Well, "{number}");
        // Its headers are good each time.
        ended(&mut standings, OK, Signs::default(), now);
        ended(&mut standings, broke, Signs::default(), now);
    }
    assert_eq!(health(&standings, now), Health::UnwellUntil(now + 5_000));
    // The probe breaks off too.
    now += 5_000;
    standings.began(key(1), now);
    ended(&mut standings, OK, Signs::default(), now);
    ended(&mut standings, broke, Signs::default(), now);
    assert_eq!(health(&standings, now), Health::UnwellUntil(now + 10_000));
    // Many that began before do not make it longer, nor does one that only begins end it.
    for _ in 0..20 {
        ended(&mut standings, broke, Signs::default(), now);
        ended(&mut standings, OK, Signs::default(), now);
    }
    assert_eq!(health(&standings, now), Health::UnwellUntil(now + 10_000));
    // The next probe comes to its end; until then there is one.
    now += 10_000;
    standings.began(key(1), now);
    ended(&mut standings, OK, Signs::default(), now);
    assert_eq!(health(&standings, now), Health::UnwellUntil(now));
    standings.completed(key(1));
    for _ in 0..5 {
        assert_eq!(health(&standings, now), Health::Well);
        ended(&mut standings, broke, Signs::default(), now);
    }
    assert_eq!(health(&standings, now), Health::UnwellUntil(now + 5_000));
    standings.completed(key(2));
    assert_eq!(standings.all().count(), 1);
}
