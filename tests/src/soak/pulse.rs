//! Requests at a steady rate, whatever becomes of those before: one that is
//! slow holds none of the others back.

use crate::soak::dice::Dice;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

/// Goes on until it is ended. Each request must succeed.
#[derive(Debug)]
pub struct Pulse {
    took: Arc<Mutex<Vec<Duration>>>,
    end: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Pulse {
    /// With `tokens` at random, `rate` a second.
    pub fn start(url: String, tokens: Vec<String>, rate: u32) -> Self {
        let took = Arc::default();
        let (end, is_over) = watch::channel(false);
        let task = tokio::spawn(beat(url, tokens, rate, Arc::clone(&took), is_over));
        Self { took, end, task }
    }

    /// How long each request took that ended since this was asked before.
    pub fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut self.took.lock().unwrap())
    }

    pub async fn end(self) -> Vec<Duration> {
        self.end.send_replace(true);
        self.task.await.unwrap();
        std::mem::take(&mut self.took.lock().unwrap())
    }
}

pub fn p99(took: &[Duration]) -> Duration {
    let mut sorted = took.to_vec();
    sorted.sort();
    sorted[sorted.len() * 99 / 100]
}

async fn beat(
    url: String,
    tokens: Vec<String>,
    rate: u32,
    took: Arc<Mutex<Vec<Duration>>>,
    is_over: watch::Receiver<bool>,
) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut dice = Dice::new(1);
    let mut ticks = interval(Duration::from_secs(1) / rate);
    let mut under_way = JoinSet::new();
    while !*is_over.borrow() {
        // From when it was due, so that what kept it from being sent counts too.
        let due = Instant::from(ticks.tick().await);
        let request = client.get(&url).bearer_auth(&tokens[dice.below(tokens.len())]);
        let took = Arc::clone(&took);
        under_way.spawn(async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
            response.bytes().await.unwrap();
            took.lock().unwrap().push(due.elapsed());
        });
        while let Some(ended) = under_way.try_join_next() {
            ended.unwrap();
        }
    }
    while let Some(ended) = under_way.join_next().await {
        ended.unwrap();
    }
}
