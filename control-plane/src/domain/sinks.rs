//! Sinks: where events go besides the database.

mod check;
mod made_up;

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result};
use crate::clock;
use crate::secret::Secret;
use crate::sinks::attempt::attempt;
use crate::sinks::lag::Lag;
use crate::store::sinks::{self as table, SinkRow};
use crate::store::{self, Connection, dead_letters, events, is_duplicate};
use serde_json::{Map, Value, json};
use shared::id::UnixMs;
use uuid::Uuid;

/// Each reads all events anew, and has a task and connections of its own.
const MOST: i64 = 32;

#[derive(Clone, Debug)]
pub struct Sink {
    pub id: Uuid,
    pub name: String,
    pub kind: String,
    pub settings: Value,
    pub has_secret: bool,
    pub is_active: bool,
    pub batch_size: u64,
    pub timeout_seconds: u64,
    pub state: State,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

/// How far the deliveries are.
#[derive(Clone, Debug)]
pub struct State {
    /// Everything up to here is delivered, a dead letter, or skipped.
    pub position: u64,
    pub lag_events: u64,
    /// Since the oldest of them ended.
    pub lag_seconds: u64,
    pub delivered: u64,
    pub skipped: u64,
    pub dead_letters: u64,
    /// Since the last success.
    pub failures: u64,
    pub error: Option<String>,
    pub failed_at: Option<UnixMs>,
    pub delivered_at: Option<UnixMs>,
}

#[derive(Debug)]
pub struct NewSink {
    pub name: String,
    pub kind: String,
    pub settings: Map<String, Value>,
    pub secret: Option<Secret>,
    pub is_active: bool,
    pub batch_size: Option<u64>,
    pub timeout_seconds: u64,
}

/// What is given is changed; `settings` as a whole.
#[derive(Debug, Default)]
pub struct SinkPatch {
    pub name: Option<String>,
    pub settings: Option<Map<String, Value>>,
    pub secret: Option<Secret>,
    pub is_active: Option<bool>,
    pub batch_size: Option<u64>,
    pub timeout_seconds: Option<u64>,
}

/// What came of a made-up event.
#[derive(Clone, Debug)]
pub struct Tested {
    pub is_delivered: bool,
    pub took_ms: u64,
    pub error: Option<String>,
}

impl Domain {
    /// A sink gets the events that are counted from now on.
    pub async fn create_sink(&self, act: &Act, new: NewSink) -> Result<Sink> {
        let mut row = self.new_sink(act, new)?;
        let mut tx = self.store.write().await?;
        table::lock_oldest(&mut tx).await?;
        if table::count(&mut tx).await? >= MOST {
            return Err(Error::Conflict(format!(
                "there are {MOST} sinks, which is the most; delete one first"
            )));
        }
        row.position = events::last_position(&mut tx).await?;
        table::insert(&mut tx, &row).await.map_err(not_stored)?;
        record(&mut tx, act, "sink.create", row.id, None, Some(for_audit(&row))).await?;
        let sink = seen(&mut tx, row, act.at).await?;
        tx.commit().await?;
        Ok(sink)
    }

    /// Newest first.
    pub async fn list_sinks(&self, page: &PageRequest, now: UnixMs) -> Result<Page<Sink>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, before, rows).await?;
        let mut sinks = Vec::new();
        for row in rows {
            sinks.push(seen(&mut tx, row, now).await?);
        }
        page.page(sinks, |sink| sink.id.as_bytes().to_vec(), Ok)
    }

    pub async fn get_sink(&self, id: Uuid, now: UnixMs) -> Result<Sink> {
        let mut tx = self.store.read().await?;
        let row = table::get(&mut tx, id).await?.ok_or(Error::NotFound("sink"))?;
        seen(&mut tx, row, now).await
    }

    /// Wherever it leads from now on, it goes on after what it had.
    pub async fn patch_sink(&self, act: &Act, id: Uuid, patch: SinkPatch) -> Result<Sink> {
        let mut tx = self.store.write().await?;
        let before = lock(&mut tx, id).await?;
        let row = self.patched_sink(&before, &patch)?;
        if row == before {
            return seen(&mut tx, row, act.at).await;
        }
        let row = SinkRow { updated_at: act.at.cast_signed(), ..row };
        table::update(&mut tx, &row).await.map_err(not_stored)?;
        let mut after = for_audit(&row);
        if patch.secret.is_some() {
            after["has_new_secret"] = true.into();
        }
        record(&mut tx, act, "sink.update", id, Some(for_audit(&before)), Some(after)).await?;
        let sink = seen(&mut tx, row, act.at).await?;
        tx.commit().await?;
        Ok(sink)
    }

    /// With its dead letters.
    pub async fn delete_sink(&self, act: &Act, id: Uuid) -> Result<()> {
        let mut tx = self.store.write().await?;
        let row = lock(&mut tx, id).await?;
        let mut before = for_audit(&row);
        before["dead_letters"] = dead_letters::count(&mut tx, id).await?.into();
        table::delete(&mut tx, id).await?;
        record(&mut tx, act, "sink.delete", id, Some(before), None).await?;
        Ok(tx.commit().await?)
    }

    /// Delivers a made-up event, active or not; what the sink has had does not change.
    pub async fn test_sink(&self, act: &Act, id: Uuid) -> Result<Tested> {
        let row = table::get(&mut *self.store.read().await?, id).await?.ok_or(Error::NotFound("sink"))?;
        let event = made_up::event(act.at)?;
        let started = clock::start();
        let outcome = attempt(&row, &self.vault, &self.surroundings, event).await;
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let error = outcome.err().map(|error| error.to_string());
        let tested = Tested { is_delivered: error.is_none(), took_ms, error };
        let mut tx = self.store.write().await?;
        let after = json!({ "is_delivered": tested.is_delivered, "error": tested.error });
        record(&mut tx, act, "sink.test", id, None, Some(after)).await?;
        tx.commit().await?;
        Ok(tested)
    }
}

/// The sink, held until the transaction ends.
async fn lock(conn: &mut Connection, id: Uuid) -> Result<SinkRow> {
    table::lock(conn, id).await?.ok_or(Error::NotFound("sink"))
}

fn not_stored(error: store::Error) -> Error {
    if is_duplicate(&error, "sinks", "name") {
        Error::Conflict("there is a sink of this name".to_owned())
    } else {
        error.into()
    }
}

async fn seen(conn: &mut Connection, row: SinkRow, now: UnixMs) -> Result<Sink> {
    let lag = Lag::at(conn, row.position).await?;
    let dead_letters = dead_letters::count(conn, row.id).await?.cast_unsigned();
    Ok(Sink {
        id: row.id,
        settings: serde_json::from_str(&row.settings)?,
        has_secret: row.secret.is_some(),
        is_active: row.is_active,
        batch_size: row.batch_size.cast_unsigned(),
        timeout_seconds: row.timeout_seconds.cast_unsigned(),
        state: State {
            position: row.position.cast_unsigned(),
            lag_events: lag.events,
            lag_seconds: lag.oldest_ended_at.map_or(0, |ended| now.saturating_sub(ended) / 1000),
            delivered: row.delivered.cast_unsigned(),
            skipped: row.skipped.cast_unsigned(),
            dead_letters,
            failures: row.failures.cast_unsigned(),
            error: row.error,
            failed_at: row.failed_at.map(i64::cast_unsigned),
            delivered_at: row.delivered_at.map(i64::cast_unsigned),
        },
        name: row.name,
        kind: row.kind,
        created_at: row.created_at.cast_unsigned(),
        updated_at: row.updated_at.cast_unsigned(),
    })
}

async fn record(
    conn: &mut Connection,
    act: &Act,
    action: &'static str,
    id: Uuid,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let change = Change { action, resource_id: id.to_string(), project_id: None, before, after };
    audit::record(conn, act, change).await
}

fn for_audit(row: &SinkRow) -> Value {
    json!({
        "name": row.name,
        "kind": row.kind,
        "settings": serde_json::from_str::<Value>(&row.settings).unwrap_or_default(),
        "has_secret": row.secret.is_some(),
        "is_active": row.is_active,
        "batch_size": row.batch_size,
        "timeout_seconds": row.timeout_seconds,
    })
}
