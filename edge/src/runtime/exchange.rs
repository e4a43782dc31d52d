//! Requests that are under way upstream: what JavaScript tells of each, and the
//! event that it ends in.

use super::glue::exchange as glue;
use super::isolate::{self, Host};
use super::reading::Reading;
use super::{events, forward, now};
use crate::capture::Capture;
use crate::event::{Draft, Passed};
use crate::observe::strip::Strip;
use crate::observe::{End, Observer, request};
use crate::policies::BodyLimit;
use crate::refusal::Refusal;
use crate::route::{self, Judge, Plan};
use js_sys::{Array, Uint8Array};
use shared::event::{Attempt, Event, Outcome};
use shared::id::UnixMs;
use shared::policy::Denial;
use shared::policy::parameters::Body;
use shared::provider::Api;
use shared::snapshot::config::StreamUsage;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::BufReader;
use std::rc::Rc;
use uuid::Uuid;
use wasm_bindgen::prelude::{Closure, JsValue};
use worker::Context;

/// How an answer is passed on, in JavaScript's numbers: unseen by Rust; piece by
/// piece through Rust; natively, with a second branch of it for Rust; piece by
/// piece, with something taken out.
const UNREAD: u8 = 0;
const PIECES: u8 = 1;
const TEE: u8 = 2;
const FILTER: u8 = 3;
/// How an answer ended, in JavaScript's numbers: so long that no more was read.
const LEFT: u8 = 4;
const UNSEEN: u8 = 5;

/// Of a large body, so much is in Rust's memory at a time.
const PIECE: usize = 64 * 1024;

/// The content type of a stream.
const EVENTS: &str = "text/event-stream";

/// After its time has run out, an exchange whose end nobody told is ended here:
/// the runtime has thrown away what went on in it. Milliseconds, as below.
const SLACK: UnixMs = 60_000;
/// How often those are looked for.
const SWEEP_EVERY: UnixMs = 60_000;

pub(super) struct Exchange {
    context: Rc<Context>,
    draft: Draft,
    /// What the attempt will tell.
    provider: String,
    credential_id: Uuid,
    started_at: UnixMs,
    api: Api,
    endpoint: String,
    /// The request asks in JSON: then the answer is read, if it is one.
    is_json: bool,
    stream_usage: StreamUsage,
    observer: Option<Observer>,
    strip: Option<Strip>,
    /// What Rust reads of the answer has been passed on already.
    is_passed: bool,
    capture: Option<Capture>,
    body_limit: BodyLimit,
    judge: Option<Judge>,
    /// What the judge said.
    denial: Option<Denial>,
    /// The request's body is of interest beyond what is allowed.
    is_observed: bool,
    /// By then it has ended, one way or another.
    ends_by: UnixMs,
}

#[derive(Default)]
pub(super) struct Exchanges(RefCell<UnderWay>);

#[derive(Default)]
struct UnderWay {
    by_number: BTreeMap<u32, Exchange>,
    last: u32,
    swept_at: UnixMs,
}

impl Exchange {
    pub(super) fn new(
        host: &Host,
        context: Rc<Context>,
        draft: Draft,
        plan: &Plan,
        judge: Option<Judge>,
    ) -> Self {
        let now = now();
        Self {
            context,
            draft,
            provider: plan.provider.clone(),
            credential_id: plan.credential_id,
            started_at: now,
            api: plan.api,
            endpoint: plan.endpoint.clone(),
            is_json: plan.is_json,
            stream_usage: plan.stream_usage,
            observer: None,
            strip: None,
            is_passed: false,
            capture: plan.redactor.clone().map(|redactor| Capture::new(redactor, host.room.clone())),
            body_limit: plan.body_limit.clone(),
            judge,
            denial: None,
            is_observed: plan.is_observed(),
            ends_by: now + UnixMs::from(plan.timeouts.total_ms) + SLACK,
        }
    }

    /// There was no answer to pass on. The edge refused, unless the client was gone.
    pub(super) fn end_unanswered(
        mut self,
        host: &Rc<Host>,
        outcome: Outcome,
        refusal: Option<&Refusal>,
        bytes_in: u64,
    ) {
        // Else nothing went upstream.
        if self.judge.is_none() && self.denial.is_none() {
            let attempt = self.attempt(None, outcome);
            self.draft.attempt_ended(attempt);
        }
        self.draft.bytes_in(bytes_in);
        let now = now();
        let event = match refusal {
            Some(refusal) => self.draft.refused(refusal, now),
            None => self.draft.left(now),
        };
        events::record_captured(host, &self.context, event, self.capture);
    }

    fn attempt(&self, status: Option<u16>, outcome: Outcome) -> Attempt {
        let ended_at = now();
        let (provider, credential_id) = (self.provider.clone(), self.credential_id);
        Attempt { provider, credential_id, started_at: self.started_at, ended_at, status, outcome }
    }

    /// What this request in particular is refused with, where `word` says so.
    pub(super) fn own_refusal(&self, word: &str) -> Option<Refusal> {
        match word {
            forward::TOO_LARGE => Some(self.body_limit.refusal()),
            forward::DENIED => self.denial.clone().map(Refusal::from),
            _ => None,
        }
    }

    /// The request's body has been read; what goes upstream instead, if anything else does.
    fn asked(&mut self, body: &Uint8Array) -> Asked {
        let length = body.length();
        let whole = route::is_small(u64::from(length)).then(|| body.to_vec());
        if let Some(Judge { policies, content_type }) = self.judge.take() {
            let read = match &whole {
                Some(body) => Body::Whole(body),
                None => Body::Read(BufReader::with_capacity(PIECE, Reading::new(body))),
            };
            if let Err(denial) = policies.check_body(&self.endpoint, content_type.as_deref(), read) {
                self.denial = Some(denial);
                return Asked::Denied;
            }
        }
        match whole.filter(|_| self.is_observed).and_then(|body| self.observed(&body)) {
            Some(changed) => Asked::Changed(changed),
            None => Asked::AsItCame,
        }
    }

    /// The body that goes upstream instead, if it is another.
    fn observed(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if let Some(capture) = &mut self.capture {
            capture.request(body);
        }
        let asked = request::read(self.api, &self.endpoint, body);
        if let Some(model) = &asked.model {
            self.draft.model_requested(model);
        }
        let tells_unasked = asked.asks_usage || !asked.is_stream || !self.endpoint.ends_with("/completions");
        let strips = match self.stream_usage {
            StreamUsage::Leave => return None,
            _ if tells_unasked || self.api != Api::OpenAi => return None,
            StreamUsage::Ask => false,
            StreamUsage::AskAndStrip => true,
        };
        let changed = request::with_usage_asked(body)?;
        self.strip = strips.then(Strip::new);
        Some(changed)
    }

    /// How the answer is to be passed on.
    fn answered(&mut self, status: u16, content_type: &str) -> u8 {
        let attempt = self.attempt(Some(status), Outcome::Answered);
        self.draft.answered(status, attempt.ended_at);
        self.draft.attempt(attempt);
        let is_captured = self.capture.as_mut().is_some_and(|capture| capture.answered(content_type));
        if !self.is_json || !is_read(content_type) {
            return match is_captured {
                true if content_type.starts_with(EVENTS) => TEE,
                true => PIECES,
                false => UNREAD,
            };
        }
        let observer = Observer::new(self.api, &self.endpoint, status, content_type);
        let is_stream = observer.is_stream();
        self.observer = Some(observer);
        match self.strip {
            Some(_) if is_stream => FILTER,
            _ if is_stream => {
                self.is_passed = true;
                TEE
            }
            _ => {
                self.strip = None;
                PIECES
            }
        }
    }

    /// A part of the answer's body. A stream that turns out to be malformed ends
    /// there, or where it has passed on already, as soon as that is noticed.
    fn piece(&mut self, bytes: &[u8]) -> Piece {
        let piece = self.read(bytes);
        if let Some(capture) = &mut self.capture {
            capture.response(piece.passed(bytes));
        }
        piece
    }

    fn read(&mut self, bytes: &[u8]) -> Piece {
        let Some(observer) = &mut self.observer else { return Piece::AsItCame };
        if self.is_passed {
            observer.feed(bytes);
            return if observer.is_malformed() { Piece::Last(None) } else { Piece::AsItCame };
        }
        let end = observer.feed_until_malformed(bytes);
        let read = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
        let filtered = self.strip.as_mut().map(|strip| {
            let mut passed = Vec::with_capacity(read.len());
            strip.feed(read, &mut passed);
            passed
        });
        match (end, filtered) {
            (Some(_), filtered) => Piece::Last(Some(filtered.unwrap_or_else(|| read.to_vec()))),
            (None, Some(passed)) => Piece::Changed(passed),
            (None, None) => Piece::AsItCame,
        }
    }

    /// What is to be done at the end of the answer's body.
    fn end(self, host: &Rc<Host>, how: u8, passed: Passed) -> Ending {
        let Ended { context, event, capture, ending } = self.ended(how, passed);
        events::record_captured(host, &context, event, capture);
        ending
    }

    /// The runtime has thrown away its request, and no more work of that is done.
    fn end_lost(self, host: &Rc<Host>) {
        let Ended { context, mut event, capture, .. } = self.ended(LEFT, Passed::default());
        event.bodies = capture.map(Capture::bodies).unwrap_or_default();
        events::record(host, &context, event);
    }

    fn ended(mut self, how: u8, mut passed: Passed) -> Ended {
        let (end, now) = (end(how), now());
        let observed = self.observer.map(|observer| match how {
            UNSEEN => observer.end_unseen(),
            _ => observer.end(end),
        });
        let ending = match &observed {
            None => Ending::AsItCame,
            Some(observed) if observed.must_abort => Ending::Abort,
            Some(observed) => {
                let mut rest = self.strip.map(Strip::end).unwrap_or_default();
                rest.extend_from_slice(observed.error_frame.as_deref().unwrap_or_default().as_bytes());
                passed.bytes_out += rest.len() as u64;
                Ending::Close(rest)
            }
        };
        if let Some(capture) = &mut self.capture {
            if how == UNSEEN {
                capture.response_is_cut();
            }
            if let Ending::Close(rest) = &ending {
                capture.response(rest);
            }
        }
        let event = self.draft.ended(end, observed, passed, now);
        Ended { context: self.context, event, capture: self.capture, ending }
    }
}

struct Ended {
    context: Rc<Context>,
    event: Event,
    capture: Option<Capture>,
    ending: Ending,
}

/// What becomes of a request whose body was read.
enum Asked {
    AsItCame,
    Changed(Vec<u8>),
    Denied,
}

impl From<Asked> for JsValue {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::AsItCame => Self::UNDEFINED,
            Asked::Changed(body) => bytes(&body),
            Asked::Denied => Self::FALSE,
        }
    }
}

/// Whether an answer of this type may tell of a model: sound and images do not.
fn is_read(content_type: &str) -> bool {
    content_type.is_empty() || content_type.starts_with("text/") || content_type.contains("json")
}

/// What passes of a part of an answer's body.
enum Piece {
    AsItCame,
    Changed(Vec<u8>),
    /// This, or what came, and then the answer is to end.
    Last(Option<Vec<u8>>),
}

impl Piece {
    /// Of what came.
    fn passed<'a>(&'a self, came: &'a [u8]) -> &'a [u8] {
        match self {
            Self::AsItCame | Self::Last(None) => came,
            Self::Changed(passed) | Self::Last(Some(passed)) => passed,
        }
    }
}

impl From<Piece> for JsValue {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::AsItCame => Self::UNDEFINED,
            Piece::Changed(passed) => bytes(&passed),
            Piece::Last(passed) => Array::from_iter(passed.map(|passed| bytes(&passed))).into(),
        }
    }
}

/// What is to be done at the end of an answer's body.
enum Ending {
    /// Close it if the upstream did, else abort.
    AsItCame,
    /// Send this, and close it.
    Close(Vec<u8>),
    /// It must not look whole.
    Abort,
}

impl From<Ending> for JsValue {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::AsItCame => Self::UNDEFINED,
            Ending::Close(rest) => bytes(&rest),
            Ending::Abort => Self::FALSE,
        }
    }
}

fn bytes(content: &[u8]) -> JsValue {
    Uint8Array::from(content).into()
}

impl Exchanges {
    /// Its number, from now on.
    pub(super) fn begin(&self, host: &Rc<Host>, exchange: Exchange) -> u32 {
        let now = exchange.started_at;
        let (number, lost) = {
            let mut under_way = self.0.borrow_mut();
            under_way.last = under_way.last.checked_add(1).unwrap_or(1);
            let number = under_way.last;
            under_way.by_number.insert(number, exchange);
            (number, under_way.lost(now))
        };
        for exchange in lost {
            exchange.end_lost(host);
        }
        number
    }

    pub(super) fn take(&self, number: u32) -> Option<Exchange> {
        self.0.borrow_mut().by_number.remove(&number)
    }
}

impl UnderWay {
    fn lost(&mut self, now: UnixMs) -> Vec<Exchange> {
        if now < self.swept_at + SWEEP_EVERY {
            return Vec::new();
        }
        self.swept_at = now;
        let lost: Vec<u32> = self
            .by_number
            .iter()
            .filter(|(_, exchange)| exchange.ends_by < now)
            .map(|(number, _)| *number)
            .collect();
        lost.iter().filter_map(|number| self.by_number.remove(number)).collect()
    }
}

fn with<T>(number: u32, act: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
    let host = isolate::current()?;
    let mut under_way = host.exchanges.0.borrow_mut();
    under_way.by_number.get_mut(&number).map(act)
}

/// Tells JavaScript what to call; once for an isolate.
pub(super) fn install() {
    let asked = Closure::<dyn Fn(u32, Uint8Array) -> JsValue>::new(|number, body: Uint8Array| {
        // Where nobody can say that it may, it does not go upstream.
        with(number, |exchange| exchange.asked(&body)).unwrap_or(Asked::Denied).into()
    });
    let answered = Closure::<dyn Fn(u32, u16, String) -> u8>::new(|number, status, content_type: String| {
        with(number, |exchange| exchange.answered(status, &content_type)).unwrap_or(UNREAD)
    });
    let piece = Closure::<dyn Fn(u32, Vec<u8>) -> JsValue>::new(|number, piece: Vec<u8>| {
        with(number, |exchange| exchange.piece(&piece)).map_or(JsValue::UNDEFINED, JsValue::from)
    });
    let ended = Closure::<dyn Fn(u32, u8, f64, f64) -> JsValue>::new(|number, how, bytes_in, bytes_out| {
        let Some(host) = isolate::current() else { return JsValue::UNDEFINED };
        let passed = Passed { bytes_in: whole(bytes_in), bytes_out: whole(bytes_out) };
        let ended = host.exchanges.take(number).map(|exchange| exchange.end(&host, how, passed));
        ended.map_or(JsValue::UNDEFINED, JsValue::from)
    });
    let unanswered = Closure::<dyn Fn(u32, String, u8, u32, String, f64) -> JsValue>::new(
        |number, word: String, api, first_byte_ms, headers: String, bytes_in| {
            forward::unanswered(number, &word, api, first_byte_ms, &headers, whole(bytes_in)).into()
        },
    );
    glue::install(asked.as_ref(), answered.as_ref(), piece.as_ref(), ended.as_ref(), unanswered.as_ref());
    // They live as long as the isolate.
    asked.forget();
    answered.forget();
    piece.forget();
    ended.forget();
    unanswered.forget();
}

/// In JavaScript's numbers.
fn end(how: u8) -> End {
    match how {
        1 => End::Cut,
        2 => End::Stalled,
        3 => End::Overran,
        LEFT => End::ClientLeft,
        _ => End::Clean,
    }
}

/// Of a count that crossed as JavaScript's only kind of number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, which is right here"
)]
fn whole(count: f64) -> u64 {
    count as u64
}
