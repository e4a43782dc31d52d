//! Rotation of keys: which stored things still need an old one, and credentials
//! and sinks' secrets sealed anew with the first key of each list.

mod sinks;
mod standing;

pub use sinks::{ResealedSinks, StuckSink};
pub use standing::{InKv, KeyStanding, KindStanding, Listed, Rank, Tally, Verdict};

use super::audit::{self, Change};
use super::{Act, Error, Result};
use crate::store::credentials::CredentialRow;
use crate::store::{Connection, Store, credentials as table, outbox};
use crate::vault::{Place, SealedTwice, Source, Vault, VaultError};
use serde::Serialize;
use serde_json::{Value, json};
use shared::id::UnixMs;
use shared::sealed::{SealError, Sealed};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const PAGE: i64 = 500;
/// After so many it is looked whether the publisher keeps up.
const BETWEEN_LOOKS: usize = 50;
const LOOK: Duration = Duration::from_millis(250);
/// The least rest after a transaction. As long as one took, the next waits: on
/// `SQLite` other processes have no queue to stand in, only luck.
const REST: Duration = Duration::from_millis(1);

/// How fast credentials are sealed anew.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// About as much as the manifest's delta may hold of it, in bytes. Far
    /// beyond, objects would have to be named before they have settled.
    pub delta_bytes: u64,
    /// How long the publisher may take to compact that.
    pub patience: Duration,
}

/// What became of the credentials that other keys than the first had sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resealed {
    pub resealed: u64,
    /// Of these, those that only the edge's seal gave back: the other's key is lost.
    pub recovered: u64,
    /// Those that no listed key opens.
    pub stuck: Vec<Stuck>,
    /// Those that a process with another list has sealed meanwhile.
    pub left: u64,
    /// The same of sinks.
    pub sinks: ResealedSinks,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stuck {
    pub credential_id: Uuid,
    pub project_id: Uuid,
    pub provider: String,
    pub is_active: bool,
    pub reason: String,
}

enum Step {
    Sealed(Source),
    Stuck(Stuck),
    /// Deleted, or sealed by another process, since it was listed.
    Nothing,
}

/// Seals every credential and sink's secret anew that the first keys have not sealed,
/// active or not, each in a transaction of its own: killed at any point, the next run
/// goes on where this one stopped. `progress` hears how many
/// credentials are done, of how many.
pub async fn reseal(
    store: &Store,
    vault: &Vault,
    within: Pace,
    clock: fn() -> UnixMs,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Resealed> {
    let total = count_left(store, vault).await?;
    let mut outcome = Resealed { sinks: sinks::reseal(store, vault, clock).await?, ..Resealed::default() };
    let (mut after, mut done) = ((Uuid::nil(), Uuid::nil()), 0);
    loop {
        let batch = page(store, vault, after).await?;
        let Some(&last) = batch.last() else { break };
        after = last;
        for some in batch.chunks(BETWEEN_LOOKS) {
            until_room(store, within).await?;
            for &(project_id, id) in some {
                let began = Instant::now();
                match reseal_one(store, vault, project_id, id, clock()).await? {
                    Step::Sealed(source) => {
                        outcome.resealed += 1;
                        outcome.recovered += u64::from(source == Source::Edge);
                    }
                    Step::Stuck(stuck) => outcome.stuck.push(stuck),
                    Step::Nothing => {}
                }
                done += 1;
                progress(done, total.max(done));
                tokio::time::sleep(began.elapsed().max(REST)).await;
            }
        }
    }
    outcome.left = count_left(store, vault).await?.saturating_sub(outcome.stuck.len() as u64);
    Ok(outcome)
}

/// Project by project, so that as few as possible are in the delta at once.
async fn page(store: &Store, vault: &Vault, after: (Uuid, Uuid)) -> Result<Vec<(Uuid, Uuid)>> {
    let [at_rest, edge] = first_ids(vault);
    let mut tx = store.read().await?;
    Ok(table::sealed_otherwise(&mut tx, &at_rest, &edge, after, PAGE).await?)
}

async fn count_left(store: &Store, vault: &Vault) -> Result<u64> {
    let [at_rest, edge] = first_ids(vault);
    let mut tx = store.read().await?;
    Ok(table::count_sealed_otherwise(&mut tx, &at_rest, &edge).await?.cast_unsigned())
}

fn first_ids(vault: &Vault) -> [String; 2] {
    [&vault.at_rest, &vault.edge].map(|keys| keys.primary().id().to_string())
}

/// Waits while the delta is long, so that compactions can keep up.
async fn until_room(store: &Store, pace: Pace) -> Result<()> {
    let began = Instant::now();
    loop {
        let mut tx = store.read().await?;
        let bytes = table::bytes_in_delta(&mut tx).await?.cast_unsigned();
        drop(tx);
        if bytes <= pace.delta_bytes {
            return Ok(());
        }
        if began.elapsed() > pace.patience {
            return Err(Error::Conflict(format!(
                "{bytes} bytes of changed projects wait for a compaction of the snapshot, and none was made \
                 in {:?}; is a control plane running, and does it reach KV?",
                pace.patience
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn reseal_one(store: &Store, vault: &Vault, project_id: Uuid, id: Uuid, now: UnixMs) -> Result<Step> {
    let mut tx = store.write().await?;
    let Some(before) = table::lock(&mut tx, project_id, id).await? else { return Ok(Step::Nothing) };
    let seals = SealedTwice { encrypted: before.encrypted.clone(), sealed: before.sealed.clone() };
    if vault.is_current(&seals) {
        return Ok(Step::Nothing);
    }
    let place = Place { project_id, credential_id: id, provider: &before.provider, origin: &before.origin };
    let (seals, source) = match vault.renew(&seals, place) {
        Ok(renewed) => renewed,
        Err(VaultError::Seal(error)) => return Ok(Step::Stuck(stuck(&before, error))),
        Err(error @ VaultError::Random(_)) => return Err(error.into()),
    };
    let SealedTwice { encrypted, sealed } = seals;
    let after = CredentialRow { encrypted, sealed, updated_at: now.cast_signed(), ..before.clone() };
    table::update(&mut tx, &after).await?;
    record(&mut tx, &before, &after, now).await?;
    if after.sealed != before.sealed {
        outbox::project_changed(&mut tx, project_id, now).await?;
    }
    tx.commit().await?;
    Ok(Step::Sealed(source))
}

async fn record(
    conn: &mut Connection,
    before: &CredentialRow,
    after: &CredentialRow,
    now: UnixMs,
) -> Result<()> {
    let act = Act { actor: "command-line".to_owned(), ..Act::system(now) };
    let change = Change {
        action: "credential.reseal",
        resource_id: before.id.to_string(),
        project_id: Some(before.project_id),
        before: Some(for_audit(before)),
        after: Some(for_audit(after)),
    };
    audit::record(conn, &act, change).await
}

/// Ids of keys tell nothing of them.
fn for_audit(row: &CredentialRow) -> Value {
    json!({ "encryption_key": key_id(&row.encrypted), "edge_credential_key": key_id(&row.sealed) })
}

fn key_id(text: &str) -> Option<String> {
    Sealed::from(text.to_owned()).key_id().map(|id| id.to_string())
}

fn stuck(row: &CredentialRow, error: SealError) -> Stuck {
    let reason = match error {
        SealError::UnknownKey(id) => format!(
            "it was sealed with ENCRYPTION_KEY {id}, which is not listed, and no listed EDGE_CREDENTIAL_KEY \
             opens its other seal"
        ),
        SealError::DoesNotOpen => {
            "it does not open: it was altered, or belongs to another DEPLOYMENT_ID".to_owned()
        }
        SealError::Malformed | SealError::Seal => error.to_string(),
    };
    Stuck {
        credential_id: row.id,
        project_id: row.project_id,
        provider: row.provider.clone(),
        is_active: row.is_active,
        reason,
    }
}
