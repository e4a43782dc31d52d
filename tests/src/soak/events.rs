//! Requests of all kinds through the whole system, whatever happens to its
//! parts: as many events as requests, each once, and their sums.

pub mod check;
pub mod client;
pub mod files;
pub mod isolates;
pub mod kinds;
pub mod rig;
pub mod storm;

use super::dice::Dice;
use super::kill::Database;
use crate::postgres::Postgres;
use crate::queue::{self, Traffic};
use crate::redis::{DURABLE, Redis};
use check::Stored;
use client::Client;
use rig::{Place, Rig, until};
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use storm::{Damage, Servers, Storm};

const A_ROUND: usize = 500;
/// Refusals of nobody are told of after 20 seconds at the latest, what the
/// control plane had in its hands when it was killed is given out again after
/// 30, and a message that came in vain for minutes is tried again after as long.
const PATIENCE: Duration = Duration::from_mins(2);

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    None,
    /// It is stopped for so long.
    Down(Duration),
    /// `kill -9`, so often, and each time until it left behind what it had taken
    /// in and not counted.
    Killed(usize),
    /// Of everything; there are two control planes.
    Storm(Storm),
}

/// It goes on until so many requests were sent, and the trouble is over.
#[derive(Clone, Debug)]
pub struct Plan {
    pub database: Database,
    /// The event log is in Redis.
    pub is_over_redis: bool,
    pub requests: usize,
    pub at_once: usize,
    pub trouble: Trouble,
    /// In place of the `latchkey` that was built beside the test.
    pub program: Option<PathBuf>,
}

/// What happened.
#[derive(Debug)]
pub struct Report {
    sent: usize,
    /// Of those, of nobody.
    anonymous: usize,
    stored: usize,
    counted: u64,
    duplicates: u64,
    harm: Harm,
    traffic: Traffic,
    took: Duration,
}

/// What the trouble did.
#[derive(Debug)]
enum Harm {
    /// So many batches were left behind by control planes that had taken them in.
    LeftBehind(usize),
    Storm(Damage),
}

/// Panics if anything that must hold does not.
pub async fn run(plan: Plan, mut dice: Dice) -> Report {
    let servers = servers(&plan).await;
    let rig = Arc::new(Rig::start(place(&plan, &servers), dice.child()).await);
    let mut client = Client::new(Arc::clone(&rig), dice.child());
    let started = Instant::now();
    let is_over = Arc::new(AtomicBool::default());
    let making = make(plan.trouble, Arc::clone(&rig), servers.clone(), Arc::clone(&is_over), dice.child());
    let trouble = tokio::spawn(making);
    while client.sent.len() < plan.requests || !trouble.is_finished() {
        let rest = plan.requests.saturating_sub(client.sent.len());
        is_over.store(rest == 0, Ordering::Relaxed);
        client.round(if rest == 0 { A_ROUND } else { rest.min(A_ROUND) }, plan.at_once).await;
    }
    let harm = trouble.await.unwrap();
    let took = started.elapsed();
    settle(&rig, client.sent.len() as u64).await;

    let mut stored = Stored::read(&rig).await;
    stored.matches(&client);
    stored.adds_up(&rig).await;
    stored.agrees_with_tokens(&rig).await;
    stored.is_settled();
    rig.sink_has_all().await;
    stored.are_in_files(&rig.sink_files);
    stored.assert_no_problems();
    let (traffic, duplicates) = (rig.queue.traffic(), stored.status["duplicates"].as_u64().unwrap());
    // What was cut off comes again too.
    let is_undisturbed = matches!(plan.trouble, Trouble::None);
    let expected = traffic.events_again as u64;
    assert!(duplicates == expected || (!is_undisturbed && duplicates > expected), "{duplicates} {traffic:?}");
    Report {
        sent: client.sent.len(),
        anonymous: client.sent.iter().filter(|sent| sent.kind.is_anonymous()).count(),
        stored: stored.events.len(),
        counted: stored.known().count() as u64 + stored.anonymous(),
        duplicates,
        harm,
        traffic,
        took,
    }
}

async fn servers(plan: &Plan) -> Servers {
    let (database, is_over_redis) = (plan.database, plan.is_over_redis);
    let starting = move || Servers {
        postgres: (database == Database::Postgres).then(|| Arc::new(Postgres::start())),
        redis: is_over_redis.then(|| Arc::new(Redis::start(&DURABLE))),
    };
    tokio::task::spawn_blocking(starting).await.unwrap()
}

fn place(plan: &Plan, servers: &Servers) -> Place {
    let usual = Place {
        database: servers.postgres.as_ref().map(|server| server.create_database()),
        redis: servers.redis.as_ref().map(|server| server.url()),
        program: plan.program.clone(),
        ..Place::default()
    };
    match plan.trouble {
        Trouble::None | Trouble::Down(_) | Trouble::Killed(_) => usual,
        Trouble::Storm(_) => Place { control_planes: 2, consumers: 2, manners: queue::BAD, ..usual },
    }
}

async fn make(
    trouble: Trouble,
    rig: Arc<Rig>,
    servers: Servers,
    is_over: Arc<AtomicBool>,
    mut dice: Dice,
) -> Harm {
    const BEFORE: Range<u64> = 300..1_500;
    let mut left_behind = 0;
    match trouble {
        Trouble::None => {}
        Trouble::Down(lasting) => {
            tokio::time::sleep(dice.millis(BEFORE)).await;
            rig.fleet.stop(0).await;
            tokio::time::sleep(lasting).await;
            rig.fleet.restart(0).await;
        }
        Trouble::Killed(times) => {
            let mut kills = 0;
            while kills < times || left_behind == 0 {
                tokio::time::sleep(dice.millis(BEFORE)).await;
                rig.fleet.kill(0);
                rig.fleet.restart(0).await;
                let waiting = &rig.get("/manage/events/status").await["waiting_batches"];
                left_behind += usize::try_from(waiting.as_u64().unwrap()).unwrap();
                kills += 1;
            }
        }
        Trouble::Storm(storm) => return Harm::Storm(storm.blow(rig, servers, is_over, dice).await),
    }
    Harm::LeftBehind(left_behind)
}

/// Waits until all is counted; what does not come is found later.
async fn settle(rig: &Rig, requests: u64) {
    let is_counted = async || {
        let usage = rig.get("/manage/usage").await;
        let counted = usage["data"][0]["requests"].as_u64().unwrap_or_default();
        rig.queue.is_empty() && counted >= requests
    };
    let started = Instant::now();
    while !is_counted().await && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let waits = async || rig.get("/manage/events/status").await["waiting_batches"] == 0;
    until("the counting", waits).await;
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, anonymous, stored, counted, duplicates, harm, traffic, took } = self;
        let Traffic { messages, batches, retries, events_again } = traffic;
        write!(
            f,
            "{sent} requests sent, {anonymous} of them of nobody; {stored} events stored that count {counted}, \
             {} lost; {duplicates} duplicates came and did not count, {events_again} of them delivered again by \
             the queue; {messages} messages in {batches} batches, {retries} retries; {harm}; {took:.0?}",
            *sent as u64 - counted,
        )
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftBehind(batches) => {
                write!(f, "{batches} batches left behind by control planes that were killed")
            }
            Self::Storm(damage) => damage.fmt(f),
        }
    }
}
