//! What a sink may be. It is tried by opening it, without calling anybody.

use super::{NewSink, SinkPatch};
use crate::chance;
use crate::domain::{Act, Domain, Error, Result, checked_range};
use crate::secret::Secret;
use crate::sinks::kind::{KINDS, Kind, Secrecy};
use crate::sinks::open::{open, place};
use crate::store::sinks::SinkRow;
use serde_json::{Map, Value};
use shared::id;
use std::collections::BTreeMap;
use url::{Origin, Url};
use uuid::Uuid;

const LONGEST_SECRET: usize = 4096;

impl Domain {
    /// Without its position.
    pub(super) fn new_sink(&self, act: &Act, new: NewSink) -> Result<SinkRow> {
        let kind = kind(&new.kind)?;
        let id = id::new(act.at, &chance::bytes()?);
        let batch_size = new.batch_size.unwrap_or(kind.batch_size.into());
        let row = SinkRow {
            name: checked_name(new.name)?,
            kind: kind.name.to_owned(),
            settings: Value::from(new.settings).to_string(),
            secret: new.secret.map(|secret| self.seal_secret(id, kind, &secret)).transpose()?,
            is_active: new.is_active,
            batch_size: checked_batch_size(batch_size, kind)?,
            timeout_seconds: checked_timeout(new.timeout_seconds)?,
            ..SinkRow::new(id, act.at.cast_signed())
        };
        self.require_that_it_opens(&row)?;
        Ok(row)
    }

    pub(super) fn patched_sink(&self, before: &SinkRow, patch: &SinkPatch) -> Result<SinkRow> {
        let kind = kind(&before.kind)?;
        let mut row = before.clone();
        if let Some(name) = &patch.name {
            row.name = checked_name(name.clone())?;
        }
        if let Some(settings) = &patch.settings {
            row.settings = Value::from(settings.clone()).to_string();
            if before.secret.is_some() && patch.secret.is_none() {
                require_same_origins(&before.settings, settings)?;
            }
        }
        if let Some(secret) = &patch.secret {
            row.secret = Some(self.seal_secret(before.id, kind, secret)?);
        }
        if let Some(batch_size) = patch.batch_size {
            row.batch_size = checked_batch_size(batch_size, kind)?;
        }
        if let Some(timeout) = patch.timeout_seconds {
            row.timeout_seconds = checked_timeout(timeout)?;
        }
        row.is_active = patch.is_active.unwrap_or(row.is_active);
        // One that no longer opens can still be renamed and deactivated.
        if patch.settings.is_some() || patch.secret.is_some() || (row.is_active && !before.is_active) {
            self.require_that_it_opens(&row)?;
        }
        Ok(row)
    }

    fn seal_secret(&self, id: Uuid, kind: Kind, secret: &Secret) -> Result<String> {
        if kind.secret == Secrecy::None {
            return Err(Error::invalid("secret", format!("a sink of kind `{}` has none", kind.name)));
        }
        if secret.reveal().len() > LONGEST_SECRET {
            return Err(Error::invalid("secret", "has at most 4096 characters"));
        }
        Ok(self.vault.seal_at_rest(secret.reveal(), place(id, kind.name))?)
    }

    fn require_that_it_opens(&self, row: &SinkRow) -> Result<()> {
        open(row, &self.vault, &self.surroundings).map(drop).map_err(|reason| {
            match reason.strip_prefix("secret: ") {
                Some(reason) => Error::invalid("secret", reason.to_owned()),
                None => Error::invalid("settings", reason),
            }
        })
    }
}

fn kind(name: &str) -> Result<Kind> {
    let kinds = || KINDS.map(|kind| format!("`{}`", kind.name)).join(", ");
    Kind::find(name).ok_or_else(|| Error::invalid("kind", format!("must be one of {}", kinds())))
}

fn checked_name(name: String) -> Result<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(is_plain) {
        return Err(Error::invalid("name", "must be 1 to 64 letters, digits, hyphens, dots or underscores"));
    }
    Ok(name)
}

fn checked_batch_size(batch_size: u64, kind: Kind) -> Result<i64> {
    checked_range("batch_size", batch_size, 1..=kind.max_batch_size.into())
}

fn checked_timeout(seconds: u64) -> Result<i64> {
    checked_range("timeout_seconds", seconds, 1..=300)
}

/// A secret is for whom it was given, and goes nowhere else.
fn require_same_origins(before: &str, after: &Map<String, Value>) -> Result<()> {
    let before: Map<String, Value> = serde_json::from_str(before)?;
    if origins(&before) == origins(after) {
        return Ok(());
    }
    Err(Error::invalid(
        "secret",
        "must be given too, for `settings` lead to another host than the one it is for",
    ))
}

/// Of the settings that are URLs.
fn origins(settings: &Map<String, Value>) -> BTreeMap<&str, Origin> {
    let urls = settings.iter().filter_map(|(name, value)| Some((name, Url::parse(value.as_str()?).ok()?)));
    urls.map(|(name, url)| (name.as_str(), url.origin())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn another_path_is_the_same_host_and_another_port_is_not() {
        let before = json!({ "url": "https://a.example/x" }).to_string();
        for same in
            [json!({ "url": "HTTPS://A.example:443/y" }), json!({ "url": "https://a.example", "n": 1 })]
        {
            assert!(require_same_origins(&before, &settings(same)).is_ok());
        }
        for other in [
            json!({ "url": "https://b.example/x" }),
            json!({ "url": "https://a.example:8443/x" }),
            json!({ "url": "https://a.example.b.example/x" }),
            json!({ "url": null }),
            json!({}),
        ] {
            assert!(require_same_origins(&before, &settings(other)).is_err());
        }
        assert!(require_same_origins("{}", &settings(json!({ "base_url": "https://b.example" }))).is_err());
    }
}
