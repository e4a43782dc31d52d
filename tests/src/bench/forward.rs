//! CPU of workerd per request, beside the floor.

use super::load::{self, Target};
use super::report::{Row, median};
use super::rig::Rig;
use crate::crowd::Crowd;
use crate::process::Process;
use crate::soak::dice::Dice;
use crate::workerd::Workerd;
use shared::snapshot::config::StreamUsage;
use std::time::Duration;

const CONNECTIONS: usize = 16;
const ROUNDS: usize = 15;

const STREAM: &str = "gpt-example+chunks=200,pace=0";

const MANY: u64 = 10_000_000;
const LIVE: u64 = 10_000;
const FEW: u64 = 1_000;
/// In both.
const PROJECTS: u32 = 1_000;
/// A difference of a few percent needs more rounds than one of a half.
const MANY_ROUNDS: usize = 15;

pub async fn plain(rig: &Rig) -> Vec<Row> {
    let model = "gpt-example+chunks=20,pace=0";
    let servers = [rig.edge(), rig.edge_without_events(), rig.floor()];
    let [edge, silent, floor] = side_by_side(rig, servers, model, false, 45_000).await;
    let floor_is = "JavaScript, same header work, no check";
    vec![
        Row::ratio("CPU per forwarded request, its event made", edge, floor_is, floor, 1.7),
        Row::ratio("CPU per forwarded request, events on", edge, "events off", silent, 1.15),
        Row::ratio("CPU per forwarded request, events off", silent, floor_is, floor, 1.5),
    ]
}

pub async fn streamed(rig: &Rig) -> Vec<Row> {
    let servers = [rig.edge(), rig.edge_without_events(), rig.floor()];
    let [edge, silent, floor] = side_by_side(rig, servers, STREAM, true, 3_000).await;
    let floor_is = "JavaScript, body untouched";
    vec![
        Row::ratio("CPU per 200-chunk streamed answer, observed", edge, floor_is, floor, 1.8),
        Row::ratio("CPU per 200-chunk streamed answer, events off", silent, floor_is, floor, 1.5),
    ]
}

/// Where the usage that the edge asked for is taken out again, every chunk goes through Rust.
pub async fn stripped() -> Row {
    let rig = Rig::with(StreamUsage::AskAndStrip).await;
    let servers = [rig.edge(), rig.relay()];
    let [edge, relay] = side_by_side(&rig, servers, STREAM, true, 3_000).await;
    let beside = "`Response::from_stream`, nothing checked or observed";
    Row::ratio("CPU per 200-chunk streamed answer, usage asked for and taken out", edge, beside, relay, 1.1)
}

/// Rounds in turn, so that a noisy moment meets all; the median of each.
async fn side_by_side<const N: usize>(
    rig: &Rig,
    servers: [Workerd; N],
    model: &str,
    is_streamed: bool,
    requests: usize,
) -> [Duration; N] {
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (server, costs) in servers.iter().zip(&mut costs) {
            let target = rig.chat(&server.url("/openai"), model, is_streamed);
            costs.push(cpu_per_request(server.process(), &target, requests / ROUNDS).await);
        }
    }
    costs.map(median)
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
