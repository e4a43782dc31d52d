//! Lunary. What it takes, and what it answers: `tests/sinks/README.md`.

mod runs;

use super::api::Api;
use super::http::Answer;
use super::{Delivered, Kind, Opening, Secrecy, Sink, SinkError};
use crate::domain::events::Listed;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

pub(super) use runs::{failure, known, model};

/// It takes what is in a call one by one, with several queries each.
pub const KIND: Kind =
    Kind { name: "lunary", secret: Secrecy::Needed, batch_size: 20, max_batch_size: 100, open };

const BASE: &str = "https://api.lunary.ai";
const PATH: &str = "/v1/runs/ingest";

/// What it says of a run's start that it has had before.
const DUPLICATE: &str = "Run with this ID already exists in the database.";
const MAX_SHOWN: usize = 200;

#[derive(Debug)]
struct Lunary(Api);

/// One for each event of the call, in no order that is of use.
#[derive(Deserialize)]
struct Results {
    results: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    success: bool,
    error: Option<String>,
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Sink>, String> {
    Ok(Arc::new(Lunary(Api::open(opening, BASE)?)))
}

impl Sink for Lunary {
    fn deliver<'a>(&'a self, events: &'a [Listed]) -> Delivered<'a> {
        Box::pin(deliver(&self.0, events))
    }
}

async fn deliver(api: &Api, events: &[Listed]) -> Result<(), SinkError> {
    let runs = runs::of(events);
    if runs.is_empty() {
        return Ok(());
    }
    let answer = api.post(PATH, HeaderMap::new(), &json!({ "events": runs })).await?;
    judge(&answer, runs.len())
}

/// It answers 200 whatever came of the events.
fn judge(answer: &Answer, sent: usize) -> Result<(), SinkError> {
    let Ok(Results { results }) = serde_json::from_slice(&answer.body) else {
        return Err(SinkError::unavailable(format!("it answered no results{}", answer.said())));
    };
    match results.iter().find(|told| !told.is_done()) {
        Some(told) => Err(SinkError::Refused(format!("it refused an event{}", told.said()))),
        None if results.len() < sent => {
            Err(SinkError::unavailable(format!("it answered for {} of {sent} events", results.len())))
        }
        None => Ok(()),
    }
}

impl Told {
    fn is_done(&self) -> bool {
        self.success || self.error.as_deref() == Some(DUPLICATE)
    }

    fn said(&self) -> String {
        let text = self.error.iter().flat_map(|text| text.chars());
        let text: String = text.filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
        if text.is_empty() { text } else { format!(": {text}") }
    }
}
