//! Secrets of sinks, sealed anew with the first `ENCRYPTION_KEY`. The edge has none of them.

use super::key_id;
use crate::domain::audit::{self, Change};
use crate::domain::{Act, Result};
use crate::sinks::open::place;
use crate::store::Store;
use crate::store::sinks::{self as table, SinkRow};
use crate::vault::{Vault, VaultError};
use serde::Serialize;
use serde_json::json;
use shared::id::UnixMs;
use shared::sealed::SealError;
use uuid::Uuid;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ResealedSinks {
    pub resealed: u64,
    /// Those that no listed key opens.
    pub stuck: Vec<StuckSink>,
    /// Those that a process with another list has sealed meanwhile.
    pub left: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StuckSink {
    pub sink_id: Uuid,
    pub name: String,
    pub is_active: bool,
    pub reason: String,
}

enum Step {
    Sealed,
    Stuck(StuckSink),
    /// It has none, or another process has sealed it.
    Nothing,
}

/// Each in a transaction of its own.
pub(super) async fn reseal(store: &Store, vault: &Vault, clock: fn() -> UnixMs) -> Result<ResealedSinks> {
    let mut outcome = ResealedSinks::default();
    for row in table::all(&mut *store.read().await?).await? {
        match reseal_one(store, vault, row.id, clock()).await? {
            Step::Sealed => outcome.resealed += 1,
            Step::Stuck(stuck) => outcome.stuck.push(stuck),
            Step::Nothing => {}
        }
    }
    let rows = table::all(&mut *store.read().await?).await?;
    let others = rows.iter().filter(|row| old_secret(row, vault).is_some()).count() as u64;
    outcome.left = others.saturating_sub(outcome.stuck.len() as u64);
    Ok(outcome)
}

async fn reseal_one(store: &Store, vault: &Vault, id: Uuid, now: UnixMs) -> Result<Step> {
    let mut tx = store.write().await?;
    let Some(row) = table::lock(&mut tx, id).await? else { return Ok(Step::Nothing) };
    let Some(before) = old_secret(&row, vault) else { return Ok(Step::Nothing) };
    let after = match vault.renew_at_rest(before, place(id, &row.kind)) {
        Ok(after) => after,
        Err(VaultError::Seal(error)) => return Ok(Step::Stuck(stuck(&row, error))),
        Err(error @ VaultError::Random(_)) => return Err(error.into()),
    };
    table::reseal(&mut tx, id, &after).await?;
    let change = Change {
        action: "sink.reseal",
        resource_id: id.to_string(),
        project_id: None,
        before: Some(json!({ "encryption_key": key_id(before) })),
        after: Some(json!({ "encryption_key": key_id(&after) })),
    };
    let act = Act { actor: "command-line".to_owned(), ..Act::system(now) };
    audit::record(&mut tx, &act, change).await?;
    tx.commit().await?;
    Ok(Step::Sealed)
}

/// Unless the first key sealed it.
fn old_secret<'a>(row: &'a SinkRow, vault: &Vault) -> Option<&'a str> {
    row.secret.as_deref().filter(|secret| !vault.is_current_at_rest(secret))
}

fn stuck(row: &SinkRow, error: SealError) -> StuckSink {
    let reason = match error {
        SealError::UnknownKey(id) => {
            format!("its secret was sealed with ENCRYPTION_KEY {id}, which is not listed")
        }
        SealError::DoesNotOpen => {
            "its secret does not open: it was altered, or belongs to another DEPLOYMENT_ID".to_owned()
        }
        SealError::Malformed | SealError::Seal => format!("its secret: {error}"),
    };
    StuckSink { sink_id: row.id, name: row.name.clone(), is_active: row.is_active, reason }
}
