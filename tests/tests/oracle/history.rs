//! Histories one after the other, each from its seed; one that fails is made as
//! short as can be in a moment, and said how to have again.

use crate::database::Kind;
use crate::expect::Strictness;
use crate::model::Verdict;
use crate::step::{self, Step};
use crate::tally::Tally;
use crate::world::World;
use futures_util::FutureExt;
use latchkey_tests::soak::dice::Dice;
use std::fmt::Write;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use std::{env, iter};

const STEPS: usize = 120;
/// The seed of the history in which everything happens, in an order that is no chance.
const EACH: u64 = 0;
/// For making a history shorter.
const PATIENCE: Duration = Duration::from_secs(30);
/// `sqlite:<seed>`, or `sqlite:<seed>:<step>,<step>...`: only this history.
const REPLAY: &str = "ORACLE_REPLAY";

/// Of a hundred requests, so many at least and at most are of each kind: a test
/// that excuses everything would find nothing.
const SHARES: [(Strictness, std::ops::Range<f64>); 6] = [
    (Strictness::MustAccept, 12.0..100.0),
    (Strictness::MustRefuse, 20.0..100.0),
    (Strictness::MustAcceptFresh, 1.0..100.0),
    (Strictness::MustNotKnow, 0.02..100.0),
    (Strictness::Either, 1.0..20.0),
    (Strictness::Excused, 0.5..15.0),
];

struct History {
    kind: Kind,
    seed: u64,
    steps: Vec<(usize, Step)>,
}

/// Why a history failed, and in which of its steps.
struct Failure {
    problem: String,
    taken: usize,
}

pub(crate) async fn run_all(kind: Kind) {
    if let Ok(replay) = env::var(REPLAY) {
        if let Some(history) = History::again(kind, &replay) {
            let tally = history.run().await.unwrap_or_else(|failure| history.report(&failure));
            println!("{tally}");
        }
        return;
    }
    let cases =
        env::var("ORACLE_CASES").map_or(kind.cases(), |text| text.parse().expect("ORACLE_CASES is a number"));
    let mut seeds = Dice::of_environment();
    let (started, mut tally) = (Instant::now(), Tally::default());
    for seed in iter::once(EACH).chain((0..cases).map(|_| seeds.roll())) {
        let history = History::new(kind, seed);
        match history.run().await {
            Ok(of_one) => tally.add(of_one),
            Err(failure) => history.shorten(failure).await,
        }
    }
    println!("{}: {} histories in {:.1?}: {tally}", kind.name(), 1 + cases, started.elapsed());
    if cases >= kind.cases() {
        check_shares(&tally);
    }
}

fn check_shares(tally: &Tally) {
    for (strictness, within) in SHARES {
        #[expect(clippy::cast_precision_loss, reason = "numbers of requests")]
        let share = 100.0 * tally.of(strictness) as f64 / tally.total() as f64;
        assert!(within.contains(&share), "{share:.2} % of the requests were {strictness:?}, not {within:?}");
    }
    let missing = Verdict::ALL.into_iter().filter(|verdict| !tally.has_given(*verdict));
    assert_eq!(missing.collect::<Vec<_>>(), [], "were never given");
    let missing = step::kinds().into_iter().filter(|kind| !tally.has_done(kind));
    assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "were never done");
}

impl History {
    fn new(kind: Kind, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let steps = if seed == EACH { step::each(&mut dice) } else { step::steps(&mut dice, STEPS) };
        let steps = steps.into_iter().enumerate().collect();
        Self { kind, seed, steps }
    }

    /// None if it is of another database.
    fn again(kind: Kind, text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (name, seed) = (parts.next().unwrap(), parts.next().expect("<database>:<seed>"));
        let mut history = Self::new(kind, seed.parse().expect("a seed"));
        if let Some(list) = parts.next() {
            let list: Vec<usize> = list.split(',').map(|step| step.parse().expect("a step")).collect();
            history.steps.retain(|(number, _)| list.contains(number));
        }
        (name == kind.name()).then_some(history)
    }

    async fn run(&self) -> Result<Tally, Failure> {
        let (mut taken, mut tally) = (0, Tally::default());
        let playing = AssertUnwindSafe(self.play(&mut taken, &mut tally)).catch_unwind().await;
        let outcome = playing.unwrap_or_else(|_| Err("a panic, which is told above".to_owned()));
        outcome.map(|()| tally).map_err(|problem| Failure { problem, taken })
    }

    async fn play(&self, taken: &mut usize, tally: &mut Tally) -> Result<(), String> {
        let mut world = World::new(self.kind, &mut Dice::new(!self.seed)).await;
        world.begin().await?;
        for (_, step) in &self.steps {
            *taken += 1;
            world.take(*step, tally).await?;
        }
        *taken += 1;
        world.end(tally).await
    }

    /// Leaves out what the failure does not need, as far as that is found out
    /// in a moment, and reports the rest.
    async fn shorten(mut self, mut failure: Failure) {
        let started = Instant::now();
        self.steps.truncate(failure.taken);
        let mut length = self.steps.len() / 2;
        while length > 0 && started.elapsed() < PATIENCE {
            let mut at = 0;
            while at < self.steps.len() && started.elapsed() < PATIENCE {
                let end = self.steps.len().min(at + length);
                let steps = [&self.steps[..at], &self.steps[end..]].concat();
                let shorter = Self { steps, ..self };
                match shorter.run().await {
                    Ok(_) => at = end,
                    Err(other) => {
                        self.steps = shorter.steps;
                        self.steps.truncate(other.taken);
                        failure = other;
                    }
                }
            }
            length /= 2;
        }
        self.report(&failure);
    }

    fn report(&self, failure: &Failure) -> ! {
        let mut told = String::new();
        for (number, step) in &self.steps {
            let _ = writeln!(told, "{number:>5} {:?}", step.action);
        }
        let numbers: Vec<String> = self.steps.iter().map(|(number, _)| number.to_string()).collect();
        panic!(
            "{}\n\nafter these steps:\n{told}\nAgain: {REPLAY}={}:{}:{} cargo test -p latchkey-tests --test oracle",
            failure.problem,
            self.kind.name(),
            self.seed,
            numbers.join(",")
        );
    }
}
