//! CPU of workerd per request, beside the floor.

use super::load::{self, Target};
use super::report::Row;
use super::rig::Rig;
use crate::crowd::Crowd;
use crate::process::Process;
use crate::soak::dice::Dice;
use std::time::Duration;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

const MANY: u64 = 10_000_000;
const LIVE: u64 = 10_000;
const FEW: u64 = 1_000;
/// In both.
const PROJECTS: u32 = 1_000;
/// A difference of a few percent needs more rounds than one of a half.
const MANY_ROUNDS: usize = 15;

pub async fn plain(rig: &Rig) -> Row {
    let (edge, floor) = beside_floor(rig, "gpt-example+chunks=20,pace=0", false, 30_000).await;
    Row::ratio("CPU per forwarded request", edge, "JavaScript, same header work, no check", floor, 1.5)
}

pub async fn streamed(rig: &Rig) -> Row {
    let (edge, floor) = beside_floor(rig, "gpt-example+chunks=200,pace=0", true, 3_000).await;
    Row::ratio("CPU per 200-chunk streamed answer", edge, "JavaScript, body untouched", floor, 1.5)
}

/// Rounds of floor and edge in turn, so that a noisy moment meets both; the median of each.
async fn beside_floor(rig: &Rig, model: &str, is_streamed: bool, requests: usize) -> (Duration, Duration) {
    let (edge, floor) = (rig.edge(), rig.floor());
    let at_edge = rig.chat(&edge.url("/openai"), model, is_streamed);
    let at_floor = rig.chat(&floor.url("/openai"), model, is_streamed);
    let (mut of_edge, mut of_floor) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_floor.push(cpu_per_request(floor.process(), &at_floor, requests / ROUNDS).await);
        of_edge.push(cpu_per_request(edge.process(), &at_edge, requests / ROUNDS).await);
    }
    (median(of_edge), median(of_floor))
}

/// The same work at ten million tokens and at a thousand.
pub async fn among_many() -> Row {
    let crowd = Crowd::new(MANY, PROJECTS, 1);
    let mut dice = Dice::new(1);
    let live: Vec<u64> = (0..LIVE).map(|_| dice.roll() % MANY).collect();
    let many = Rig::of_some(&crowd, &live).await;
    let few = Rig::of_crowd(Crowd::new(FEW, PROJECTS, 1)).await;
    let (at_many, at_few) = (many.edge(), few.edge());
    let model = "gpt-example+chunks=20,pace=0";
    let to_many = many.chat(&at_many.url(""), model, false);
    let to_few = few.chat(&at_few.url(""), model, false);
    // Every token that is used has been used before.
    load::run(&to_many, to_many.tokens.len(), CONNECTIONS).await;
    load::run(&to_few, to_many.tokens.len(), CONNECTIONS).await;
    let (mut of_many, mut of_few) = (Vec::new(), Vec::new());
    for _ in 0..MANY_ROUNDS {
        of_few.push(cpu_per_request(at_few.process(), &to_few, 4_000).await);
        of_many.push(cpu_per_request(at_many.process(), &to_many, 4_000).await);
    }
    let what = format!("CPU per forwarded request among {MANY} tokens, {LIVE} in use");
    let beside = format!("among {FEW} tokens, all in use; {PROJECTS} projects in both");
    Row::ratio(&what, median(of_many), &beside, median(of_few), 1.05)
}

async fn cpu_per_request(server: &Process, target: &Target, requests: usize) -> Duration {
    load::run(target, requests / 10, CONNECTIONS).await;
    let before = server.cpu();
    load::run(target, requests, CONNECTIONS).await;
    server.cpu().saturating_sub(before) / u32::try_from(requests).unwrap()
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}
