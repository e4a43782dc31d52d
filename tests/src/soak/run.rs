//! The table of the long tests, and how one is run.

use super::dice::Dice;
use super::events::storm::Storm;
use super::events::{self, Trouble, isolates};
use super::flood;
use super::kill::{self, Database, Plan};
use super::mutations;
use super::several::{self, Moment};
use super::steady;
use crate::bench::drain;
use crate::postgres::Postgres;
use crate::process::root;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::process::Command;
use tokio::task::LocalSet;

/// Panics when something does not hold; else what to tell of it.
type Outcome = Pin<Box<dyn Future<Output = String>>>;

#[derive(Clone, Copy, Debug)]
pub struct Test {
    pub name: &'static str,
    /// On two cores.
    pub takes: &'static str,
    pub what: &'static str,
    start: fn() -> Outcome,
}

pub const TESTS: &[Test] = &[
    Test {
        name: "kill-sqlite",
        takes: "5 min",
        what: "kill -9 of the control plane in a loop during 5,000 changes; SOAK_CHANGES changes the number",
        start: || Box::pin(killed(Database::Sqlite)),
    },
    Test {
        name: "kill-postgres",
        takes: "10 min",
        what: "the same of two control planes and of PostgreSQL",
        start: || Box::pin(killed(Database::Postgres)),
    },
    Test {
        name: "several",
        takes: "10 min",
        what: "the one that publishes is stopped or killed 60 times; SOAK_CYCLES changes the number",
        start: || Box::pin(stopped()),
    },
    Test {
        name: "steady-sqlite",
        takes: "10 min",
        what: "one change a second for five minutes at 10,000 projects; SOAK_SECONDS changes the time",
        start: || Box::pin(steady(Database::Sqlite)),
    },
    Test {
        name: "steady-postgres",
        takes: "10 min",
        what: "the same on PostgreSQL",
        start: || Box::pin(steady(Database::Postgres)),
    },
    Test {
        name: "flood-sqlite",
        takes: "15 min",
        what: "forged, unknown and valid tokens, 200,000 requests each, among ten million; SOAK_TOKENS and \
               SOAK_REQUESTS change the numbers",
        start: || Box::pin(flooded(Database::Sqlite)),
    },
    Test {
        name: "flood-postgres",
        takes: "15 min",
        what: "the same on PostgreSQL",
        start: || Box::pin(flooded(Database::Postgres)),
    },
    Test {
        name: "events-sqlite",
        takes: "10 min",
        what: "an event of each of 50,000 requests of all kinds, and their sums; SOAK_REQUESTS changes the number",
        start: || Box::pin(told(Database::Sqlite, |_| Trouble::None)),
    },
    Test {
        name: "events-postgres",
        takes: "10 min",
        what: "the same on PostgreSQL",
        start: || Box::pin(told(Database::Postgres, |_| Trouble::None)),
    },
    Test {
        name: "events-down-sqlite",
        takes: "10 min",
        what: "the same, and the control plane is down for five minutes; SOAK_SECONDS changes the time",
        start: || Box::pin(told(Database::Sqlite, down)),
    },
    Test {
        name: "events-down-postgres",
        takes: "10 min",
        what: "the same on PostgreSQL",
        start: || Box::pin(told(Database::Postgres, down)),
    },
    Test {
        name: "events-killed-sqlite",
        takes: "10 min",
        what: "the same, and the control plane is killed 40 times; SOAK_KILLS changes the number",
        start: || Box::pin(told(Database::Sqlite, Trouble::Killed)),
    },
    Test {
        name: "events-killed-postgres",
        takes: "10 min",
        what: "the same on PostgreSQL",
        start: || Box::pin(told(Database::Postgres, Trouble::Killed)),
    },
    Test {
        name: "events-storm-sqlite",
        takes: "15 min",
        what: "the same with two control planes, each killed 40 times and stopped for a minute, a queue that \
               delivers twice and late, and a way to the control planes that loses and delays; SOAK_KILLS \
               changes the number",
        start: || Box::pin(told(Database::Sqlite, storm)),
    },
    Test {
        name: "events-storm-redis",
        takes: "15 min",
        what: "the same on PostgreSQL with the log in Redis, which are killed too",
        start: || Box::pin(told(Database::Postgres, storm)),
    },
    Test {
        name: "backlog",
        takes: "10 min",
        what: "1,000,000 events that wait are counted while new ones come, log in SQLite and in Redis; \
               SOAK_EVENTS changes the number",
        start: || Box::pin(drained()),
    },
    Test {
        name: "mutations",
        takes: "10 min",
        what: "the storm, and the trace of what reaches the disk, go red when the control plane acknowledges \
               before it has appended, counts twice, or does not sync",
        start: || Box::pin(mutations::all_go_red()),
    },
    Test {
        name: "events-isolates",
        takes: "5 min",
        what: "40 isolates are killed under load, and what they had is missed; SOAK_KILLS changes the number",
        start: || Box::pin(missed()),
    },
    Test {
        name: "oracle",
        takes: "10 min",
        what: "random changes beside a naive model; ORACLE_CASES changes the number",
        start: || Box::pin(compared()),
    },
    Test {
        name: "fuzz",
        takes: "50 min",
        what: "every decoder on damaged input, ten minutes each; FUZZ_SECONDS changes that",
        start: || Box::pin(fuzzed()),
    },
];

const CHANGES: usize = 5_000;
const CLIENTS: usize = 12;
/// Of so many changes, one kill at least.
const CHANGES_A_KILL: usize = 40;
const CYCLES: usize = 60;
const SECONDS: usize = 300;
const PROJECTS: u32 = 10_000;
const CREDENTIALS: u32 = 10;
const TOKENS: usize = 10_000_000;
const REQUESTS: usize = 200_000;
/// How much slower requests may be at p99 while changes are made.
const SLOWER: Duration = Duration::from_millis(5);
/// Requests of which events are made.
const TOLD: usize = 50_000;
const AT_ONCE: usize = 16;
/// Events that nobody has counted yet.
const WAITING: usize = 1_000_000;
/// Of control planes, or of isolates.
const KILLS: usize = 40;
/// Of a control plane: longer than what it holds stays its own.
const PAUSE: Duration = Duration::from_mins(1);
/// Histories on each database.
const CASES: usize = 200;
/// Of each target.
const FUZZ_SECONDS: usize = 600;
const STILL_RUNNING: Duration = Duration::from_secs(30);

/// Tells how it goes on, and says whether it passed.
pub async fn run(test: &Test) -> bool {
    println!("{}: {}", test.name, test.what);
    let started = Instant::now();
    let here = LocalSet::new();
    // A task of its own: a panic ends it, and nothing else.
    let mut task = here.spawn_local((test.start)());
    let outcome = loop {
        match here.run_until(tokio::time::timeout(STILL_RUNNING, &mut task)).await {
            Ok(outcome) => break outcome,
            Err(_) => println!("{}: {:.0?} so far", test.name, started.elapsed()),
        }
    };
    let took = started.elapsed();
    match &outcome {
        Ok(told) => println!("{} passed in {took:.0?}: {told}\n", test.name),
        // Why is on standard error already.
        Err(_) => println!("{} FAILED after {took:.0?}\n", test.name),
    }
    outcome.is_ok()
}

async fn killed(database: Database) -> String {
    let changes = number("SOAK_CHANGES", CHANGES);
    let plan = Plan { database, changes, kills: changes / CHANGES_A_KILL, clients: CLIENTS, bases: 2 };
    kill::run(plan, Dice::of_environment()).await.to_string()
}

async fn stopped() -> String {
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
    let mut dice = Dice::of_environment();
    let moments: Vec<_> = (0..number("SOAK_CYCLES", CYCLES)).map(|_| Moment::by_chance(&mut dice)).collect();
    several::run(&server, moments, dice).await.to_string()
}

async fn steady(database: Database) -> String {
    let plan = steady::Plan {
        database,
        tokens: 100_000,
        projects: PROJECTS,
        credentials: CREDENTIALS,
        live: 2_000,
        warm_up: 30_000,
        rate: 100,
        changes: seconds(),
        slower: Some(SLOWER),
    };
    steady::run(plan, Dice::of_environment()).await.to_string()
}

async fn flooded(database: Database) -> String {
    let plan = flood::Plan {
        database,
        tokens: number("SOAK_TOKENS", TOKENS).try_into().unwrap(),
        projects: PROJECTS,
        credentials: CREDENTIALS,
        requests: number("SOAK_REQUESTS", REQUESTS),
        // Each is used ten times.
        live: number("SOAK_REQUESTS", REQUESTS) / 10,
    };
    flood::run(plan, Dice::of_environment()).await.to_string()
}

/// `trouble` is made of the number of kills.
async fn told(database: Database, trouble: fn(usize) -> Trouble) -> String {
    let trouble = trouble(number("SOAK_KILLS", KILLS));
    let requests = number("SOAK_REQUESTS", TOLD);
    let is_over_redis = database == Database::Postgres && matches!(trouble, Trouble::Storm(_));
    let plan = events::Plan { database, is_over_redis, requests, at_once: AT_ONCE, trouble, program: None };
    events::run(plan, Dice::of_environment()).await.to_string()
}

fn storm(kills: usize) -> Trouble {
    Trouble::Storm(Storm { kills, pause: PAUSE })
}

fn down(_: usize) -> Trouble {
    Trouble::Down(seconds())
}

async fn drained() -> String {
    let waiting = number("SOAK_EVENTS", WAITING);
    let (sqlite, redis) = (drain::drain(waiting, false).await, drain::drain(waiting, true).await);
    format!("{sqlite:?}; {redis:?}")
}

async fn missed() -> String {
    isolates::run(number("SOAK_KILLS", KILLS), Dice::of_environment()).await.to_string()
}

async fn compared() -> String {
    let cases = format!("ORACLE_CASES={}", number("ORACLE_CASES", CASES));
    let test = ["cargo", "test", "--locked", "-p", "latchkey-tests", "--test", "oracle", "--", "--nocapture"];
    command("env", &[&[&*cases], &test[..]].concat()).await
}

async fn fuzzed() -> String {
    command("scripts/fuzz.sh", &[&number("FUZZ_SECONDS", FUZZ_SECONDS).to_string()]).await
}

/// Runs a program in the checkout; what it prints is seen.
async fn command(program: &str, arguments: &[&str]) -> String {
    let status = Command::new(program).args(arguments).current_dir(root()).kill_on_drop(true).status().await;
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {}: {status}", arguments.join(" "));
    String::new()
}

fn seconds() -> Duration {
    Duration::from_secs(number("SOAK_SECONDS", SECONDS).try_into().unwrap())
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}
