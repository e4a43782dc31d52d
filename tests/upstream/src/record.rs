//! What reached the upstream, kept for tests to read: the last 1,000 requests, each followed to
//! its end.

mod layer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderValue, StatusCode, request};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::answer::hex;
use crate::reply::Told;

pub(crate) use layer::layer;

const KEPT: usize = 1_000;

/// Where the three providers' SDKs put the credential.
const CREDENTIAL_HEADERS: [&str; 4] = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];

#[derive(Clone, Default)]
pub(crate) struct RequestLog(Arc<Mutex<Ring>>);

#[derive(Default)]
struct Ring {
    /// Never starts anew, so that a number names one request for the life of the process.
    last_seq: u64,
    /// Requests since the log was last cleared, also those that the ring no longer has.
    count: u64,
    records: VecDeque<Arc<Mutex<Record>>>,
}

struct Record {
    seq: u64,
    method: String,
    path: String,
    headers: BTreeMap<String, Vec<String>>,
    credential: Option<String>,
    model: Option<String>,
    body_bytes: usize,
    body_hash: Sha256,
    status: Option<u16>,
    outcome: Outcome,
    chunks_sent: u64,
    served: Served,
}

/// What an answer told of its usage so far. It travels in the response's extensions.
#[derive(Clone, Default)]
pub(crate) struct Served(Arc<Mutex<Told>>);

impl Served {
    pub(crate) fn add(&self, told: Told) {
        let mut served = lock(&self.0);
        served.input = told.input.or(served.input);
        served.output = told.output.or(served.output);
    }
}

/// Which model a request turned out to ask for. It travels in the request's extensions.
#[derive(Clone)]
pub(crate) struct Asking(Arc<Mutex<Record>>);

impl Asking {
    pub(crate) fn for_model(&self, full: &str) {
        lock(&self.0).model = Some(full.to_owned());
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    InProgress,
    /// The upstream did all it meant to do, which includes a cut it was asked for.
    Complete,
    ClientGone,
}

/// A record as `GET /_control/requests` shows it.
#[derive(Serialize)]
pub(crate) struct Shown {
    seq: u64,
    method: String,
    path: String,
    headers: BTreeMap<String, Vec<String>>,
    credential: Option<String>,
    model: Option<String>,
    body_bytes: usize,
    body_sha256: String,
    status: Option<u16>,
    outcome: Outcome,
    chunks_sent: u64,
    input_tokens: Option<usize>,
    output_tokens: Option<usize>,
}

impl RequestLog {
    /// Oldest first.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        // Copied out first: a record's lock is never taken under the ring's.
        let records: Vec<_> = lock(&self.0).records.iter().cloned().collect();
        records.iter().map(|record| Shown::from(&*lock(record))).collect()
    }

    pub(crate) fn count(&self) -> u64 {
        lock(&self.0).count
    }

    pub(crate) fn clear(&self) {
        let mut ring = lock(&self.0);
        ring.count = 0;
        ring.records.clear();
    }

    fn begin(&self, request: &request::Parts) -> Entry {
        let mut ring = lock(&self.0);
        ring.last_seq += 1;
        ring.count += 1;
        let seq = ring.last_seq;
        let record = Arc::new(Mutex::new(Record::new(seq, request)));
        if ring.records.len() == KEPT {
            ring.records.pop_front();
        }
        ring.records.push_back(Arc::clone(&record));
        Entry { seq, record }
    }
}

/// The open record of one exchange. Dropped before `complete`, it means that the server gave the
/// exchange up, which it does as soon as the client's side of the connection closes.
struct Entry {
    seq: u64,
    record: Arc<Mutex<Record>>,
}

impl Entry {
    fn answered(&self, status: StatusCode, served: Option<&Served>) {
        let mut record = lock(&self.record);
        record.status = Some(status.as_u16());
        record.served = served.cloned().unwrap_or_default();
    }

    fn chunk_sent(&self) {
        lock(&self.record).chunks_sent += 1;
    }

    fn complete(&self) {
        lock(&self.record).outcome = Outcome::Complete;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut record = lock(&self.record);
        if record.outcome == Outcome::InProgress {
            record.outcome = Outcome::ClientGone;
        }
    }
}

impl Record {
    fn new(seq: u64, request: &request::Parts) -> Self {
        let path = request.uri.path_and_query();
        let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in &request.headers {
            headers.entry(name.to_string()).or_default().push(text(value));
        }
        Self {
            seq,
            method: request.method.to_string(),
            path: path.map_or_else(|| request.uri.to_string(), ToString::to_string),
            headers,
            credential: credential(&request.headers),
            model: None,
            body_bytes: 0,
            body_hash: Sha256::new(),
            status: None,
            outcome: Outcome::InProgress,
            chunks_sent: 0,
            served: Served::default(),
        }
    }

    fn body_chunk(&mut self, chunk: &[u8]) {
        self.body_bytes += chunk.len();
        self.body_hash.update(chunk);
    }
}

impl From<&Record> for Shown {
    fn from(record: &Record) -> Self {
        let served = *lock(&record.served.0);
        Self {
            seq: record.seq,
            method: record.method.clone(),
            path: record.path.clone(),
            headers: record.headers.clone(),
            credential: record.credential.clone(),
            model: record.model.clone(),
            body_bytes: record.body_bytes,
            body_sha256: hex(&record.body_hash.clone().finalize()),
            status: record.status,
            outcome: record.outcome,
            chunks_sent: record.chunks_sent,
            input_tokens: served.input,
            output_tokens: served.output,
        }
    }
}

pub(crate) fn credential(headers: &HeaderMap) -> Option<String> {
    let value = text(CREDENTIAL_HEADERS.iter().find_map(|name| headers.get(*name))?);
    Some(value.strip_prefix("Bearer ").unwrap_or(&value).to_owned())
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// A panic elsewhere leaves a record readable: no update is in two steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
