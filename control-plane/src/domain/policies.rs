//! Policies of projects and tokens: checked, stored, and numbered for the edge.

use super::{Act, Error, Result};
use crate::chance;
use crate::store::Connection;
use crate::store::profiles::{self, ALWAYS, ProfileRow};
use shared::id::{self, UnixMs};
use shared::policy::Policy;
use shared::snapshot::Hash;
use shared::snapshot::record::ProfileNumber;
use uuid::Uuid;

/// How many different policies the valid tokens of a project may have: the edge
/// holds all of them with the project.
pub const MAX_PROFILES: i64 = 200;

/// Expiries are rounded up to it where they say until when a profile is needed,
/// so that of tokens made one after another few write it anew.
const HOUR_MS: UnixMs = 60 * 60 * 1000;

/// The policy that a token has, as its project knows it.
#[derive(Debug)]
pub(super) struct Profile {
    pub id: Uuid,
    pub number: ProfileNumber,
    /// Edges that know the project may not know it.
    pub is_news: bool,
}

/// As it is stored: always the same for the same policy, none for one that limits nothing.
pub(super) fn checked(policy: Option<Policy>) -> Result<Option<String>> {
    let Some(policy) = policy.filter(|policy| !policy.is_empty()) else { return Ok(None) };
    validate(&policy)?;
    Ok(Some(serde_json::to_string(&policy)?))
}

pub(super) fn validate(policy: &Policy) -> Result<()> {
    policy.validate().map_err(|error| {
        let dot = if error.field.is_empty() { "" } else { "." };
        Error::InvalidPolicy(format!("policy{dot}{error}"))
    })
}

/// The project's profile with this policy, for a token that ends at `expires_at`.
/// Whoever calls holds the project, and calls [`require_room`] once the token
/// is stored.
pub(super) async fn take(
    conn: &mut Connection,
    act: &Act,
    project_id: Uuid,
    policy: &str,
    expires_at: Option<UnixMs>,
) -> Result<Profile> {
    let hash = Hash::of(policy.as_bytes()).0;
    let used_until = expires_at.map_or(ALWAYS, hour_after);
    let row = match profiles::find(conn, project_id, &hash).await? {
        Some(row) if row.used_until >= used_until => row,
        Some(row) => {
            profiles::set_used_until(conn, row.id, used_until).await?;
            row
        }
        None => {
            let row = ProfileRow {
                id: id::new(act.at, &chance::bytes()?),
                project_id,
                number: 0,
                policy: policy.to_owned(),
                hash: hash.to_vec(),
                used_until,
                created_at: act.at.cast_signed(),
            };
            // Of a new one nobody knows.
            ProfileRow { used_until: 0, ..profiles::insert(conn, &row).await? }
        }
    };
    let number = ProfileNumber::try_from(row.number)
        .map_err(|_| Error::Internal(format!("profile number {} is out of range", row.number)))?;
    Ok(Profile { id: row.id, number, is_news: row.used_until <= act.at.cast_signed() })
}

/// Refuses a policy that is one too many.
pub(super) async fn require_room(conn: &mut Connection, act: &Act, project_id: Uuid) -> Result<()> {
    if profiles::count_used(conn, project_id, act.at).await? <= MAX_PROFILES {
        return Ok(());
    }
    profiles::release_unused(conn, project_id, act.at).await?;
    if profiles::count_used(conn, project_id, act.at).await? <= MAX_PROFILES {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "the project's valid tokens have {MAX_PROFILES} different policies already; share one among tokens, or \
         revoke some"
    )))
}

fn hour_after(at: UnixMs) -> i64 {
    at.checked_next_multiple_of(HOUR_MS).and_then(|at| i64::try_from(at).ok()).unwrap_or(ALWAYS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn stored(policy: Value) -> Result<Option<String>> {
        checked(Some(serde_json::from_value(policy).unwrap()))
    }

    #[test]
    fn one_that_limits_nothing_is_none() {
        assert_eq!(checked(None).unwrap(), None);
        assert_eq!(stored(json!({ "endpoints": null, "parameters": [] })).unwrap(), None);
        let nothing = stored(json!({ "endpoints": [] })).unwrap();
        assert_eq!(nothing.as_deref(), Some(r#"{"endpoints":[]}"#));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |value| stored(value).unwrap_err().to_string();
        assert!(message(json!({ "countries": ["DE", "de"] })).starts_with("policy.countries[1]: "));
        let rule = json!({ "endpoints": ["/**"], "path": "a", "deny": vec!["x".repeat(190); 9] });
        let message = message(json!({ "parameters": vec![rule; 10] }));
        assert!(message.starts_with("policy: it has "), "{message}");
    }

    #[test]
    fn hours_are_full() {
        assert_eq!(hour_after(1), 3_600_000);
        assert_eq!(hour_after(3_600_000), 3_600_000);
        assert_eq!(hour_after(UnixMs::MAX), ALWAYS);
    }
}
