//! Provider keys. The key itself is sealed on arrival and never shown again.

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result, checked_range, checked_text, providers};
use crate::chance;
use crate::secret::Secret;
use crate::store::credentials::CredentialRow;
use crate::store::{Connection, Tx, credentials as table, outbox, projects as projects_table};
use crate::vault::Place;
use serde_json::{Value, json};
use shared::id::{self, UnixMs};
use shared::provider::Provider;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: Uuid,
    pub provider: String,
    pub label: String,
    /// The last 4 characters of the key.
    pub hint: String,
    pub weight: u32,
    pub priority: u32,
    pub is_active: bool,
    pub created_at: UnixMs,
}

#[derive(Debug)]
pub struct NewCredential {
    pub provider: String,
    pub label: String,
    pub api_key: Secret,
    pub weight: u64,
    pub priority: u64,
}

/// What is given is changed.
#[derive(Debug, Default)]
pub struct CredentialPatch {
    pub label: Option<String>,
    pub api_key: Option<Secret>,
    pub weight: Option<u64>,
    pub priority: Option<u64>,
    pub is_active: Option<bool>,
}

impl Domain {
    pub async fn create_credential(
        &self,
        act: &Act,
        project_id: Uuid,
        new: NewCredential,
    ) -> Result<Credential> {
        let hint = hint(&new.api_key)?;
        let label = checked_text("label", &new.label)?;
        let (weight, priority) = (checked_weight(new.weight)?, checked_priority(new.priority)?);
        let mut tx = self.store.write().await?;
        projects_table::get(&mut tx, project_id).await?.ok_or(Error::NotFound("project"))?;
        let provider = lock_provider(&mut tx, &new.provider).await?;
        let id = id::new(act.at, &chance::bytes()?);
        let origin = provider.origin();
        let place = Place { project_id, credential_id: id, provider: &provider.name, origin };
        let keys = self.vault.seal(new.api_key.reveal(), place)?;
        let row = CredentialRow {
            id,
            project_id,
            provider: provider.name.clone(),
            label,
            hint,
            weight,
            priority,
            is_active: true,
            encrypted: keys.encrypted,
            sealed: keys.sealed,
            origin: origin.to_owned(),
            created_at: act.at.cast_signed(),
            updated_at: act.at.cast_signed(),
        };
        table::insert(&mut tx, &row).await?;
        self.finish(tx, act, "credential.create", None, Some(&row)).await?;
        row.try_into()
    }

    pub async fn list_credentials(&self, project_id: Uuid, page: &PageRequest) -> Result<Page<Credential>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        projects_table::get(&mut tx, project_id).await?.ok_or(Error::NotFound("project"))?;
        let rows = table::list(&mut tx, project_id, before, rows).await?;
        page.page(rows, |row| row.id.as_bytes().to_vec(), Credential::try_from)
    }

    pub async fn patch_credential(
        &self,
        act: &Act,
        project_id: Uuid,
        id: Uuid,
        patch: CredentialPatch,
    ) -> Result<Credential> {
        let mut tx = self.store.write().await?;
        // Whose it is never changes; the provider is held first, as everywhere.
        let provider = get(&mut tx, project_id, id).await?.provider;
        let provider = lock_provider(&mut tx, &provider).await?;
        let before = lock(&mut tx, project_id, id).await?;
        let mut row = with_plain_fields(before.clone(), &patch)?;
        if let Some(key) = &patch.api_key {
            row.hint = hint(key)?;
            self.seal_again(&mut row, key.reveal(), provider.origin())?;
        } else if row.is_active && row.origin != provider.origin() {
            // Confirmed for the provider's present origin.
            let key = self.vault.open(&row.encrypted, place(&row, &row.origin))?;
            self.seal_again(&mut row, &key, provider.origin())?;
        }
        if row == before {
            return row.try_into();
        }
        row.updated_at = act.at.cast_signed();
        table::update(&mut tx, &row).await?;
        self.finish(tx, act, "credential.update", Some(&before), Some(&row)).await?;
        row.try_into()
    }

    pub async fn delete_credential(&self, act: &Act, project_id: Uuid, id: Uuid) -> Result<()> {
        let mut tx = self.store.write().await?;
        let before = lock(&mut tx, project_id, id).await?;
        table::delete(&mut tx, id).await?;
        self.finish(tx, act, "credential.delete", Some(&before), None).await
    }

    fn seal_again(&self, row: &mut CredentialRow, key: &str, origin: &str) -> Result<()> {
        let keys = self.vault.seal(key, place(row, origin))?;
        (row.encrypted, row.sealed, row.origin) = (keys.encrypted, keys.sealed, origin.to_owned());
        Ok(())
    }

    async fn finish(
        &self,
        mut tx: Tx,
        act: &Act,
        action: &'static str,
        before: Option<&CredentialRow>,
        after: Option<&CredentialRow>,
    ) -> Result<()> {
        if let Some(row) = after.or(before) {
            record(&mut tx, act, action, before, after).await?;
            outbox::project_changed(&mut tx, row.project_id, act.at).await?;
        }
        self.commit(tx).await
    }
}

/// Deactivates the credentials that are sealed for another origin than the
/// provider now has, and returns how many.
pub(super) async fn deactivate_elsewhere(
    conn: &mut Connection,
    act: &Act,
    provider: &Provider,
) -> Result<u64> {
    let rows = table::deactivate_elsewhere(conn, &provider.name, provider.origin(), act.at).await?;
    let mut projects: Vec<Uuid> = rows.iter().map(|row| row.project_id).collect();
    projects.sort_unstable();
    projects.dedup();
    for row in &rows {
        let before = CredentialRow { is_active: true, ..row.clone() };
        record(conn, act, "credential.deactivate", Some(&before), Some(row)).await?;
    }
    for project in projects {
        outbox::project_changed(conn, project, act.at).await?;
    }
    Ok(rows.len() as u64)
}

async fn get(conn: &mut Connection, project_id: Uuid, id: Uuid) -> Result<CredentialRow> {
    table::get(conn, project_id, id).await?.ok_or(Error::NotFound("credential"))
}

/// The credential, held until the transaction ends.
async fn lock(conn: &mut Connection, project_id: Uuid, id: Uuid) -> Result<CredentialRow> {
    table::lock(conn, project_id, id).await?.ok_or(Error::NotFound("credential"))
}

/// The provider, held until the transaction ends: a credential is sealed for
/// its origin, which must not change meanwhile.
async fn lock_provider(conn: &mut Connection, name: &str) -> Result<Provider> {
    let found = providers::lock(conn, name).await?;
    found.ok_or_else(|| Error::invalid("provider", "there is no provider of this name"))
}

fn place<'a>(row: &'a CredentialRow, origin: &'a str) -> Place<'a> {
    Place { project_id: row.project_id, credential_id: row.id, provider: &row.provider, origin }
}

fn with_plain_fields(mut row: CredentialRow, patch: &CredentialPatch) -> Result<CredentialRow> {
    if let Some(label) = &patch.label {
        row.label = checked_text("label", label)?;
    }
    if let Some(weight) = patch.weight {
        row.weight = checked_weight(weight)?;
    }
    if let Some(priority) = patch.priority {
        row.priority = checked_priority(priority)?;
    }
    row.is_active = patch.is_active.unwrap_or(row.is_active);
    Ok(row)
}

/// The last 4 characters of a key that is fit for a header.
fn hint(key: &Secret) -> Result<String> {
    let key = key.reveal();
    if !(8..=4096).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid("api_key", "must be 8 to 4096 printable ASCII characters without spaces"));
    }
    Ok(key[key.len() - 4..].to_owned())
}

fn checked_weight(weight: u64) -> Result<i64> {
    checked_range("weight", weight, 1..=1000)
}

fn checked_priority(priority: u64) -> Result<i64> {
    checked_range("priority", priority, 0..=1000)
}

async fn record(
    conn: &mut Connection,
    act: &Act,
    action: &'static str,
    before: Option<&CredentialRow>,
    after: Option<&CredentialRow>,
) -> Result<()> {
    let Some(row) = after.or(before) else { return Ok(()) };
    let change = Change {
        action,
        resource_id: row.id.to_string(),
        project_id: Some(row.project_id),
        before: before.map(for_audit),
        after: after.map(for_audit),
    };
    audit::record(conn, act, change).await
}

fn for_audit(row: &CredentialRow) -> Value {
    json!({
        "provider": row.provider,
        "origin": row.origin,
        "label": row.label,
        "hint": row.hint,
        "weight": row.weight,
        "priority": row.priority,
        "is_active": row.is_active,
    })
}

impl TryFrom<CredentialRow> for Credential {
    type Error = Error;

    fn try_from(row: CredentialRow) -> Result<Self> {
        let small = |number: i64| {
            u32::try_from(number).map_err(|_| Error::Internal(format!("credential {}: {number}", row.id)))
        };
        Ok(Self {
            id: row.id,
            weight: small(row.weight)?,
            priority: small(row.priority)?,
            provider: row.provider,
            label: row.label,
            hint: row.hint,
            is_active: row.is_active,
            created_at: row.created_at.cast_unsigned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_the_end_of_a_usable_key() {
        assert_eq!(hint(&Secret::from("sk-12345678".to_owned())).unwrap(), "5678");
        for bad in ["short12", "has a space", "Ünicode-key", "new\nline-key", &"k".repeat(4097)] {
            assert!(hint(&Secret::from((*bad).to_owned())).is_err());
        }
    }
}
