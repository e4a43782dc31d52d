//! What was used, added up.

use super::page::{Bounds, Page, PageRequest, bad_cursor};
use super::{Domain, Error, Result};
use crate::store::usage::report::{self, After, Filter, GroupRow, Span};
use shared::id::UnixMs;
use uuid::Uuid;

pub use crate::store::usage::report::By;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;
const HOURS_A_DAY: i64 = 24;

/// A report is longer than a list.
const BOUNDS: Bounds = Bounds { default: 1_000, most: 10_000 };

/// The latest time that RFC 3339 can write.
const LATEST_MS: UnixMs = 253_402_300_799_999;

/// Days before now, unless `from` is given; today comes on top.
const DEFAULT_DAYS: u64 = 29;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    Hour,
    Day,
}

/// Which sums are asked for. Hours are whole, and days where it is by day:
/// `from` counts from the beginning of its own, `to` up to the end of the one it is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question {
    pub by: By,
    /// `None`: whatever the time.
    pub per: Option<Per>,
    pub from: Option<UnixMs>,
    pub to: Option<UnixMs>,
    pub project_id: Option<Uuid>,
    pub token_id: Option<Uuid>,
}

/// One group: its key, as far as it was asked for, and its sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// When its hour or day began.
    pub start: Option<UnixMs>,
    /// `None` here and below: not known.
    pub project_id: Option<Uuid>,
    pub token_id: Option<Uuid>,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub requests: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cached_input_tokens: u64,
    pub reasoning_tokens: u64,
    /// Nano-dollars, of the requests whose cost is known; `None`: of none.
    pub cost: Option<i64>,
    pub unpriced_requests: u64,
    pub estimated_requests: u64,
}

impl Domain {
    /// By time, project, token, provider, model, rising.
    pub async fn usage(&self, question: Question, page: &PageRequest, now: UnixMs) -> Result<Page<Group>> {
        let (after, limit) = (after(page)?, page.rows_within(BOUNDS)?);
        let Question { by, per, project_id, token_id, .. } = question;
        let (from, to) = range(question, now)?;
        let filter =
            Filter { project_id: project_id.unwrap_or_default(), token_id: token_id.unwrap_or_default() };
        let mut tx = self.store.read().await?;
        let rows = match per {
            Some(Per::Hour) => {
                let hours = (floor(from, HOUR_MS), ceil(to, HOUR_MS));
                report::hourly(&mut tx, hours, by, filter, &after, limit).await?
            }
            Some(Per::Day) => {
                let days = (floor(from, DAY_MS), ceil(to, DAY_MS));
                report::daily(&mut tx, days, by, filter, &after, limit).await?
            }
            None => {
                let span = span(floor(from, HOUR_MS), ceil(to, HOUR_MS));
                report::total(&mut tx, span, by, filter, &after, limit).await?
            }
        };
        page.page_within(BOUNDS, rows, key, |row| Ok(group(row, per)))
    }
}

fn range(question: Question, now: UnixMs) -> Result<(UnixMs, UnixMs)> {
    let start = (now / DAY_MS).saturating_sub(DEFAULT_DAYS) * DAY_MS;
    let to = question.to.unwrap_or(now.saturating_add(DAY_MS)).min(LATEST_MS);
    let from = question.from.unwrap_or(start.min(to));
    if from > to {
        return Err(Error::invalid("from", "must not be after `to`"));
    }
    Ok((from, to))
}

/// Whole days as far as there are any, and the hours at both ends.
fn span(from: i64, to: i64) -> Span {
    let days =
        (from.div_euclid(HOURS_A_DAY) + i64::from(from % HOURS_A_DAY != 0), to.div_euclid(HOURS_A_DAY));
    if days.0 > days.1 {
        return Span { days: (0, 0), hours_before: (from, to), hours_after: (0, 0) };
    }
    Span { days, hours_before: (from, days.0 * HOURS_A_DAY), hours_after: (days.1 * HOURS_A_DAY, to) }
}

fn floor(at: UnixMs, unit: u64) -> i64 {
    (at / unit).cast_signed()
}

fn ceil(at: UnixMs, unit: u64) -> i64 {
    at.div_ceil(unit).cast_signed()
}

type Key = (i64, Uuid, Uuid, String, String);

fn key(row: &GroupRow) -> Vec<u8> {
    let key = (row.period, row.project_id, row.token_id, &row.provider, &row.model);
    // Numbers and texts can always be written.
    serde_json::to_vec(&key).unwrap_or_default()
}

fn after(page: &PageRequest) -> Result<After> {
    let key =
        page.key()?.map(|key| serde_json::from_slice::<Key>(&key).map_err(|_| bad_cursor())).transpose()?;
    let first = || (-1, Uuid::nil(), Uuid::nil(), String::new(), String::new());
    let (period, project_id, token_id, provider, model) = key.unwrap_or_else(first);
    if provider.contains('\0') || model.contains('\0') {
        return Err(bad_cursor());
    }
    Ok(After { period, project_id, token_id, provider, model })
}

fn group(row: GroupRow, per: Option<Per>) -> Group {
    let start = per.map(|per| {
        let unit = match per {
            Per::Hour => HOUR_MS,
            Per::Day => DAY_MS,
        };
        row.period.cast_unsigned().saturating_mul(unit)
    });
    Group {
        start,
        project_id: Some(row.project_id).filter(|id| !id.is_nil()),
        token_id: Some(row.token_id).filter(|id| !id.is_nil()),
        provider: Some(row.provider).filter(|name| !name.is_empty()),
        model: Some(row.model).filter(|name| !name.is_empty()),
        requests: row.requests.cast_unsigned(),
        bytes_in: row.bytes_in.cast_unsigned(),
        bytes_out: row.bytes_out.cast_unsigned(),
        input_tokens: row.input_tokens.cast_unsigned(),
        output_tokens: row.output_tokens.cast_unsigned(),
        cached_input_tokens: row.cached_input_tokens.cast_unsigned(),
        reasoning_tokens: row.reasoning_tokens.cast_unsigned(),
        // What is not known is not nothing.
        cost: Some(row.cost).filter(|&cost| cost != 0 || row.unpriced == 0),
        unpriced_requests: row.unpriced.cast_unsigned(),
        estimated_requests: row.estimated.cast_unsigned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_made_of_days_and_hours() {
        assert_eq!(span(48, 96), Span { days: (2, 4), hours_before: (48, 48), hours_after: (96, 96) });
        assert_eq!(span(49, 95), Span { days: (3, 3), hours_before: (49, 72), hours_after: (72, 95) });
        assert_eq!(span(47, 97), Span { days: (2, 4), hours_before: (47, 48), hours_after: (96, 97) });
        assert_eq!(span(50, 60), Span { days: (0, 0), hours_before: (50, 60), hours_after: (0, 0) });
        assert_eq!(span(50, 50), Span { days: (0, 0), hours_before: (50, 50), hours_after: (0, 0) });
    }

    #[test]
    fn every_hour_is_in_a_span_once() {
        for from in 0..60 {
            for to in from..100 {
                let Span { days, hours_before, hours_after } = span(from, to);
                let mut hours: Vec<i64> = (hours_before.0..hours_before.1).collect();
                hours.extend(days.0 * 24..days.1 * 24);
                hours.extend(hours_after.0..hours_after.1);
                assert_eq!(hours, (from..to).collect::<Vec<_>>(), "{from} to {to}");
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_nothing() {
        let row = |cost, requests, unpriced| GroupRow {
            period: 1,
            project_id: Uuid::nil(),
            token_id: Uuid::nil(),
            provider: String::new(),
            model: String::new(),
            requests,
            bytes_in: 0,
            bytes_out: 0,
            input_tokens: 0,
            output_tokens: 0,
            cached_input_tokens: 0,
            reasoning_tokens: 0,
            cost,
            unpriced,
            estimated: 0,
        };
        assert_eq!(group(row(0, 2, 0), None).cost, Some(0));
        assert_eq!(group(row(0, 2, 1), None).cost, None);
        assert_eq!(group(row(5, 2, 1), None).cost, Some(5));
        assert_eq!(group(row(0, 1, 0), Some(Per::Day)).start, Some(DAY_MS));
    }
}
