//! Events that a sink would never take, until somebody has them delivered or discards them.

use super::audit::{self, Change};
use super::events::Listed;
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result};
use crate::sinks::attempt::attempt;
use crate::sinks::{SinkError, kept};
use crate::store::dead_letters::{self as table, DeadLetterRow};
use crate::store::sinks::SinkRow;
use crate::store::{Connection, event_bodies, events, sinks};
use serde_json::{Value, json};
use shared::id::UnixMs;
use std::collections::HashMap;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub id: Uuid,
    pub sink_id: Uuid,
    pub sink_name: String,
    pub event_id: Uuid,
    pub reason: String,
    pub created_at: UnixMs,
}

impl Domain {
    /// Newest first; of one sink, or of all.
    pub async fn list_dead_letters(
        &self,
        sink_id: Option<Uuid>,
        page: &PageRequest,
    ) -> Result<Page<DeadLetter>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let sinks = sinks::all(&mut tx).await?.into_iter().map(|sink| (sink.id, sink.name));
        let names: HashMap<Uuid, String> = sinks.collect();
        let rows = table::list(&mut tx, sink_id, before, rows).await?;
        let name = |id: Uuid| names.get(&id).cloned().unwrap_or_default();
        let letter = |row: DeadLetterRow| Ok(DeadLetter::new(name(row.sink_id), row));
        page.page(rows, |row| row.id.as_bytes().to_vec(), letter)
    }

    /// With its event, while that is kept.
    pub async fn get_dead_letter(&self, id: Uuid) -> Result<(DeadLetter, Option<Listed>)> {
        let mut tx = self.store.read().await?;
        let (row, sink) = get(&mut tx, id).await?;
        let event = event(&mut tx, row.event_id).await?;
        Ok((DeadLetter::new(sink.name, row), event))
    }

    /// Delivers the event now, whether the sink is active or not.
    pub async fn replay_dead_letter(&self, act: &Act, id: Uuid) -> Result<()> {
        let mut tx = self.store.read().await?;
        let (row, sink) = get(&mut tx, id).await?;
        let event = event(&mut tx, row.event_id).await?;
        drop(tx);
        let event = event.ok_or(Error::Gone("the event is no longer kept; discard the dead letter"))?;
        let outcome = attempt(&sink, &self.vault, &self.surroundings, event).await;

        let mut tx = self.store.write().await?;
        match &outcome {
            Ok(()) => drop(table::delete(&mut tx, id).await?),
            Err(SinkError::Refused(reason)) => table::refuse_again(&mut tx, id, &kept(reason)).await?,
            Err(SinkError::Unavailable { .. }) => {}
        }
        let error = outcome.as_ref().err().map(SinkError::to_string);
        let after = json!({ "is_delivered": outcome.is_ok(), "error": error });
        record(&mut tx, act, "dead_letter.replay", &row, Some(after)).await?;
        tx.commit().await?;
        Ok(outcome?)
    }

    pub async fn discard_dead_letter(&self, act: &Act, id: Uuid) -> Result<()> {
        let mut tx = self.store.write().await?;
        let row = table::get(&mut tx, id).await?.ok_or(Error::NotFound("dead letter"))?;
        if !table::delete(&mut tx, id).await? {
            return Err(Error::NotFound("dead letter"));
        }
        record(&mut tx, act, "dead_letter.discard", &row, None).await?;
        Ok(tx.commit().await?)
    }
}

async fn get(conn: &mut Connection, id: Uuid) -> Result<(DeadLetterRow, SinkRow)> {
    let row = table::get(conn, id).await?.ok_or(Error::NotFound("dead letter"))?;
    // It goes with its sink.
    let sink = sinks::get(conn, row.sink_id).await?.ok_or(Error::NotFound("dead letter"))?;
    Ok((row, sink))
}

async fn event(conn: &mut Connection, id: Uuid) -> Result<Option<Listed>> {
    let Some(event) = events::get(conn, id).await? else { return Ok(None) };
    let bodies = event_bodies::of(conn, &[id]).await?.pop();
    Ok(Some(Listed { event, bodies }))
}

async fn record(
    conn: &mut Connection,
    act: &Act,
    action: &'static str,
    row: &DeadLetterRow,
    after: Option<Value>,
) -> Result<()> {
    let before = json!({ "sink_id": row.sink_id, "event_id": row.event_id, "reason": row.reason });
    let change =
        Change { action, resource_id: row.id.to_string(), project_id: None, before: Some(before), after };
    audit::record(conn, act, change).await
}

impl DeadLetter {
    fn new(sink_name: String, row: DeadLetterRow) -> Self {
        let DeadLetterRow { id, sink_id, event_id, reason, created_at } = row;
        Self { id, sink_id, sink_name, event_id, reason, created_at: created_at.cast_unsigned() }
    }
}
