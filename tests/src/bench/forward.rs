//! What a request and a stream cost, beside the floor.

use super::load::{self, Target};
use super::rig::Rig;
use crate::workerd::Workerd;
use std::time::Duration;

const CONNECTIONS: usize = 16;

/// CPU of workerd per request, over `requests`, after a warm-up.
pub async fn cpu_per_request(server: &Workerd, target: &Target, requests: usize) -> Duration {
    load::run(target, requests / 10, CONNECTIONS).await;
    let before = server.process().cpu();
    load::run(target, requests, CONNECTIONS).await;
    (server.process().cpu() - before) / u32::try_from(requests).unwrap()
}

/// Rounds of floor and edge in turn, so that a noisy moment meets both; the
/// median of each.
pub async fn beside_floor(
    rig: &Rig,
    model: &str,
    is_streamed: bool,
    requests: usize,
) -> (Duration, Duration) {
    let (edge, floor) = (rig.edge(), rig.floor());
    let at_edge = rig.chat(&edge.url("/openai"), model, is_streamed);
    let at_floor = rig.chat(&floor.url("/openai"), model, is_streamed);
    let (mut of_edge, mut of_floor) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        of_floor.push(cpu_per_request(&floor, &at_floor, requests / 5).await);
        of_edge.push(cpu_per_request(&edge, &at_edge, requests / 5).await);
    }
    (median(of_edge), median(of_floor))
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort();
    values[values.len() / 2]
}
