//! Adds events up: what a transaction will write, from what came.

use super::cost::Prices;
use super::estimate;
use crate::domain::events::Listed;
use crate::store::event_bodies::BodyRow;
use crate::store::event_isolates::IsolateRow;
use crate::store::events::EventRow;
use crate::store::token_usage::UseRow;
use crate::store::usage::{Key, Sums};
use shared::event::{Attempt, Bodies, Completion, Event, Outcome, UsageSource};
use shared::id::UnixMs;
use std::collections::HashMap;
use uuid::Uuid;

const HOUR_MS: u64 = 60 * 60 * 1000;
const HOURS_A_DAY: i64 = 24;

/// An event, and when it came.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub event: Event,
    pub received_at: UnixMs,
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub events: Vec<EventRow>,
    pub bodies: Vec<BodyRow>,
    pub hourly: HashMap<Key, Sums>,
    pub daily: HashMap<Key, Sums>,
    pub isolates: HashMap<Uuid, IsolateRow>,
}

/// Tokens of which events were erased, with the time up to which.
pub(super) type Erased = HashMap<Uuid, UnixMs>;

impl Tally {
    pub(super) fn add(
        &mut self,
        arrived: &Arrived,
        prices: &Prices,
        erased: &Erased,
    ) -> Result<(), serde_json::Error> {
        let mut event = arrived.event.clone();
        estimate::fill(&mut event);
        let cost = cost(&event, prices);
        let is_erased =
            event.token_id.and_then(|id| erased.get(&id)).is_some_and(|&before| event.started_at < before);
        if is_erased {
            (event.colo, event.country, event.bodies) = (None, None, Bodies::default());
        }
        let sums = sums(&event, cost);
        let hourly = key(&event);
        let daily = Key { period: hourly.period / HOURS_A_DAY, ..hourly.clone() };
        self.hourly.entry(hourly).or_default().add(&sums);
        self.daily.entry(daily).or_default().add(&sums);
        self.note_isolate(&event, arrived.received_at);
        self.bodies.extend(body_row(&mut event));
        self.events.push(row(event, cost)?);
        Ok(())
    }

    fn note_isolate(&mut self, event: &Event, received_at: UnixMs) {
        let (at, seq) = (received_at.cast_signed(), event.seq.cast_signed());
        let isolate = self.isolates.entry(event.isolate_id).or_insert(IsolateRow {
            isolate_id: event.isolate_id,
            first_received_at: at,
            last_received_at: at,
            max_seq: 0,
            received: 0,
            in_flight: 0,
        });
        isolate.first_received_at = isolate.first_received_at.min(at);
        isolate.last_received_at = isolate.last_received_at.max(at);
        if seq > isolate.max_seq {
            (isolate.max_seq, isolate.in_flight) = (seq, event.in_flight.into());
        }
        isolate.received += 1;
    }
}

impl Sums {
    fn add(&mut self, more: &Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.bytes_in = self.bytes_in.saturating_add(more.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(more.bytes_out);
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.cached_input_tokens = self.cached_input_tokens.saturating_add(more.cached_input_tokens);
        self.reasoning_tokens = self.reasoning_tokens.saturating_add(more.reasoning_tokens);
        self.cost = self.cost.saturating_add(more.cost);
        self.unpriced = self.unpriced.saturating_add(more.unpriced);
        self.estimated = self.estimated.saturating_add(more.estimated);
    }
}

/// How events used their tokens.
pub(super) fn uses<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<UseRow> {
    let mut uses: HashMap<Uuid, UseRow> = HashMap::new();
    for event in events {
        let Some(token_id) = event.token_id else { continue };
        let nothing = UseRow { token_id, request_count: 0, last_used_at: 0 };
        let token = uses.entry(token_id).or_insert(nothing);
        token.request_count += i64::from(event.count);
        token.last_used_at = token.last_used_at.max(event.started_at.cast_signed());
    }
    uses.into_values().collect()
}

/// An event as it will be listed.
pub(super) fn listed(mut event: Event, prices: &Prices) -> Result<Listed, serde_json::Error> {
    estimate::fill(&mut event);
    let cost = cost(&event, prices);
    let bodies = body_row(&mut event);
    Ok(Listed { event: row(event, cost)?, bodies })
}

/// Nano-dollars; `None`: not known. Zero only where certainly nothing was used.
/// What other attempts than the answer's may be charged for is in it.
fn cost(event: &Event, prices: &Prices) -> Option<i64> {
    let answers = answers_cost(event, prices)?;
    let others = event.attempts.iter().enumerate().filter(|&(at, _)| Some(at) != event.answering());
    others.map(|(_, attempt)| attempt).try_fold(answers, |sum, attempt| {
        let Some(usage) = &attempt.usage else { return Some(sum) };
        let names = [&attempt.model, &event.model_requested, &event.model];
        let price = names
            .into_iter()
            .flatten()
            .find_map(|model| prices.find(&attempt.provider, model, event.started_at))?;
        Some(sum.saturating_add(price.cost(usage)))
    })
}

fn answers_cost(event: &Event, prices: &Prices) -> Option<i64> {
    if !event.usage.is_known() {
        return is_free(event).then_some(0);
    }
    let provider = event.provider.as_deref()?;
    let names = [&event.model, &event.model_requested];
    let price =
        names.into_iter().flatten().find_map(|model| prices.find(provider, model, event.started_at))?;
    Some(price.cost(&event.usage))
}

/// Nothing was asked of a model, no provider has the whole of it, or the provider answered
/// with an error. One that was given up, or lost, may have worked, and charges for that.
fn is_free(event: &Event) -> bool {
    let came_to_nothing =
        |attempt: &Attempt| matches!(attempt.outcome, Outcome::Redirected | Outcome::Abandoned);
    let is_refused = event.completion == Completion::Refused && event.attempts.iter().all(came_to_nothing);
    let is_error = event.completion == Completion::Complete && !(200..300).contains(&event.status);
    let only_reads = matches!(event.method.as_str(), "GET" | "HEAD" | "OPTIONS");
    is_refused || is_error || only_reads
}

fn key(event: &Event) -> Key {
    let model = event.model.as_ref().or(event.model_requested.as_ref());
    Key {
        period: (event.started_at / HOUR_MS).cast_signed(),
        project_id: event.project_id.unwrap_or_default(),
        token_id: event.token_id.unwrap_or_default(),
        provider: event.provider.clone().unwrap_or_default(),
        model: model.cloned().unwrap_or_default(),
        status: event.status.into(),
        completion: completion(event.completion).to_owned(),
    }
}

fn sums(event: &Event, cost: Option<i64>) -> Sums {
    let requests = i64::from(event.count);
    let number = |value: Option<u64>| value.unwrap_or_default().cast_signed();
    Sums {
        requests,
        bytes_in: event.bytes_in.cast_signed(),
        bytes_out: event.bytes_out.cast_signed(),
        input_tokens: number(event.usage.input_tokens),
        output_tokens: number(event.usage.output_tokens),
        cached_input_tokens: number(event.usage.cached_input_tokens),
        reasoning_tokens: number(event.usage.reasoning_tokens),
        cost: cost.unwrap_or_default(),
        unpriced: if cost.is_none() { requests } else { 0 },
        estimated: if is_estimated(event) { requests } else { 0 },
    }
}

/// Any part of what it used, or may have.
fn is_estimated(event: &Event) -> bool {
    let of_attempts = event.attempts.iter().filter_map(|attempt| attempt.usage_source);
    of_attempts.chain([event.usage_source]).any(|source| source == UsageSource::Estimated)
}

/// Taken from the event; none where nothing was captured.
fn body_row(event: &mut Event) -> Option<BodyRow> {
    let bodies = std::mem::take(&mut event.bodies);
    let is_empty = bodies.is_empty();
    let Bodies { request_body, request_body_cut, response_body, response_body_cut } = bodies;
    let row = BodyRow {
        event_id: event.id,
        request: request_body,
        request_is_cut: request_body_cut,
        response: response_body,
        response_is_cut: response_body_cut,
    };
    (!is_empty).then_some(row)
}

fn row(event: Event, cost: Option<i64>) -> Result<EventRow, serde_json::Error> {
    Ok(EventRow {
        id: event.id,
        isolate_id: event.isolate_id,
        seq: event.seq.cast_signed(),
        requests: event.count.into(),
        started_at: event.started_at.cast_signed(),
        first_byte_at: event.first_byte_at.map(u64::cast_signed),
        ended_at: event.ended_at.cast_signed(),
        project_id: event.project_id,
        token_id: event.token_id,
        provider: event.provider,
        method: event.method,
        endpoint: event.endpoint,
        model_requested: event.model_requested,
        model: event.model,
        status: event.status.into(),
        error_code: event.error_code,
        attempts: serde_json::to_string(&event.attempts)?,
        bytes_in: event.bytes_in.cast_signed(),
        bytes_out: event.bytes_out.cast_signed(),
        input_tokens: event.usage.input_tokens.map(u64::cast_signed),
        output_tokens: event.usage.output_tokens.map(u64::cast_signed),
        cached_input_tokens: event.usage.cached_input_tokens.map(u64::cast_signed),
        reasoning_tokens: event.usage.reasoning_tokens.map(u64::cast_signed),
        usage_source: usage_source(event.usage_source).to_owned(),
        completion: completion(event.completion).to_owned(),
        snapshot_version: event.snapshot_version.map(u64::cast_signed),
        colo: event.colo,
        country: event.country,
        cost,
    })
}

fn completion(completion: Completion) -> &'static str {
    match completion {
        Completion::Complete => "complete",
        Completion::Truncated => "truncated",
        Completion::Aborted => "aborted",
        Completion::Refused => "refused",
    }
}

fn usage_source(source: UsageSource) -> &'static str {
    match source {
        UsageSource::Reported => "reported",
        UsageSource::Estimated => "estimated",
        UsageSource::None => "none",
    }
}
