//! CPU of workerd per request, beside the floor.

use super::cost::{self, CONNECTIONS, Effort};
use super::load;
use super::report::Row;
use super::rig::Rig;
use crate::crowd::Crowd;
use crate::soak::dice::Dice;
use crate::workerd::Workerd;
use shared::snapshot::config::StreamUsage;
use std::time::Duration;

const STREAM: &str = "gpt-example+chunks=200,pace=0";

const MANY: u64 = 10_000_000;
const LIVE: u64 = 10_000;
const FEW: u64 = 1_000;
/// In both.
const PROJECTS: u32 = 1_000;

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

async fn side_by_side<const N: usize>(
    rig: &Rig,
    servers: [Workerd; N],
    model: &str,
    is_streamed: bool,
    requests: usize,
) -> [Duration; N] {
    let targets = servers.each_ref().map(|server| rig.chat(&server.url("/openai"), model, is_streamed));
    let sides = std::array::from_fn(|at| (&servers[at], &targets[at]));
    cost::side_by_side(sides, Effort::Full, requests).await
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
    let [of_few, of_many] =
        cost::side_by_side([(&at_few, &to_few), (&at_many, &to_many)], Effort::Full, 60_000).await;
    let what = format!("CPU per forwarded request among {MANY} tokens, {LIVE} in use");
    let beside = format!("among {FEW} tokens, all in use; {PROJECTS} projects in both");
    Row::ratio(&what, of_many, &beside, of_few, 1.05)
}
