//! Resident memory that grows with requests.

use super::load::{self, Target};
use super::report::Row;
use super::rig::Rig;
use crate::workerd::Workerd;

/// Until then V8's heap fills: it collects late while nothing presses it to.
const FILLED: usize = 100_000;

/// Between two readings.
const STEP: usize = 5_000;

/// Readings of which the median is taken, once the heap is full and once more after that.
const READINGS: usize = 16;

/// Resident memory, in bytes.
struct Memory {
    full: u64,
    grown_per_request: f64,
}

pub async fn growth(rig: &Rig) -> Vec<Row> {
    let edge = memory(rig, &rig.edge()).await;
    let silent = memory(rig, &rig.edge_without_events()).await;
    let floor = memory(rig, &rig.floor()).await;
    vec![
        row("events on", &edge, "events off", &silent, 100.0),
        row("events off", &silent, "JavaScript", &floor, 50.0),
    ]
}

fn row(of: &str, measured: &Memory, beside: &str, floor: &Memory, limit: f64) -> Row {
    let show =
        |memory: &Memory| format!("{:.1} B, of {} MB", memory.grown_per_request, memory.full / 1_000_000);
    Row {
        what: format!("resident memory grown a request after {FILLED}, {of}"),
        measured: show(measured),
        beside: format!("{beside}: {}", show(floor)),
        ratio: None,
        to_reach: format!("at most {limit} B more"),
        // What a floor gives back between two readings is no merit of its own.
        is_reached: measured.grown_per_request - floor.grown_per_request.max(0.0) <= limit,
    }
}

async fn memory(rig: &Rig, server: &Workerd) -> Memory {
    let target = rig.chat(&server.url("/openai"), "gpt-example+chunks=1,pace=0", false);
    load::run(&target, FILLED, 16).await;
    let full = resident(&target, server).await;
    let later = resident(&target, server).await;
    Memory { full, grown_per_request: per_request(full, later) }
}

/// Varies with each collection by more than what is looked for, so the median of some readings.
async fn resident(target: &Target, server: &Workerd) -> u64 {
    let mut readings = [0; READINGS];
    for reading in &mut readings {
        load::run(target, STEP, 16).await;
        *reading = server.process().resident();
    }
    readings.sort_unstable();
    readings[READINGS / 2]
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
fn per_request(before: u64, after: u64) -> f64 {
    (after as f64 - before as f64) / (READINGS * STEP) as f64
}
