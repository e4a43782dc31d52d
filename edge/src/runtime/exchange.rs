//! Requests that are under way upstream: what JavaScript tells of each, and the
//! event that it ends in.

use super::glue::exchange as glue;
use super::isolate::{self, Host};
use super::reading::Reading;
use super::{events, forward, now};
use crate::answer::{Answer, Ending, Mode, Piece};
use crate::balance::error_kind::{self, ErrorKind};
use crate::balance::happened::Happened;
use crate::balance::signs::Signs;
use crate::capture::Capture;
use crate::event::{Draft, Passed};
use crate::leg::{self, Leg};
use crate::observe::joined::Told;
use crate::observe::opening::Opening;
use crate::observe::request::Edit;
use crate::observe::strip::Strip;
use crate::observe::{End, Observed, Observer, request};
use crate::policies::{BodyLimit, Whose};
use crate::refusal::Refusal;
use crate::route::{self, Judge, Plan};
use crate::ways::{self, Ways};
use js_sys::{Array, Uint8Array};
use shared::event::{Attempt, Completion, Event, Outcome};
use shared::id::UnixMs;
use shared::policy::parameters::Body;
use shared::provider::Api;
use shared::snapshot::config::StreamUsage;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::BufReader;
use std::rc::Rc;
use std::{mem, slice};
use uuid::Uuid;
use wasm_bindgen::prelude::{Closure, JsValue};
use worker::Context;

/// How an answer ended, in JavaScript's numbers: so long that no more was read.
const LEFT: u8 = 4;
const UNSEEN: u8 = 5;

/// Of a large body, so much is in Rust's memory at a time.
const PIECE: usize = 64 * 1024;

/// JavaScript's word for a stream that begins with an error.
const FAULTY: &str = "faulty";

const OK: u16 = 200;

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
    ways: Ways,
    /// The one that is gone now; none before it is known.
    leg: Option<Gone>,
    /// When that began, or at first, when the request did.
    started_at: UnixMs,
    /// Of the beginning of a stream, until it is known what it is.
    opening: Opening,
    api: Api,
    endpoint: String,
    /// The request asks in JSON: then the answer is read, if it is one.
    is_json: bool,
    stream_usage: StreamUsage,
    /// Takes out of the answer what only we asked for.
    strip: Option<Strip>,
    answer: Answer,
    /// Which attempt that is.
    answering: Option<usize>,
    /// It broke off so, and another is asked to go on with it.
    broke: Option<End>,
    /// That has happened before.
    has_gone_on: bool,
    capture: Option<Capture>,
    body_limit: BodyLimit,
    judge: Option<Judge>,
    content_type: Option<String>,
    /// Why nothing went upstream.
    refusal: Option<Refusal>,
    /// What asks a stream for its usage.
    usage_asked: Option<Edit>,
    /// The request's body is of interest beyond what is allowed.
    is_observed: bool,
    /// By then it has ended, one way or another.
    ends_by: UnixMs,
}

/// What an attempt tells of its leg.
struct Gone {
    provider: String,
    model: Option<String>,
    credential_id: Uuid,
    /// It is known how its provider fared.
    is_judged: bool,
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
    pub(super) fn new(host: &Host, context: Rc<Context>, draft: Draft, plan: Plan) -> Self {
        let now = now();
        let is_observed = plan.is_observed();
        let mut exchange = Self {
            context,
            draft,
            ways: plan.ways,
            leg: None,
            started_at: now,
            opening: Opening::default(),
            api: plan.api,
            endpoint: plan.endpoint,
            is_json: plan.is_json,
            stream_usage: plan.stream_usage,
            strip: None,
            answer: Answer::default(),
            answering: None,
            broke: None,
            has_gone_on: false,
            capture: plan.redactor.map(|redactor| Capture::new(redactor, host.room.clone())),
            body_limit: plan.body_limit,
            judge: plan.judge,
            content_type: plan.content_type,
            refusal: None,
            usage_asked: None,
            is_observed,
            ends_by: now + UnixMs::from(plan.timeouts.total_ms) + SLACK,
        };
        if let Some(leg) = &plan.first {
            exchange.goes(leg);
        }
        exchange
    }

    fn goes(&mut self, leg: &Leg) {
        let now = now();
        self.started_at = now + leg.wait_ms;
        self.ends_by = self.ends_by.max(now + UnixMs::from(leg.timeouts.total_ms) + SLACK);
        self.draft.provider(&leg.provider);
        self.opening = Opening::default();
        self.leg = Some(Gone {
            provider: leg.provider.clone(),
            model: leg.model.clone(),
            credential_id: leg.credential_id,
            is_judged: false,
        });
    }

    /// As it crosses, with all that is written anew in the body.
    fn leg_to_text(&mut self, mut leg: Leg) -> String {
        self.goes(&leg);
        leg.edits.extend(self.usage_asked.clone());
        leg.edits.sort_unstable_by_key(|edit| edit.from);
        leg.to_text().to_string()
    }

    /// There was no answer to pass on. The edge refused, unless the client was gone.
    pub(super) fn end_unanswered(
        mut self,
        host: &Rc<Host>,
        outcome: Outcome,
        refusal: Option<&Refusal>,
        bytes_in: u64,
    ) {
        let is_sent = self.judge.is_none() && self.refusal.is_none();
        self.judged(happened_of(outcome).filter(|_| is_sent), Signs::default());
        if let Some(attempt) = self.attempt(None, outcome).filter(|attempt| is_sent && has_begun(attempt)) {
            self.draft.attempt_ended(self.answering, attempt);
        }
        self.draft.bytes_in(bytes_in);
        let now = now();
        let event = match refusal {
            Some(refusal) => self.draft.refused(refusal, now),
            None => self.draft.left(now),
        };
        events::record_captured(host, &self.context, event, self.capture);
    }

    /// None before anything goes upstream.
    fn attempt(&self, status: Option<u16>, outcome: Outcome) -> Option<Attempt> {
        let Gone { provider, model, credential_id, is_judged: _ } = self.leg.as_ref()?;
        let (provider, model, credential_id) = (provider.clone(), model.clone(), *credential_id);
        let ended_at = now();
        Some(Attempt {
            provider,
            model,
            credential_id,
            started_at: self.started_at,
            ended_at,
            status,
            outcome,
            usage: None,
            usage_source: None,
            text_bytes_out: None,
        })
    }

    /// The isolate learns how the provider fared, once; none: that will not be known.
    fn judged(&mut self, happened: Option<Happened>, signs: Signs) {
        let Some(host) = isolate::current().filter(|_| self.ways.may_retry()) else { return };
        if self.leg.as_mut().is_some_and(|leg| !mem::replace(&mut leg.is_judged, true)) {
            match happened {
                Some(happened) => self.ways.ended(happened, signs, host.isolate.means(now())),
                None => self.ways.given_up(&host.isolate.balance),
            }
        }
    }

    /// What this request in particular is refused with, where `word` says so.
    pub(super) fn own_refusal(&self, word: &str) -> Option<Refusal> {
        match word {
            forward::TOO_LARGE => Some(self.body_limit.refusal()),
            forward::DENIED => self.refusal.clone(),
            _ => None,
        }
    }

    /// The request's body has been read.
    fn asked(&mut self, body: &Uint8Array) -> Asked {
        let asked = self.judge_body(body);
        asked.unwrap_or_else(|refusal| {
            self.refusal = Some(refusal);
            Asked::Denied
        })
    }

    fn judge_body(&mut self, body: &Uint8Array) -> Result<Asked, Refusal> {
        let is_routed = self.leg.is_none();
        let is_whole = is_routed || route::is_small(u64::from(body.length()));
        let whole = is_whole.then(|| body.to_vec());
        let content_type = self.content_type.take();
        let check = |judge: &Judge, whose, endpoint: &str| {
            let content_type = content_type.as_deref();
            let read = match &whole {
                Some(body) => Body::Whole(body.as_slice()),
                None => Body::Read(BufReader::with_capacity(PIECE, Reading::new(body))),
            };
            judge.policies.check_body(whose, endpoint, content_type, read).map_err(Refusal::from)
        };
        let judge = self.judge.take();
        if let Some(judge) = &judge {
            check(judge, if is_routed { Whose::Callers } else { Whose::All }, &self.endpoint)?;
        }
        let seen = whole.as_deref().filter(|_| self.is_observed || is_routed).unwrap_or_default();
        if let (true, Some(capture)) = (!seen.is_empty(), &mut self.capture) {
            capture.request(seen);
        }
        let asked = request::read(self.api, &self.endpoint, seen);
        if let Some(model) = &asked.model {
            self.draft.model_requested(model);
        }
        self.usage_asked = self.usage_asked(&asked, seen);
        if !is_routed {
            return Ok(match &self.usage_asked {
                Some(edit) => Asked::Edited(leg::edits_to_text(slice::from_ref(edit))),
                None => Asked::AsItCame,
            });
        }
        let Some(host) = isolate::current() else { return Ok(Asked::Denied) };
        let means = host.isolate.means(now());
        let place = request::place_of_model(seen);
        let content_type = content_type.as_deref();
        let model = asked.model.as_deref().unwrap_or_default();
        let question = ways::Asked { model, body: seen, content_type, place };
        let has_route = self.ways.follow_route(question, means, self.started_at)?;
        if let (false, Some(judge)) = (has_route, &judge) {
            check(judge, Whose::Providers, &self.endpoint)?;
        }
        let leg = self.ways.first(means)?;
        Ok(Asked::Goes(self.leg_to_text(leg)))
    }

    /// What is written into the body so that a stream tells its usage.
    fn usage_asked(&mut self, asked: &request::Asked, body: &[u8]) -> Option<Edit> {
        let tells_unasked = asked.asks_usage || !asked.is_stream || !self.endpoint.ends_with("/completions");
        let strips = match self.stream_usage {
            StreamUsage::Leave => return None,
            _ if tells_unasked || self.api != Api::OpenAi => return None,
            StreamUsage::Ask => false,
            StreamUsage::AskAndStrip => true,
        };
        let edit = request::usage_asked(body)?;
        self.strip = strips.then(Strip::new);
        Some(edit)
    }

    /// Whom to ask after the last one failed, or answered with an error; none where
    /// that is to be passed on.
    fn failed(&mut self, word: &str, status: u16, headers: &str, refusal: Option<&[u8]>) -> Option<String> {
        let host = isolate::current()?;
        let now = now();
        let (happened, outcome) = self.happened(word, status, refusal);
        let attempt = self.attempt((status > 0).then_some(status), outcome);
        self.leg.as_mut()?.is_judged = true;
        let next = self.ways.next(happened, Signs::read(headers, now), host.isolate.means(now));
        // Where the client has its answer already, nobody tells of this attempt again.
        if next.is_some() || self.broke.is_some() {
            self.draft_attempt(attempt);
            self.leg = None;
        }
        next.map(|next| self.leg_to_text(next))
    }

    fn happened(&self, word: &str, status: u16, refusal: Option<&[u8]>) -> (Happened, Outcome) {
        match word {
            "timeout" => (Happened::Silent, Outcome::TimedOut),
            // The runtime does not tell a connection that broke from one that never was;
            // nor do these of the platform's statuses.
            "unreachable" if matches!(status, 0 | 520 | 524) => (Happened::Reset, Outcome::Unreachable),
            "unreachable" => (Happened::Unreachable, Outcome::Unreachable),
            "broken" => (Happened::Reset, Outcome::Answered),
            "redirect" => (Happened::Answered { status, kind: None }, Outcome::Redirected),
            FAULTY => {
                let kind = self.opening.kind().unwrap_or(ErrorKind::Other);
                (Happened::Error { kind }, Outcome::Answered)
            }
            _ => (Happened::Answered { status, kind: refusal.map(error_kind::of) }, Outcome::Answered),
        }
    }

    fn draft_attempt(&mut self, attempt: Option<Attempt>) -> Option<usize> {
        attempt.map(|attempt| self.draft.attempt(attempt))
    }

    /// How the answer is to be passed on.
    fn answered(&mut self, status: u16, content_type: &str, signs: &str) -> Mode {
        let attempt = self.attempt(Some(status), Outcome::Answered);
        if let Some(Attempt { ended_at, .. }) = attempt {
            let signs = if signs.is_empty() { Signs::default() } else { Signs::read(signs, ended_at) };
            self.judged(Some(Happened::Answered { status, kind: None }), signs);
            if self.broke.is_none() {
                self.draft.answered(status, ended_at);
            }
        }
        let answering = self.draft_attempt(attempt);
        let observer = || Observer::new(self.api, &self.endpoint, status, content_type);
        if let Some(end) = self.broke {
            self.leg = None;
            return match (status == OK).then(|| self.answer.goes_on_with(observer(), end)).flatten() {
                Some(told) => self.goes_on(told, answering),
                None => Mode::Unread,
            };
        }
        self.answering = answering;
        let is_captured = self.capture.as_mut().is_some_and(|capture| capture.answered(content_type));
        if !self.is_json || !is_read(content_type) {
            return match is_captured {
                true if content_type.starts_with(EVENTS) => Mode::Tee,
                true => Mode::Pieces,
                false => Mode::Unread,
            };
        }
        self.answer = Answer::new(observer(), self.strip.take(), self.ways.resumes());
        self.answer.mode()
    }

    fn goes_on(&mut self, told: Told, answering: Option<usize>) -> Mode {
        self.broke = None;
        if let Some(attempt) = mem::replace(&mut self.answering, answering) {
            self.draft.attempt_told(attempt, told);
        }
        Mode::Join
    }

    /// A stream that another may go on with has ended so: whom to ask for that. None
    /// where it is whole, or nobody may.
    fn broke(&mut self, how: u8) -> Option<String> {
        let host = isolate::current()?;
        let end = end(how);
        let happened = self.answer.broke(end)?;
        let means = host.isolate.means(now());
        if !self.answer.may_go_on() {
            self.ways.ended(happened, Signs::default(), means);
            return None;
        }
        let next = self.ways.go_on(happened, means)?;
        self.broke = Some(end);
        self.has_gone_on = true;
        Some(self.leg_to_text(next))
    }

    /// A part of the answer's body.
    fn piece(&mut self, bytes: &[u8]) -> Piece {
        let piece = self.answer.read(bytes);
        if let Some(capture) = &mut self.capture {
            capture.response(piece.passed(bytes));
        }
        piece
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

    /// An answer that had begun well is over, and others will want to know how.
    fn judge_end(&self, end: End, observed: Option<&Observed>, is_joined: bool) {
        let Some(host) = isolate::current().filter(|_| self.ways.may_retry() && self.draft.is_success())
        else {
            return;
        };
        let completion = observed.map_or(end.completion(), |observed| observed.completion);
        match completion {
            Completion::Complete => self.ways.completed(&host.isolate.balance),
            // Of one that may be gone on with it was told when it broke off.
            Completion::Truncated if !is_joined && end != End::Overran => {
                let happened = Happened::BrokeOff { is_silent: end == End::Stalled };
                self.ways.ended(happened, Signs::default(), host.isolate.means(now()));
            }
            Completion::Truncated | Completion::Aborted | Completion::Refused => {}
        }
    }

    fn ended(mut self, how: u8, mut passed: Passed) -> Ended {
        let (end, now) = (end(how), now());
        if self.broke.is_some() {
            // Who was to go on with it was still asked.
            let outcome = if end == End::Overran { Outcome::TimedOut } else { Outcome::Abandoned };
            let attempt = self.attempt(None, outcome).filter(has_begun);
            self.draft_attempt(attempt);
            self.judged(None, Signs::default());
        }
        let is_joined = self.answer.mode() == Mode::Join;
        let (ending, observed) = mem::take(&mut self.answer).end(end, how == UNSEEN);
        if let Ending::Close(rest) = &ending {
            passed.bytes_out += rest.len() as u64;
        }
        if let (true, Some(answering)) = (self.has_gone_on, self.answering) {
            let text_bytes = observed.as_ref().and_then(|observed| observed.text_bytes);
            self.draft.answered_by(answering, text_bytes);
        }
        self.judge_end(end, observed.as_ref(), is_joined);
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
    /// With these edits.
    Edited(String),
    /// By this leg.
    Goes(String),
    Denied,
}

impl From<Asked> for JsValue {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::AsItCame => Self::UNDEFINED,
            Asked::Edited(text) | Asked::Goes(text) => text.into(),
            Asked::Denied => Self::FALSE,
        }
    }
}

/// Not while the pause before it lasts.
fn has_begun(attempt: &Attempt) -> bool {
    attempt.started_at <= attempt.ended_at
}

/// What is known of the provider by how an attempt ended that had no answer.
fn happened_of(outcome: Outcome) -> Option<Happened> {
    match outcome {
        Outcome::Unreachable => Some(Happened::Unreachable),
        Outcome::TimedOut => Some(Happened::Silent),
        Outcome::Answered | Outcome::Redirected | Outcome::Abandoned => None,
    }
}

/// Whether an answer of this type may tell of a model: sound and images do not.
fn is_read(content_type: &str) -> bool {
    content_type.is_empty() || content_type.starts_with("text/") || content_type.contains("json")
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
    let failed = Closure::<dyn Fn(u32, String, u16, String, Option<Vec<u8>>) -> Option<String>>::new(
        |number, word: String, status, headers: String, refusal: Option<Vec<u8>>| {
            with(number, |exchange| exchange.failed(&word, status, &headers, refusal.as_deref())).flatten()
        },
    );
    let opening = Closure::<dyn Fn(u32, Vec<u8>) -> u8>::new(|number, piece: Vec<u8>| {
        with(number, |exchange| exchange.opening.feed(&piece)).unwrap_or_default() as u8
    });
    let answered = Closure::<dyn Fn(u32, u16, String, String) -> u8>::new(
        |number, status, content_type: String, signs: String| {
            with(number, |exchange| exchange.answered(status, &content_type, &signs)).unwrap_or(Mode::Unread)
                as u8
        },
    );
    let broke = Closure::<dyn Fn(u32, u8) -> Option<String>>::new(|number, how| {
        with(number, |exchange| exchange.broke(how)).flatten()
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
    glue::install(
        asked.as_ref(),
        failed.as_ref(),
        opening.as_ref(),
        answered.as_ref(),
        broke.as_ref(),
        piece.as_ref(),
        ended.as_ref(),
        unanswered.as_ref(),
    );
    // They live as long as the isolate.
    asked.forget();
    failed.forget();
    opening.forget();
    answered.forget();
    broke.forget();
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
