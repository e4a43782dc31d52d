//! Batches of events as the edge posts them.

use crate::edge::call::client;
use crate::keys;
use control_plane::{chance, clock};
use shared::event::{Attempt, Bodies, Completion, Event, Outcome, Usage, UsageSource, VERSION};
use shared::header::{CALL_NONCE, CALL_SIGNATURE, CALL_TIME};
use shared::id::{self, UnixMs};
use shared::signed_call::Call;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Events in one.
pub const A_BATCH: usize = 100;
const PATH: &str = "/edge/events";
const TOKENS: u128 = 1_000;
const PROJECTS: u128 = 50;

/// An isolate that answers one request after another.
#[derive(Debug)]
pub struct Isolate {
    id: Uuid,
    seq: u64,
}

impl Isolate {
    pub fn new() -> Self {
        Self { id: new_id(clock::now()), seq: 0 }
    }

    /// JSON lines.
    pub fn batch(&mut self) -> Vec<u8> {
        (0..A_BATCH).map(|_| self.event().to_line().unwrap() + "\n").collect::<String>().into_bytes()
    }

    fn event(&mut self) -> Event {
        self.seq += 1;
        let started_at = clock::now() - 2_000;
        let token = u128::from(self.seq) % TOKENS;
        Event {
            v: VERSION,
            id: new_id(started_at),
            isolate_id: self.id,
            seq: self.seq,
            count: 1,
            started_at,
            first_byte_at: Some(started_at + 100),
            ended_at: started_at + 900,
            project_id: Some(Uuid::from_u128(1 + token % PROJECTS)),
            token_id: Some(Uuid::from_u128(1 + token)),
            provider: Some("openai".into()),
            method: "POST".into(),
            endpoint: "/v1/chat/completions".into(),
            model_requested: Some("gpt-4o-mini".into()),
            model: Some("gpt-4o-mini-2024-07-18".into()),
            status: 200,
            error_code: None,
            attempts: vec![Attempt {
                provider: "openai".into(),
                model: None,
                credential_id: Uuid::from_u128(7),
                started_at: started_at + 1,
                ended_at: started_at + 100,
                status: Some(200),
                outcome: Outcome::Answered,
                usage: None,
                usage_source: None,
                text_bytes_out: None,
            }],
            bytes_in: 1_200,
            bytes_out: 24_096,
            text_bytes_out: None,
            usage: Usage {
                input_tokens: Some(1_000),
                output_tokens: Some(500),
                cached_input_tokens: Some(400),
                reasoning_tokens: Some(50),
            },
            usage_source: UsageSource::Reported,
            completion: Completion::Complete,
            snapshot_version: Some(1_795_444_000_000),
            colo: Some("FRA".into()),
            country: Some("DE".into()),
            in_flight: 3,
            bodies: Bodies::default(),
        }
    }
}

impl Default for Isolate {
    fn default() -> Self {
        Self::new()
    }
}

fn new_id(at: UnixMs) -> Uuid {
    id::new(at, &chance::bytes().unwrap())
}

/// Posts a batch to the control plane at `base`, which must keep it.
pub async fn post(base: &str, body: Vec<u8>) {
    let (time, nonce) = (clock::now() / 1000, new_id(clock::now()).to_string());
    let call = Call { time, nonce: &nonce, method: "POST", path: PATH, body: &body };
    let signature = call.sign(keys::ingest_keys().primary());
    let request = client().post(format!("{base}{PATH}")).header("content-type", "application/x-ndjson");
    let request = request.header(CALL_TIME, time).header(CALL_NONCE, nonce).header(CALL_SIGNATURE, signature);
    let answer = request.body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

/// How long it takes to post all of them, so many at a time.
pub async fn post_all(base: &str, batches: Vec<Vec<u8>>, at_once: usize) -> Duration {
    use futures_util::{StreamExt, stream};
    let started = Instant::now();
    stream::iter(batches).for_each_concurrent(at_once, |batch| post(base, batch)).await;
    started.elapsed()
}
