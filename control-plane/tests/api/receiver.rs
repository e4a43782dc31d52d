//! What a webhook posts to: an HTTP server that answers as it is told.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;
use std::future::pending;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// 32 bytes, as a webhook's secret is written.
pub(crate) const WEBHOOK_KEY: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";

#[derive(Clone, Copy)]
pub(crate) enum Mood {
    Answers(StatusCode),
    Hangs,
}

pub(crate) struct Receiver {
    pub(crate) url: String,
    mood: Arc<Mutex<Mood>>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let mood = Arc::new(Mutex::new(Mood::Answers(StatusCode::OK)));
        let events = Arc::new(Mutex::new(Vec::new()));
        let (kept, told) = (Arc::clone(&events), Arc::clone(&mood));
        let router = Router::new().fallback(move |request: Request| async move {
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let events: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
            kept.lock().unwrap().extend(events);
            let mood = *told.lock().unwrap();
            match mood {
                Mood::Answers(status) => (status, "so it says").into_response(),
                Mood::Hangs => pending().await,
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, mood, events }
    }

    pub(crate) fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<Value> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}
