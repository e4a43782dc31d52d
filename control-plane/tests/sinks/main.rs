//! Sinks before a server on this machine that answers as the service would.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod file;
mod golden;
mod webhook;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::Response;
use control_plane::domain::events::Listed;
use control_plane::events::cost::Prices;
use control_plane::events::listed;
use control_plane::secret::Secret;
use control_plane::sinks::kind::Surroundings;
use control_plane::sinks::{Kind, Opening, Sink};
use serde_json::{Value, json};
use shared::event::Event;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// As Lunary's and Helicone's may be.
const KEY: &str = "sk-0000-key";

/// Headers of the transport.
const NOT_THE_SINKS: [&str; 4] = ["host", "content-length", "accept", "user-agent"];

/// What it was asked, without what is the transport's.
#[derive(Debug)]
struct Service {
    base: String,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl Service {
    /// Answers what `answer` makes of a call; if that is nothing, never.
    async fn start(answer: impl Fn(&Value) -> Option<Response> + Clone + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept = calls.clone();
        let router = Router::new().fallback(move |request: Request| async move {
            let call = read(request).await;
            kept.lock().unwrap().push(call.clone());
            match answer(&call) {
                Some(response) => response,
                None => pending().await,
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, calls }
    }

    fn sink(&self, kind: Kind) -> Arc<dyn Sink> {
        open(kind, &json!({ "base_url": self.base }), KEY).unwrap()
    }

    /// Since the last time.
    fn take_calls(&self) -> Vec<Value> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

async fn read(request: Request) -> Value {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&to_bytes(body, usize::MAX).await.unwrap()).unwrap();
    let headers: BTreeMap<&str, String> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap().replace(KEY, "<key>")))
        .filter(|(name, _)| !NOT_THE_SINKS.contains(name))
        .collect();
    json!({ "method": parts.method.as_str(), "path": parts.uri.path(), "headers": headers, "body": body })
}

fn open(kind: Kind, settings: &Value, key: &str) -> Result<Arc<dyn Sink>, String> {
    let surroundings = Surroundings { allow_private: true, ..Surroundings::default() };
    let secret = Secret::from(key.to_owned());
    (kind.open)(Opening { settings, secret: Some(&secret), surroundings: &surroundings })
}

/// Of the event as the edge tells it.
fn listed_of(event: &Value) -> Listed {
    listed(Event::parse(event.to_string().as_bytes()).unwrap(), &Prices::default()).unwrap()
}
