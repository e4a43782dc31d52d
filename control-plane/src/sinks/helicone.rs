//! Helicone. What it takes, and what it answers: `tests/sinks/README.md`.

mod call;

use super::api::Api;
use super::{Delivered, Kind, Opening, Secrecy, Sink, SinkError};
use crate::domain::events::Listed;
use call::Call;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value;
use std::sync::Arc;

/// It takes one event a call.
pub const KIND: Kind =
    Kind { name: "helicone", secret: Secrecy::Needed, batch_size: 50, max_batch_size: 500, open };

const BASE: &str = "https://api.worker.helicone.ai";
const CALLS_AT_ONCE: usize = 8;

#[derive(Debug)]
struct Helicone(Api);

fn open(opening: Opening<'_>) -> Result<Arc<dyn Sink>, String> {
    Ok(Arc::new(Helicone(Api::open(opening, BASE)?)))
}

impl Sink for Helicone {
    fn deliver<'a>(&'a self, events: &'a [Listed]) -> Delivered<'a> {
        Box::pin(deliver(&self.0, events))
    }
}

/// While it takes nothing, nothing is known of those that it refused with it; so
/// what is unavailable ends the delivery, and what is refused is told at its end.
async fn deliver(api: &Api, events: &[Listed]) -> Result<(), SinkError> {
    let calls: Vec<Call> = events.iter().filter_map(Call::of).collect();
    let mut answers = stream::iter(calls).map(|call| post(api, call)).buffer_unordered(CALLS_AT_ONCE);
    let mut refused = Ok(());
    while let Some(answer) = answers.next().await {
        match answer {
            Err(SinkError::Refused(_)) => refused = refused.and(answer),
            _ => answer?,
        }
    }
    refused
}

/// It answers 200 also where it did not log it.
async fn post(api: &Api, Call { path, headers, body }: Call) -> Result<(), SinkError> {
    let answer = api.post(path, headers, &body).await?;
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match told.get("error") {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(SinkError::Refused(format!("it refused an event{}", answer.said()))),
    }
}
