//! CPU of workerd per request, beside the floor.

use super::load::{self, Target};
use super::report::Row;
use super::rig::Rig;
use crate::process::Process;
use std::time::Duration;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 5;

pub async fn plain(rig: &Rig) -> Vec<Row> {
    let [edge, silent, floor] = side_by_side(rig, "gpt-example+chunks=20,pace=0", false, 30_000).await;
    let floor_is = "JavaScript, same header work, no check";
    vec![
        Row::ratio("CPU per forwarded request, its event made", edge, floor_is, floor, 1.7),
        Row::ratio("CPU per forwarded request, events on", edge, "events off", silent, 1.15),
        Row::ratio("CPU per forwarded request, events off", silent, floor_is, floor, 1.5),
    ]
}

pub async fn streamed(rig: &Rig) -> Vec<Row> {
    let [edge, silent, floor] = side_by_side(rig, "gpt-example+chunks=200,pace=0", true, 3_000).await;
    let floor_is = "JavaScript, body untouched";
    vec![
        Row::ratio("CPU per 200-chunk streamed answer, observed", edge, floor_is, floor, 1.8),
        Row::ratio("CPU per 200-chunk streamed answer, events off", silent, floor_is, floor, 1.5),
    ]
}

/// The edge, the edge without events, and the floor: rounds in turn, so that a
/// noisy moment meets all; the median of each.
async fn side_by_side(rig: &Rig, model: &str, is_streamed: bool, requests: usize) -> [Duration; 3] {
    let servers = [rig.edge(), rig.edge_without_events(), rig.floor()];
    let mut costs = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (server, costs) in servers.iter().zip(&mut costs) {
            let target = rig.chat(&server.url("/openai"), model, is_streamed);
            costs.push(cpu_per_request(server.process(), &target, requests / ROUNDS).await);
        }
    }
    costs.map(median)
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
