//! Requests that are under way upstream: what JavaScript tells of each, and the
//! event that it ends in.

use super::events;
use super::glue::exchange as glue;
use super::isolate::{self, Host};
use crate::event::{Draft, End, Passed};
use crate::refusal::Refusal;
use crate::route::Plan;
use shared::event::{Attempt, Outcome};
use shared::id::UnixMs;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use uuid::Uuid;
use wasm_bindgen::prelude::{Closure, JsValue};
use worker::{Context, Date};

/// How an answer is passed on, in JavaScript's numbers.
const NATIVE: u8 = 0;

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
    pub(super) fn new(context: Rc<Context>, draft: Draft, plan: &Plan) -> Self {
        let now = Date::now().as_millis();
        Self {
            context,
            draft,
            provider: plan.provider.clone(),
            credential_id: plan.credential_id,
            started_at: now,
            ends_by: now + UnixMs::from(plan.timeouts.total_ms) + SLACK,
        }
    }

    /// There was no answer to pass on. The edge refused, unless the client was gone.
    pub(super) fn end_unanswered(mut self, host: &Rc<Host>, outcome: Outcome, refusal: Option<&Refusal>) {
        // An answer that broke off before anything of it was passed on is told already.
        if outcome != Outcome::Answered {
            let attempt = self.attempt(None, outcome);
            self.draft.attempt(attempt);
        }
        let now = Date::now().as_millis();
        let event = match refusal {
            Some(refusal) => self.draft.refused(refusal, now),
            None => self.draft.left(now),
        };
        events::record(host, &self.context, event);
    }

    fn attempt(&self, status: Option<u16>, outcome: Outcome) -> Attempt {
        let ended_at = Date::now().as_millis();
        let (provider, credential_id) = (self.provider.clone(), self.credential_id);
        Attempt { provider, credential_id, started_at: self.started_at, ended_at, status, outcome }
    }

    fn answered(&mut self, status: u16, _content_type: &str) -> u8 {
        let attempt = self.attempt(Some(status), Outcome::Answered);
        self.draft.answered(status, attempt.ended_at);
        self.draft.attempt(attempt);
        NATIVE
    }

    fn end(self, host: &Rc<Host>, end: End, passed: Passed) {
        let event = self.draft.ended(end, passed, Date::now().as_millis());
        events::record(host, &self.context, event);
    }
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
            exchange.end(host, End::ClientLeft, Passed::default());
        }
        number
    }

    pub(super) fn take(&self, number: u32) -> Option<Exchange> {
        self.0.borrow_mut().by_number.remove(&number)
    }

    fn with<T: Default>(&self, number: u32, act: impl FnOnce(&mut Exchange) -> T) -> T {
        self.0.borrow_mut().by_number.get_mut(&number).map(act).unwrap_or_default()
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

/// Tells JavaScript what to call; once for an isolate.
pub(super) fn install() {
    let asked = Closure::<dyn Fn(u32, Vec<u8>) -> JsValue>::new(|_number, _body| JsValue::UNDEFINED);
    let answered = Closure::<dyn Fn(u32, u16, String) -> u8>::new(|number, status, content_type: String| {
        let Some(host) = isolate::current() else { return NATIVE };
        host.exchanges.with(number, |exchange| exchange.answered(status, &content_type))
    });
    let piece = Closure::<dyn Fn(u32, Vec<u8>) -> JsValue>::new(|_number, _piece| JsValue::UNDEFINED);
    let ended = Closure::<dyn Fn(u32, u8, f64, f64) -> JsValue>::new(|number, how, bytes_in, bytes_out| {
        if let Some(host) = isolate::current()
            && let Some(exchange) = host.exchanges.take(number)
        {
            let passed = Passed { bytes_in: whole(bytes_in), bytes_out: whole(bytes_out) };
            exchange.end(&host, end(how), passed);
        }
        JsValue::UNDEFINED
    });
    glue::install(asked.as_ref(), answered.as_ref(), piece.as_ref(), ended.as_ref());
    // They live as long as the isolate.
    asked.forget();
    answered.forget();
    piece.forget();
    ended.forget();
}

/// In JavaScript's numbers.
fn end(how: u8) -> End {
    match how {
        1 => End::Cut,
        2 => End::Stalled,
        3 => End::Overran,
        4 => End::ClientLeft,
        _ => End::Clean,
    }
}

/// Of a count that crossed as JavaScript's only kind of number.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is right here")]
fn whole(count: f64) -> u64 {
    count as u64
}
