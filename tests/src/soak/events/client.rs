//! Who sends the requests, and remembers what came of each.

use super::kinds::{Dialect, Kind, Shown, kinds};
use super::rig::Rig;
use crate::edge::upstream::TRACE;
use crate::soak::dice::Dice;
use futures_util::{StreamExt, stream};
use reqwest::{Response, header};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MAX_WORDS: usize = 40;
/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub kind: Kind,
    /// The id of its token, if that was a valid one.
    pub token: Option<String>,
    /// As the answer told it; none where there was no answer.
    pub id: Option<String>,
    /// Of the answer's body, if it was read to its end.
    pub bytes: Option<u64>,
    /// Who was asked.
    pub edge: usize,
    pub ended: Instant,
    trace: String,
}

/// What the upstream said that an answer used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    pub input: Option<u64>,
    pub output: Option<u64>,
}

#[derive(Debug)]
pub struct Client {
    rig: Arc<Rig>,
    http: reqwest::Client,
    kinds: Vec<Kind>,
    dice: Dice,
    pub sent: Vec<Sent>,
    served: HashMap<String, Served>,
}

impl Client {
    pub fn new(rig: Arc<Rig>, dice: Dice) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { rig, http, kinds: kinds(), dice, sent: Vec::new(), served: HashMap::new() }
    }

    /// Sends so many requests, `at_once` of them at a time, and then asks the
    /// upstream what it served: its log holds the last thousand.
    pub async fn round(&mut self, requests: usize, at_once: usize) {
        assert!(requests < 1_000);
        let first = self.sent.len();
        let plan: Vec<_> = (first..first + requests)
            .map(|number| (number, self.kind(number), 1 + self.dice.below(MAX_WORDS)))
            .collect();
        let sending =
            stream::iter(plan).map(|(number, kind, words)| send(&self.rig, &self.http, number, kind, words));
        let sent: Vec<Sent> = sending.buffer_unordered(at_once).collect().await;
        self.sent.extend(sent);
        self.served.extend(served(&self.rig).await);
    }

    /// What the upstream told; `None` if it was not asked.
    pub fn served(&self, sent: &Sent) -> Option<Served> {
        self.served.get(&sent.trace).copied()
    }

    /// Each one once, then as often as its weight says.
    fn kind(&mut self, number: usize) -> Kind {
        if let Some(kind) = self.kinds.get(number) {
            return *kind;
        }
        let all = self.kinds.iter().map(|kind| kind.weight).sum();
        let mut rest = self.dice.below(all);
        let has_come = |kind: &&Kind| {
            let is_it = rest < kind.weight;
            rest = rest.saturating_sub(kind.weight);
            is_it
        };
        *self.kinds.iter().find(has_come).unwrap()
    }
}

async fn send(rig: &Rig, http: &reqwest::Client, number: usize, kind: Kind, words: usize) -> Sent {
    let (path, body) = kind.question(words, number);
    let tokens = &rig.tokens;
    let (id, valid) = &tokens.valid[number % tokens.valid.len()];
    let shown = match kind.shown {
        Shown::Valid => Some(valid.as_str()),
        Shown::Revoked => Some(tokens.revoked.as_str()),
        Shown::Expired => Some(tokens.expired.as_str()),
        Shown::Forged => Some(tokens.forged.as_str()),
        Shown::Malformed => Some("sk-lk-nonsense"),
        Shown::Nothing => None,
    };
    let (edge, url) = rig.url(number, &path);
    let request = match &body {
        Some(body) => http.post(url).json(body),
        None => http.get(url),
    };
    let (name, prefix) = kind.dialect.auth();
    let request = match shown {
        Some(token) => request.header(name, format!("{prefix}{token}")),
        None => request,
    };
    let trace = format!("t{number}");
    let token = (kind.shown == Shown::Valid).then(|| id.clone());
    let request = match kind.dialect {
        Dialect::Anthropic => request.header("anthropic-version", "2023-06-01"),
        _ => request,
    };
    let request = request.header(TRACE, &trace);
    let mut sent = Sent { kind, token, id: None, bytes: None, edge, ended: Instant::now(), trace };
    if let Ok(response) = request.header(header::ACCEPT_ENCODING, "identity").send().await {
        let id = response.headers().get(shared::header::REQUEST_ID);
        sent.id = id.map(|id| id.to_str().unwrap().to_owned());
        sent.bytes = read(response, kind.leaves).await;
    }
    sent.ended = Instant::now();
    sent
}

/// How much there was, if it was read to its end.
async fn read(mut response: Response, leaves: bool) -> Option<u64> {
    let mut bytes = 0;
    while let Some(piece) = response.chunk().await.ok()? {
        if leaves {
            return None;
        }
        bytes += piece.len() as u64;
    }
    Some(bytes)
}

/// What the upstream's log tells, once all of it has ended; then it is cleared.
async fn served(rig: &Rig) -> HashMap<String, Served> {
    let is_over = |entry: &Value| entry["outcome"] != "in_progress";
    super::rig::until("the end of all answers", async || rig.upstream.log().await.iter().all(is_over)).await;
    let log = rig.upstream.log().await;
    rig.upstream.clear().await;
    let of = |entry: &Value| {
        let trace = entry["headers"][TRACE][0].as_str().unwrap().to_owned();
        let (input, output) = (entry["input_tokens"].as_u64(), entry["output_tokens"].as_u64());
        (trace, Served { input, output })
    };
    log.iter().map(of).collect()
}
