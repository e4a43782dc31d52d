//! CPU of workerd per request, of several workers in turn.

use super::load::{self, Target};
use super::report::median;
use crate::workerd::Workerd;
use std::time::Duration;

pub const CONNECTIONS: usize = 16;
const ROUNDS: usize = 15;

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Enough for a figure.
    Full,
    /// Enough to see that a benchmark runs.
    Quick,
}

impl Effort {
    /// That many, where there is to be a figure.
    pub fn of(self, number: usize) -> usize {
        match self {
            Self::Full => number,
            Self::Quick => 1,
        }
    }
}

/// Rounds in turn, so that a noisy moment meets all; the median of each. Of
/// `requests`, each round has its share.
pub async fn side_by_side<const N: usize>(
    sides: [(&Workerd, &Target); N],
    effort: Effort,
    requests: usize,
) -> [Duration; N] {
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..effort.of(ROUNDS) {
        for ((server, target), costs) in sides.iter().zip(&mut costs) {
            costs.push(cpu_per_request(server, target, effort.of(requests / ROUNDS)).await);
        }
    }
    costs.map(median)
}

async fn cpu_per_request(server: &Workerd, target: &Target, requests: usize) -> Duration {
    load::run(target, requests / 10, CONNECTIONS).await;
    let before = server.process().cpu();
    load::run(target, requests, CONNECTIONS).await;
    server.process().cpu().saturating_sub(before) / u32::try_from(requests).unwrap()
}
