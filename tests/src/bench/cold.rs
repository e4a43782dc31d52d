//! The first request of a cold isolate, at many projects beside one.

use super::load::{self, Target};
use super::report::{Row, millis};
use super::rig::Rig;
use crate::crowd::Crowd;
use crate::edge::inside;
use std::time::{Duration, Instant};

const PROJECTS: u32 = 10_000;
const CREDENTIALS: u32 = 10;
const ROUNDS: usize = 21;
const MORE: Duration = Duration::from_millis(10);
/// Of an isolate, in MB.
const MAX_MEMORY: u64 = 64;
const MODEL: &str = "gpt-example+chunks=1,pace=0";

/// What one cold start took.
struct Start {
    took: Duration,
    cpu: Duration,
}

pub async fn first_request() -> Vec<Row> {
    let many = Rig::of_crowd(Crowd::new(PROJECTS.into(), PROJECTS, CREDENTIALS)).await;
    let one = Rig::of_crowd(Crowd::new(1, 1, CREDENTIALS)).await;
    let (mut of_many, mut of_one) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // In turn, so that a noisy moment meets both.
        of_one.push(start(&one).await);
        of_many.push(start(&many).await);
    }
    let what = format!("first request of a cold isolate, {PROJECTS} projects of {CREDENTIALS} credentials");
    let row = |what: String, of: fn(&Start) -> Duration| {
        let (many, one) = (median(&of_many, of), median(&of_one, of));
        Row {
            what,
            measured: millis(many),
            beside: format!("one project: {}", millis(one)),
            ratio: None,
            to_reach: format!("at most {} more", millis(MORE)),
            is_reached: many <= one + MORE,
        }
    };
    vec![
        row(format!("{what} (routes are to come)"), |start| start.took),
        row(format!("CPU of that {what}"), |start| start.cpu),
        memory(&many).await,
    ]
}

async fn start(rig: &Rig) -> Start {
    let isolate = rig.edge();
    let target = rig.chat(&isolate.url(""), MODEL, false);
    let client = load::client(1);
    // The connection is there, and the process at rest.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let (before, started) = (isolate.process().cpu_of_threads(), Instant::now());
    load::one(&client, &target, 0).await;
    let took = started.elapsed();
    Start { took, cpu: isolate.process().cpu_of_threads().saturating_sub(before) }
}

/// After the first request, and after one for each project.
async fn memory(rig: &Rig) -> Row {
    let isolate = rig.edge();
    let target: Target = rig.chat(&isolate.url(""), MODEL, false);
    let memory = async || inside(&isolate).await["memory_bytes"].as_u64().unwrap() / 1_000_000;
    load::one(&load::client(1), &target, 0).await;
    let first = memory().await;
    load::run(&target, target.tokens.len(), 16).await;
    let all = memory().await;
    Row {
        what: format!("memory of that isolate after a request to each of {PROJECTS} projects"),
        measured: format!("{all} MB"),
        beside: format!("after the first: {first} MB"),
        ratio: None,
        to_reach: format!("under {MAX_MEMORY} MB"),
        is_reached: all < MAX_MEMORY,
    }
}

fn median(starts: &[Start], of: fn(&Start) -> Duration) -> Duration {
    let mut took: Vec<Duration> = starts.iter().map(of).collect();
    took.sort();
    took[took.len() / 2]
}
