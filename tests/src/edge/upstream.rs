//! The example upstream, and its log.

use super::call::client;
use super::until;
use example_upstream::Options;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Passes through the edge to the log, where it tells a test's requests from others'.
pub const TRACE: &str = "x-trace";

/// A value for [`TRACE`] that nobody else has.
pub fn trace() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("trace-{}-", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    url: String,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let options = Options { pace: Duration::ZERO, ..Options::default() };
        let task = tokio::spawn(async move { example_upstream::serve(listener, options).await.unwrap() });
        Self { url, task }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// All that is in the log, oldest first.
    pub async fn log(&self) -> Vec<Value> {
        let response = client().get(format!("{}/_control/requests", self.url)).send().await.unwrap();
        response.json::<Value>().await.unwrap()["data"].as_array().unwrap().clone()
    }

    /// Begins its log anew.
    pub async fn clear(&self) {
        client().delete(format!("{}/_control/requests", self.url)).send().await.unwrap();
    }

    /// The requests with this trace.
    pub async fn seen(&self, trace: &str) -> Vec<Value> {
        let log = self.log().await;
        log.into_iter().filter(|entry| entry["headers"][TRACE][0] == trace).collect()
    }

    /// The only request with this trace, once it has come.
    pub async fn only(&self, trace: &str) -> Value {
        until("the request reaches the upstream", async || !self.seen(trace).await.is_empty()).await;
        let seen = self.seen(trace).await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Waits until the only request with this trace ended so.
    pub async fn ended(&self, trace: &str, outcome: &str) {
        until(outcome, async || self.only(trace).await["outcome"] == outcome).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}
