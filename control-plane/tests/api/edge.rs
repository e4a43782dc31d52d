//! The edge, as far as the control plane sees it: events, and signed calls.

use crate::database::Database;
use crate::world::{Answer, World, ring};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use control_plane::{chance, clock};
use shared::event::{Attempt, Bodies, Completion, Event, Outcome, Usage, UsageSource, VERSION};
use shared::id::{self, UnixMs};
use shared::signed_call::Call;
use uuid::Uuid;

/// An isolate, which numbers its events.
pub(crate) struct Isolate {
    pub(crate) id: Uuid,
    seq: u64,
}

/// A signed call, which a test may spoil before it is sent.
pub(crate) struct Batch {
    pub(crate) time: u64,
    pub(crate) nonce: String,
    pub(crate) key: u8,
    pub(crate) body: Vec<u8>,
    pub(crate) kind: &'static str,
}

pub(crate) fn new_id(at: UnixMs) -> Uuid {
    id::new(at, &chance::bytes().unwrap())
}

impl Isolate {
    pub(crate) fn new() -> Self {
        Self { id: new_id(clock::now() - 60_000), seq: 0 }
    }

    /// An answered request of a moment ago.
    pub(crate) fn event(&mut self) -> Event {
        self.event_at(clock::now() - 2_000)
    }

    pub(crate) fn event_at(&mut self, started_at: UnixMs) -> Event {
        self.seq += 1;
        Event {
            v: VERSION,
            id: new_id(started_at),
            isolate_id: self.id,
            seq: self.seq,
            count: 1,
            started_at,
            first_byte_at: Some(started_at + 100),
            ended_at: started_at + 900,
            project_id: None,
            token_id: None,
            provider: Some("openai".into()),
            method: "POST".into(),
            endpoint: "/v1/chat/completions".into(),
            model_requested: Some("gpt-test".into()),
            model: Some("gpt-test-1".into()),
            status: 200,
            error_code: None,
            attempts: vec![Attempt {
                provider: "openai".into(),
                model: None,
                credential_id: id::new(1, &[3; 10]),
                started_at: started_at + 1,
                ended_at: started_at + 100,
                status: Some(200),
                outcome: Outcome::Answered,
                usage: None,
                usage_source: None,
                text_bytes_out: None,
            }],
            bytes_in: 120,
            bytes_out: 4_096,
            text_bytes_out: None,
            usage: Usage {
                input_tokens: Some(1_000),
                output_tokens: Some(500),
                cached_input_tokens: Some(400),
                reasoning_tokens: Some(50),
            },
            usage_source: UsageSource::Reported,
            completion: Completion::Complete,
            snapshot_version: Some(1),
            colo: Some("FRA".into()),
            country: Some("DE".into()),
            in_flight: 0,
            bodies: Bodies::default(),
        }
    }
}

pub(crate) fn lines(events: &[Event]) -> Vec<u8> {
    events.iter().map(|event| event.to_line().unwrap() + "\n").collect::<String>().into_bytes()
}

impl Batch {
    pub(crate) fn new(body: impl Into<Vec<u8>>) -> Self {
        let nonce = new_id(clock::now()).to_string();
        Self { time: clock::now() / 1000, nonce, key: 5, body: body.into(), kind: "application/x-ndjson" }
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let call = Call {
            time: self.time,
            nonce: &self.nonce,
            method: "POST",
            path: "/edge/events",
            body: &self.body,
        };
        Request::post("/edge/events")
            .header("content-type", self.kind)
            .header("content-length", self.body.len())
            .header("x-latchkey-time", self.time)
            .header("x-latchkey-nonce", &self.nonce)
            .header("x-latchkey-signature", call.sign(ring(self.key).primary()))
            .body(Body::from(self.body.clone()))
            .unwrap()
    }
}

impl<D: Database> World<D> {
    pub(crate) async fn batch(&self, batch: &Batch) -> Answer {
        self.send(batch.request()).await
    }

    /// Sends events, as they should be sent, and has them counted.
    pub(crate) async fn events(&self, events: &[Event]) {
        let answer = self.batch(&Batch::new(lines(events))).await.ok(StatusCode::OK);
        assert_eq!(answer["accepted"], events.len(), "{answer}");
        self.count().await;
    }

    /// Counts what is in the log.
    pub(crate) async fn count(&self) {
        let mut consumer = self.consumer();
        while consumer.pass().await.unwrap().is_some() {}
    }
}
