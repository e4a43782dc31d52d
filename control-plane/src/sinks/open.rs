//! A sink as the database has it, made ready to deliver.

use super::Sink;
use super::kind::{Kind, Opening, Surroundings};
use crate::secret::Secret;
use crate::store::sinks::SinkRow;
use crate::vault::{Place, Vault, VaultError};
use std::sync::Arc;
use uuid::Uuid;

/// What a sink's secret is bound to: it opens for this sink only.
pub fn place(id: Uuid, kind: &str) -> Place<'_> {
    Place { project_id: Uuid::nil(), credential_id: id, provider: kind, origin: "sink" }
}

/// Says in words why it cannot be opened.
pub fn open(row: &SinkRow, vault: &Vault, surroundings: &Surroundings) -> Result<Arc<dyn Sink>, String> {
    let kind = Kind::find(&row.kind).ok_or_else(|| format!("there is no kind of sink `{}`", row.kind))?;
    let settings = serde_json::from_str(&row.settings).map_err(|error| format!("settings: {error}"))?;
    let secret = match &row.secret {
        Some(sealed) => Some(secret(row, sealed, vault).map_err(|error| format!("secret: {error}"))?),
        None => None,
    };
    (kind.open)(Opening { settings: &settings, secret: secret.as_ref(), surroundings })
}

fn secret(row: &SinkRow, sealed: &str, vault: &Vault) -> Result<Secret, VaultError> {
    let secret = vault.open(sealed, place(row.id, &row.kind))?;
    Ok(Secret::from(secret.as_str().to_owned()))
}
