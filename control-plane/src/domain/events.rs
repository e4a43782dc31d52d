//! Events as they are kept, and what is missing of them.

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result};
use crate::events::Ingest;
use crate::events::consume::CONSUMER;
use crate::events::log::Backlog;
use crate::store::events::{self as table, EventRow};
use crate::store::{Connection, event_bodies, event_isolates, event_set_aside, token_usage, tokens};
use serde_json::json;
use shared::id::{self, UnixMs};
use std::collections::HashMap;
use uuid::Uuid;

pub use crate::store::event_bodies::BodyRow;
use crate::store::event_isolates::IsolateRow;
pub use crate::store::event_set_aside::SetAsideRow;

/// How far the time in an event's id may be from the request's beginning: what
/// `events/batch.rs` lets in, and a request's longest time.
const ID_DRIFT_MS: UnixMs = 3 * 60 * 60 * 1000;

/// Events read at once by an export.
const EXPORTED_AT_ONCE: i64 = 1_000;

/// With up to 32 KB of bodies each.
const EXPORTED_WITH_BODIES: i64 = 100;

/// An isolate that had requests under way and has been silent for longer than
/// this has lost them: longer than a request and the way of its event take.
const SILENT_MS: UnixMs = 15 * 60 * 1000;

/// Events that one transaction erases, so that others do not wait long for it.
const ERASED_AT_ONCE: i64 = 5_000;

#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub project_id: Option<Uuid>,
    pub token_id: Option<Uuid>,
    pub status: Option<u16>,
    /// As requested or as answered.
    pub model: Option<String>,
    /// Of the request's beginning; `to` is not included.
    pub from: Option<UnixMs>,
    pub to: Option<UnixMs>,
    /// Not a filter: whether they are read too.
    pub with_bodies: bool,
}

/// An event, and its bodies where they are asked for and there are any.
#[derive(Clone, Debug)]
pub struct Listed {
    pub event: EventRow,
    pub bodies: Option<BodyRow>,
}

/// What came of an isolate, and what did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub isolate_id: Uuid,
    pub first_received_at: UnixMs,
    pub last_received_at: UnixMs,
    pub max_seq: u64,
    pub received: u64,
    /// Events that it numbered, and that did not come.
    pub missing: u64,
    /// Requests that never got a number.
    pub lost_in_flight: u64,
}

/// Events that there should be, and that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// That an isolate numbered, and that did not come.
    pub missing: u64,
    /// Requests that were under way at isolates that are silent.
    pub in_flight: u64,
}

/// How far the counting is, and what is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub backlog: Backlog,
    pub lost: Lost,
    /// Lines that were no events.
    pub set_aside: u64,
    /// Came again and did not count.
    pub duplicates: u64,
}

impl Domain {
    /// Newest first.
    pub async fn list_events(&self, filter: &Filter, page: &PageRequest) -> Result<Page<Listed>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let rows = self.events_below(filter, before, rows).await?;
        page.page(rows, |listed| listed.event.id.as_bytes().to_vec(), Ok)
    }

    /// The next of them, newest first; none after the last.
    pub async fn export_events(&self, filter: &Filter, before: Uuid) -> Result<Vec<Listed>> {
        let at_once = if filter.with_bodies { EXPORTED_WITH_BODIES } else { EXPORTED_AT_ONCE };
        self.events_below(filter, before, at_once).await
    }

    async fn events_below(&self, filter: &Filter, before: Uuid, limit: i64) -> Result<Vec<Listed>> {
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, &filter.below(before)?, limit).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let bodies = if filter.with_bodies { event_bodies::of(&mut tx, &ids).await? } else { Vec::new() };
        let mut bodies: HashMap<Uuid, BodyRow> = bodies.into_iter().map(|row| (row.event_id, row)).collect();
        Ok(rows.into_iter().map(|event| Listed { bodies: bodies.remove(&event.id), event }).collect())
    }

    /// Isolates of which events are missing or requests were lost, newest first.
    pub async fn list_gaps(&self, page: &PageRequest, now: UnixMs) -> Result<Page<Gap>> {
        let silent_since = now.saturating_sub(SILENT_MS);
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let rows = event_isolates::with_gap(&mut tx, before, silent_since, rows).await?;
        page.page(rows, |row| row.isolate_id.as_bytes().to_vec(), |row| Ok(Gap::of(row, silent_since)))
    }

    /// Lines that were no events, newest first.
    pub async fn list_set_aside(&self, page: &PageRequest) -> Result<Page<SetAsideRow>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let rows = event_set_aside::list(&mut tx, before, rows).await?;
        page.page(rows, |row| row.id.as_bytes().to_vec(), Ok)
    }

    /// `ingest` knows the logs in which batches wait.
    pub async fn events_status(&self, ingest: &Ingest, now: UnixMs) -> Result<Status> {
        let backlog = ingest.backlog(CONSUMER).await.map_err(|error| Error::Internal(error.to_string()))?;
        let mut tx = self.store.read().await?;
        Ok(Status {
            backlog,
            lost: lost(&mut tx, now).await?,
            set_aside: event_set_aside::counted(&mut tx, "set_aside").await?.cast_unsigned(),
            duplicates: event_set_aside::counted(&mut tx, "duplicates").await?.cast_unsigned(),
        })
    }

    pub async fn lost_events(&self, now: UnixMs) -> Result<Lost> {
        lost(&mut *self.store.read().await?, now).await
    }

    /// Erases what the token and its events up to now hold of a person, also of
    /// events that are still on their way; returns how many it was erased from.
    /// Amounts and sums stay.
    pub async fn erase_events(&self, act: &Act, token_id: Uuid) -> Result<u64> {
        let mut tx = self.store.write().await?;
        let token = tokens::lock(&mut tx, token_id).await?.ok_or(Error::NotFound("token"))?;
        let project_id = Some(token.project_id);
        tokens::update(&mut tx, &tokens::TokenRow { metadata: None, ..token }).await?;
        let change = Change {
            action: "token.erase_events",
            resource_id: token_id.to_string(),
            project_id,
            before: None,
            after: Some(json!({ "erased_before": act.at })),
        };
        audit::record(&mut tx, act, change).await?;
        event_set_aside::erase(&mut tx, token_id).await?;
        token_usage::erase_before(&mut tx, token_id, act.at).await?;
        tx.commit().await?;

        let mut erased = 0;
        loop {
            let mut tx = self.store.write().await?;
            let now_erased = table::erase(&mut tx, token_id, ERASED_AT_ONCE).await?;
            tx.commit().await?;
            erased += now_erased;
            if now_erased < ERASED_AT_ONCE.cast_unsigned() {
                return Ok(erased);
            }
        }
    }
}

async fn lost(conn: &mut Connection, now: UnixMs) -> Result<Lost> {
    Ok(Lost {
        missing: event_isolates::missing(conn).await?.cast_unsigned(),
        in_flight: event_isolates::in_flight(conn, now.saturating_sub(SILENT_MS)).await?.cast_unsigned(),
    })
}

impl Gap {
    fn of(row: IsolateRow, silent_since: UnixMs) -> Self {
        let IsolateRow { isolate_id, first_received_at, last_received_at, max_seq, received, in_flight } =
            row;
        let last_received_at = last_received_at.cast_unsigned();
        Self {
            isolate_id,
            first_received_at: first_received_at.cast_unsigned(),
            last_received_at,
            max_seq: max_seq.cast_unsigned(),
            received: received.cast_unsigned(),
            missing: (max_seq - received).cast_unsigned(),
            lost_in_flight: if last_received_at < silent_since { in_flight.cast_unsigned() } else { 0 },
        }
    }
}

impl Filter {
    /// Those with an id below `before`.
    fn below(&self, before: Uuid) -> Result<table::Filter> {
        let Self { project_id, token_id, status, model, from, to, with_bodies: _ } = self.clone();
        if model.as_ref().is_some_and(|model| model.contains('\0')) {
            return Err(Error::invalid("model", "has no control characters"));
        }
        let above = id::new(from.unwrap_or_default().saturating_sub(ID_DRIFT_MS), &[0; 10]);
        let latest = id::new(to.unwrap_or(u64::MAX).saturating_add(ID_DRIFT_MS), &[0xff; 10]);
        Ok(table::Filter {
            project_id,
            token_id,
            status: status.map(i64::from),
            model,
            from: from.unwrap_or_default().cast_signed().max(0),
            to: i64::try_from(to.unwrap_or(u64::MAX)).unwrap_or(i64::MAX),
            above,
            below: before.min(latest),
        })
    }
}
