//! Finding a token among a million, beside a `HashMap` of the same.

use super::report::Row;
use crate::process::root;
use latchkey_lookup::Tokens;
use serde::Deserialize;
use shared::snapshot::record::TokenRecord;
use std::collections::HashMap;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};
use uuid::Uuid;

const COUNT: usize = 1_000_000;
/// Timed together.
const STRETCH: usize = 10_000;
const ROUNDS: usize = 9;
/// Before those that count: V8 compiles what is hot once more.
const WARM_UP: usize = 4;
/// Times what a `HashMap` takes.
const LIMIT: f64 = 2.0;
const MAX_BYTES: f64 = 64.0;

/// What the program in Node prints.
#[derive(Deserialize)]
struct InWasm {
    nanoseconds: Vec<u64>,
    sum: u64,
    bytes: usize,
}

pub fn among_a_million() -> Vec<Row> {
    let tokens = Tokens::new(COUNT);
    let map = map();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut sum = 0;
    for _ in 0..ROUNDS {
        sum = 0;
        for start in (0..COUNT).step_by(STRETCH) {
            let places = start..start + STRETCH;
            // In turn, so that whatever else happens on the machine happens to both.
            let ids = &tokens.order()[places.clone()];
            theirs.push(timed(|| ids.iter().map(|id| u64::from(map[id].project())).sum()));
            ours.push(timed(|| {
                let found = tokens.look_up(places);
                sum += found;
                found
            }));
        }
    }
    let wasm = in_wasm();
    assert_eq!(wasm.sum, sum, "what is found in Wasm is what is found natively");
    let floor = undisturbed(theirs);
    vec![
        row("native", undisturbed(ours), floor),
        row("in Wasm", undisturbed(wasm.nanoseconds.into_iter().map(Duration::from_nanos).collect()), floor),
        bytes("natively", tokens.bytes()),
        bytes("in Wasm", wasm.bytes),
    ]
}

fn map() -> HashMap<Uuid, TokenRecord> {
    latchkey_lookup::records(COUNT).into_iter().map(|record| (record.id(), record)).collect()
}

fn timed(work: impl FnOnce() -> u64) -> Duration {
    let started = Instant::now();
    black_box(work());
    started.elapsed()
}

fn in_wasm() -> InWasm {
    let module = root().join("target/wasm32-unknown-unknown/edge/latchkey_lookup.wasm");
    assert!(module.exists(), "{} is not built; `make bench` builds it first", module.display());
    let output = Command::new(root().join("node_modules/.bin/node"))
        .arg(root().join("tests/bench/lookup.mjs"))
        .arg(module)
        .args([COUNT, STRETCH, ROUNDS, WARM_UP].map(|number| number.to_string()))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
fn row(place: &str, took: Duration, floor: Duration) -> Row {
    let each = |all: Duration| all.as_nanos() as f64 / STRETCH as f64;
    let ratio = each(took) / each(floor);
    Row {
        what: format!("look-up among {COUNT} tokens, {place}"),
        measured: format!("{:.0} ns", each(took)),
        beside: format!("a HashMap of the same, native: {:.0} ns", each(floor)),
        ratio: Some(ratio),
        to_reach: format!("at most {LIMIT}"),
        is_reached: ratio <= LIMIT,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for a table")]
fn bytes(place: &str, bytes: usize) -> Row {
    let each = bytes as f64 / COUNT as f64;
    let map = size_of::<(Uuid, TokenRecord)>() + 1;
    Row {
        what: format!("memory a token, shards and index {place}"),
        measured: format!("{each:.2} B"),
        beside: format!("a HashMap: {map} B and its free places"),
        ratio: None,
        to_reach: format!("at most {MAX_BYTES} B"),
        is_reached: each <= MAX_BYTES,
    }
}

/// One stretch in ten was faster: it met nothing else that the machine does.
fn undisturbed(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() / 10]
}
