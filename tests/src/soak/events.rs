//! Requests of all kinds through the whole system, whatever happens to its
//! parts: as many events as requests, each once, and their sums.

pub mod check;
pub mod client;
pub mod isolates;
pub mod kinds;
pub mod rig;

use super::dice::Dice;
use super::kill::Database;
use crate::postgres::Postgres;
use crate::queue::Traffic;
use check::Stored;
use client::Client;
use rig::{Rig, until};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

const A_ROUND: usize = 500;
/// Refusals of nobody are told of after 20 seconds at the latest, and what the
/// control plane had in its hands when it was killed after 30.
const PATIENCE: Duration = Duration::from_mins(1);

/// What happens to the control plane meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    None,
    /// It is stopped for so long.
    Down(Duration),
    /// `kill -9`, so often, and each time until it left behind what it had taken
    /// in and not counted.
    Killed(usize),
}

/// It goes on until so many requests were sent, and the trouble is over.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub database: Database,
    pub requests: usize,
    pub at_once: usize,
    pub trouble: Trouble,
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
    left_behind: usize,
    traffic: Traffic,
    took: Duration,
}

/// Panics if anything that must hold does not.
pub async fn run(plan: Plan, mut dice: Dice) -> Report {
    let server = match plan.database {
        Database::Sqlite => None,
        Database::Postgres => Some(tokio::task::spawn_blocking(Postgres::start).await.unwrap()),
    };
    let url = server.as_ref().map(Postgres::create_database);
    let rig = Arc::new(Rig::start(url.as_deref(), dice.child()).await);
    let mut client = Client::new(Arc::clone(&rig), dice.child());
    let started = Instant::now();
    let trouble = tokio::spawn(make(plan.trouble, Arc::clone(&rig), dice.child()));
    while client.sent.len() < plan.requests || !trouble.is_finished() {
        let rest = plan.requests.saturating_sub(client.sent.len());
        client.round(if rest == 0 { A_ROUND } else { rest.min(A_ROUND) }, plan.at_once).await;
    }
    let left_behind = trouble.await.unwrap();
    let took = started.elapsed();
    settle(&rig, client.sent.len() as u64).await;

    let mut stored = Stored::read(&rig).await;
    stored.matches(&client);
    stored.adds_up(&rig).await;
    stored.agrees_with_tokens(&rig).await;
    stored.is_settled();
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
        left_behind,
        traffic,
        took,
    }
}

/// Returns how many batches control planes left behind that they had taken in.
async fn make(trouble: Trouble, rig: Arc<Rig>, mut dice: Dice) -> usize {
    const BEFORE: Range<u64> = 300..1_500;
    let mut left_behind = 0;
    match trouble {
        Trouble::None => {}
        Trouble::Down(lasting) => {
            tokio::time::sleep(dice.millis(BEFORE)).await;
            rig.stop_control_plane().await;
            tokio::time::sleep(lasting).await;
            rig.start_control_plane().await;
        }
        Trouble::Killed(times) => {
            let mut kills = 0;
            while kills < times || left_behind == 0 {
                tokio::time::sleep(dice.millis(BEFORE)).await;
                rig.kill_control_plane();
                rig.start_control_plane().await;
                let waiting = &rig.get("/manage/events/status").await["waiting_batches"];
                left_behind += usize::try_from(waiting.as_u64().unwrap()).unwrap();
                kills += 1;
            }
        }
    }
    left_behind
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
        let Self { sent, anonymous, stored, counted, duplicates, left_behind, traffic, took } = self;
        let Traffic { messages, batches, retries, events_again } = traffic;
        write!(
            f,
            "{sent} requests sent, {anonymous} of them of nobody; {stored} events stored that count {counted}, \
             {} lost; {duplicates} duplicates came and did not count, {events_again} of them delivered again by \
             the queue; {messages} messages in {batches} batches, {retries} retries; {left_behind} batches left \
             behind by control planes that were killed; {took:.0?}",
            *sent as u64 - counted,
        )
    }
}
