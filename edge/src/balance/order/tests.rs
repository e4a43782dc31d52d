use super::*;
use crate::balance::happened::Happened;
use crate::balance::signs::Signs;
use crate::balance::testing::{NAMED, NOW, answered, candidate, cool};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use shared::route::Strategy;

const STRATEGIES: [Strategy; 4] =
    [Strategy::Priority, Strategy::Weighted, Strategy::RoundRobin, Strategy::LeastRecentlyFailing];

/// So many that a share is known to a hundredth.
const SWEEP: u64 = 100_000;

/// All of them, in order.
fn order(candidates: &[Candidate], standings: &Standings, strategy: Strategy, deal: Deal) -> Vec<usize> {
    let order = Order { candidates, standings, strategy, deal, now: NOW };
    let mut asked = Vec::new();
    while let Some(next) = order.first(|at, _| !asked.contains(&at), |_| false) {
        asked.push(next);
    }
    asked
}

fn first(candidates: &[Candidate], standings: &Standings, strategy: Strategy, chance: u64) -> usize {
    let deal = Deal { chance, turn: chance };
    let order = Order { candidates, standings, strategy, deal, now: NOW };
    order.first(|_, _| true, |_| false).unwrap()
}

/// How often each of three comes first.
fn shares(candidates: &[Candidate], standings: &Standings, strategy: Strategy) -> [f64; 3] {
    let mut counts = [0u32; 3];
    for chance in 0..SWEEP {
        counts[first(candidates, standings, strategy, chance)] += 1;
    }
    counts.map(|count| f64::from(count) / f64::from(u32::try_from(SWEEP).unwrap()))
}

fn assert_near(shares: [f64; 3], expected: [f64; 3]) {
    let is_near = shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 0.01);
    assert!(is_near, "{shares:?}, not {expected:?}");
}

fn weighted(weights: [u32; 3]) -> [Candidate; 3] {
    let of = |at: usize| Candidate { target_weight: weights[at], ..candidate(at, at) };
    [of(0), of(1), of(2)]
}

#[test]
fn weights_are_met() {
    let standings = Standings::default();
    for strategy in [Strategy::Priority, Strategy::Weighted, Strategy::LeastRecentlyFailing] {
        assert_near(shares(&weighted([1, 2, 7]), &standings, strategy), [0.1, 0.2, 0.7]);
        assert_near(shares(&weighted([1_000_000, 1, 1_000_000]), &standings, strategy), [0.5, 0.0, 0.5]);
    }
}

#[test]
fn weights_are_met_among_those_that_are_left() {
    let (candidates, standings) = (weighted([1, 2, 7]), Standings::default());
    let mut seconds = [0u32; 3];
    for chance in 0..SWEEP {
        let deal = Deal { chance, turn: 0 };
        let asked = order(&candidates, &standings, Strategy::Weighted, deal);
        if asked[0] == 2 {
            seconds[asked[1]] += 1;
        }
    }
    let all = f64::from(seconds.iter().sum::<u32>());
    assert_near(seconds.map(|count| f64::from(count) / all), [1.0 / 3.0, 2.0 / 3.0, 0.0]);
}

#[test]
fn a_target_has_no_more_weight_by_more_credentials() {
    let candidates = [candidate(0, 0), candidate(0, 1), candidate(1, 2)];
    let shares = shares(&candidates, &Standings::default(), Strategy::Weighted);
    assert_near(shares, [0.25, 0.25, 0.5]);
}

#[test]
fn credentials_go_by_priority_then_weight() {
    let mut candidates = [candidate(0, 0), candidate(0, 1), candidate(0, 2)];
    candidates[0].credential_priority = 1;
    candidates[1].credential_weight = 3;
    for strategy in STRATEGIES {
        assert_near(shares(&candidates, &Standings::default(), strategy), [0.0, 0.75, 0.25]);
    }
}

#[test]
fn priority_counts_only_where_it_is_the_strategy() {
    let mut candidates = weighted([1, 1, 2]);
    candidates[2].target_priority = 1;
    let standings = Standings::default();
    assert_near(shares(&candidates, &standings, Strategy::Priority), [0.5, 0.5, 0.0]);
    assert_near(shares(&candidates, &standings, Strategy::Weighted), [0.25, 0.25, 0.5]);
}

#[test]
fn one_after_another() {
    let (candidates, standings) = (weighted([1, 5, 9]), Standings::default());
    let firsts: Vec<usize> =
        (0..6).map(|turn| first(&candidates, &standings, Strategy::RoundRobin, turn)).collect();
    assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
    let deal = Deal { chance: 0, turn: u64::MAX };
    assert_eq!(order(&candidates, &standings, Strategy::RoundRobin, deal), [0, 1, 2]);
    let deal = Deal { chance: 0, turn: 1 };
    assert_eq!(order(&candidates, &standings, Strategy::RoundRobin, deal), [1, 2, 0]);
}

#[test]
fn whose_failure_is_longest_ago() {
    let (candidates, mut standings) = (weighted([9, 1, 1]), Standings::default());
    for (at, ago) in [(0, 1_000), (1, 3_000), (2, 2_000)] {
        standings.ended(candidates[at].key, NAMED, answered(500), Signs::default(), NOW - ago);
    }
    let deal = Deal { chance: 7, turn: 0 };
    assert_eq!(order(&candidates, &standings, Strategy::LeastRecentlyFailing, deal), [1, 2, 0]);
}

#[test]
fn the_well_then_the_low_then_who_is_soonest_well() {
    let mut candidates: Vec<Candidate> = (0..5).map(|at| candidate(at, at)).collect();
    for (at, candidate) in candidates.iter_mut().enumerate() {
        candidate.target_priority = u32::try_from(at).unwrap();
    }
    let mut standings = Standings::default();
    cool(&mut standings, &candidates[0], 9_000);
    let low = Signs { low_for_ms: Some(60_000), ..Signs::default() };
    standings.ended(candidates[1].key, NAMED, answered(200), low, NOW);
    cool(&mut standings, &candidates[2], 3_000);
    for _ in 0..5 {
        standings.ended(candidates[3].key, NAMED, Happened::Silent, Signs::default(), NOW);
    }
    let deal = Deal { chance: 0, turn: 0 };
    assert_eq!(order(&candidates, &standings, Strategy::Priority, deal), [4, 1, 2, 3, 0]);
}

fn any_candidates() -> impl proptest::strategy::Strategy<Value = Vec<Candidate>> {
    let one = (0usize..5, 0usize..4, 0u32..3, 0u32..4, 0u32..3, 0u32..4);
    prop::collection::vec(one, 0..12).prop_map(|all| {
        let of = |(target, credential, target_priority, target_weight, priority, weight)| Candidate {
            target_priority,
            target_weight,
            credential_priority: priority,
            credential_weight: weight,
            ..candidate(target, credential)
        };
        all.into_iter().map(of).collect()
    })
}

proptest! {
    #[test]
    fn is_a_permutation_in_which_no_unwell_comes_before_a_well_one(
        candidates in any_candidates(),
        happened in prop::collection::vec((0usize..12, 0u16..600, 0u64..20_000), 0..60),
        strategy in prop::sample::select(STRATEGIES.to_vec()),
        chance: u64,
        turn: u64,
    ) {
        let mut standings = Standings::default();
        for (at, status, ms) in happened {
            let Some(candidate) = candidates.get(at) else { continue };
            let signs = Signs { retry_after_ms: Some(ms), low_for_ms: Some(ms), spent_for_ms: None };
            standings.ended(candidate.key, NAMED, answered(status), signs, NOW);
        }
        let order = order(&candidates, &standings, strategy, Deal { chance, turn });
        let health: Vec<Health> =
            order.iter().map(|at| standings.look(candidates[*at].key, NOW).health).collect();
        prop_assert!(health.is_sorted());
        let mut sorted = order;
        sorted.sort_unstable();
        prop_assert!(sorted.into_iter().eq(0..candidates.len()));
    }
}
