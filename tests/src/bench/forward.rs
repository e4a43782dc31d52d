//! CPU of workerd per request, beside the floor.

use super::load::{self, Target};
use super::report::Row;
use super::rig::Rig;
use crate::process::Process;
use std::time::Duration;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

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
