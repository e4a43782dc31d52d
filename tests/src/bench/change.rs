//! How long a change takes to be enforced at a local edge that has traffic.

use super::report::{Row, millis};
use crate::stack::Stack;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

const ROUNDS: usize = 40;

/// From the answer of the management API to the first request that obeys it.
pub async fn enforced() -> Row {
    let stack = Stack::start().await;
    let project = format!("/manage/projects/{}", stack.project_id);
    let mut took = Vec::new();
    for round in 0..ROUNDS {
        let started = Instant::now();
        let (id, token) = stack.token().await;
        took.push(until(&stack, &token, 200, started).await);
        // At every phase of the edge's and the publisher's intervals.
        tokio::time::sleep(Duration::from_millis((round * 137 % 1_000) as u64)).await;
        let started = Instant::now();
        stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
        took.push(until(&stack, &token, 401, started).await);
        let (_, token) = stack.token().await;
        for (is_active, status) in [(false, 403), (true, 200)] {
            let started = Instant::now();
            stack.control_plane.patch(&project, json!({"is_active": is_active})).await;
            took.push(until(&stack, &token, status, started).await);
        }
    }
    took.sort();
    let p99 = took[took.len() * 99 / 100];
    Row {
        what: format!("change to enforced, p99 of {}", took.len()),
        measured: millis(p99),
        beside: format!("median {}, longest {}", millis(took[took.len() / 2]), millis(took[took.len() - 1])),
        ratio: None,
        to_reach: "under 2 s".into(),
        is_reached: p99 < Duration::from_secs(2),
    }
}

async fn until(stack: &Stack, token: &str, status: u16, started: Instant) -> Duration {
    while stack.ask(token).await.0 != status {
        assert!(started.elapsed() < Duration::from_secs(30), "{status} was not reached in 30 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    started.elapsed()
}
