//! Rules and transactions. Each change is one transaction: the change itself,
//! its audit record, and the outbox row by which the edge will learn of it.
//! Then the publisher is woken.

pub mod audit;
pub mod built_in;
pub mod built_in_prices;
pub mod credentials;
pub mod dead_letters;
pub mod error;
pub mod events;
pub mod page;
pub mod policies;
pub mod policy_check;
pub mod prices;
pub mod projects;
pub mod providers;
pub mod rotation;
pub mod routes;
pub mod sinks;
pub mod tokens;
pub mod upstream;
pub mod usage;

pub use error::Error;

use crate::sinks::kind::Surroundings;
use crate::snapshot::SnapshotHandle;
use crate::store::{Store, Tx};
use crate::vault::Vault;
use shared::id::UnixMs;
use shared::token::TagKeys;
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

pub type Result<T> = std::result::Result<T, Error>;

/// What rules and transactions work with.
#[derive(Clone)]
pub struct Domain {
    pub store: Store,
    pub snapshot: SnapshotHandle,
    pub vault: Arc<Vault>,
    pub tags: TagKeys,
    /// `ALLOW_PRIVATE_UPSTREAMS`
    pub allow_private_upstreams: bool,
    /// What the operator lets sinks do.
    pub surroundings: Arc<Surroundings>,
}

/// Who acts, when, and from where: what an audit record says of any change.
#[derive(Clone, Debug)]
pub struct Act {
    pub actor: String,
    pub at: UnixMs,
    pub client: Option<IpAddr>,
    pub request_id: Option<Uuid>,
}

impl Act {
    /// What the control plane does of its own accord.
    pub fn system(at: UnixMs) -> Self {
        Self { actor: "system".to_owned(), at, client: None, request_id: None }
    }
}

impl std::fmt::Debug for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Domain").field("vault", &self.vault).finish_non_exhaustive()
    }
}

impl Domain {
    /// Ends a transaction that wrote the outbox, and wakes the publisher.
    async fn commit(&self, tx: Tx) -> Result<()> {
        tx.commit().await?;
        self.snapshot.changed();
        Ok(())
    }
}

/// A name without surrounding space, 1 to 200 characters, none of them control characters.
fn checked_name(field: &'static str, name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Error::invalid(field, "must not be empty"));
    }
    checked_text(field, name)
}

/// A text without surrounding space, at most 200 characters, none of them control characters.
fn checked_text(field: &'static str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().count() > 200 {
        return Err(Error::invalid(field, "has at most 200 characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::invalid(field, "has no control characters"));
    }
    Ok(text.to_owned())
}

fn checked_range(field: &'static str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<i64> {
    if !range.contains(&value) {
        return Err(Error::invalid(field, format!("must be from {} to {}", range.start(), range.end())));
    }
    i64::try_from(value).map_err(|_| Error::invalid(field, "is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(checked_name("name", " a b ").unwrap(), "a b");
        assert_eq!(checked_name("name", &"ü".repeat(200)).unwrap().chars().count(), 200);
        for bad in ["", "  ", "a\nb", &"a".repeat(201), &"a".repeat(10_000)] {
            assert!(matches!(checked_name("name", bad), Err(Error::Invalid { field: "name", .. })), "{bad}");
        }
    }
}
