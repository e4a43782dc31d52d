//! Withering tokens. The plain text of one exists only in [`NewlyMade`].

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::policies::{self, Profile};
use super::projects::{self, Project};
use super::{Act, Domain, Error, Result, checked_name};
use crate::chance;
use crate::store::tokens::TokenRow;
use crate::store::{Connection, Tx, outbox, tokens as table};
use serde_json::{Map, Value, json};
use shared::id::{self, UnixMs};
use shared::policy::{Carried, Policy};
use shared::snapshot::record::TokenRecord;
use shared::token::Token as Secret;
use uuid::Uuid;
use zeroize::Zeroizing;

const DEFAULT_LIFETIME_MS: UnixMs = 24 * 60 * 60 * 1000;
/// A hundred years; beyond it, say `null`.
const LONGEST_LIFETIME_S: u64 = 100 * 365 * 24 * 60 * 60;
/// The last moment that RFC 3339 can write: 9999-12-31T23:59:59.999Z.
const LATEST_EXPIRY_MS: UnixMs = 253_402_300_799_999;
const LONGEST_METADATA: usize = 4 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub id: Uuid,
    pub project_id: Uuid,
    pub name: String,
    /// `None` = never.
    pub expires_at: Option<UnixMs>,
    /// Revoked by itself or with all of its project.
    pub revoked_at: Option<UnixMs>,
    /// The time in the id.
    pub issued_at: UnixMs,
    pub metadata: Option<Map<String, Value>>,
    pub policy: Option<Carried>,
    /// As far as its events were counted.
    pub request_count: u64,
    pub last_used_at: Option<UnixMs>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// 24 hours.
    Default,
    InSeconds(u64),
    At(UnixMs),
    Never,
}

#[derive(Debug)]
pub struct NewToken {
    pub project_id: Uuid,
    pub name: String,
    pub expiry: Expiry,
    pub metadata: Option<Map<String, Value>>,
    pub policy: Option<Policy>,
}

/// What is given is changed; an inner `None` clears.
#[derive(Debug, Default)]
pub struct TokenPatch {
    pub name: Option<String>,
    pub expires_at: Option<Option<UnixMs>>,
    pub metadata: Option<Option<Map<String, Value>>>,
    pub policy: Option<Option<Policy>>,
}

#[derive(Debug)]
pub struct NewlyMade {
    pub token: Token,
    /// Show it once, to who asked for it.
    pub plain_text: Zeroizing<String>,
    /// Whether KV has it, so that it works at once everywhere.
    pub is_replicated: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub project_id: Option<Uuid>,
    pub active_only: bool,
}

impl Token {
    pub fn is_active(&self, now: UnixMs) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }
}

impl Domain {
    pub async fn create_token(&self, act: &Act, new: NewToken) -> Result<NewlyMade> {
        let name = checked_name("name", &new.name)?;
        let expires_at = expiry(new.expiry, act.at)?;
        let metadata = metadata_text(new.metadata.as_ref())?;
        let policy = policies::checked(new.policy)?;
        let mut tx = self.store.write().await?;
        let project = Project::try_from(projects::lock(&mut tx, new.project_id).await?)?;
        if !project.is_active {
            return Err(Error::Conflict("the project is not active; activate it first".to_owned()));
        }
        // Never below the line of the last bulk revocation, whatever the clock says.
        let issued_at = act.at.max(project.tokens_valid_from);
        let secret = Secret::new(id::new(issued_at, &chance::bytes()?), chance::bytes()?);
        let profile = take_profile(&mut tx, act, project.id, policy.as_deref(), expires_at).await?;
        let row = TokenRow {
            id: secret.id(),
            project_id: project.id,
            name,
            expires_at: expires_at.map(UnixMs::cast_signed),
            revoked_at: None,
            metadata,
            created_at: issued_at.cast_signed(),
            tag_key: Some(self.tags.primary_id().to_string()),
            profile_id: profile.as_ref().map(|profile| profile.id),
            policy,
            tokens_valid_from: project.tokens_valid_from.cast_signed(),
            request_count: 0,
            last_used_at: None,
        };
        table::insert(&mut tx, &row, &secret.secret_hash()).await?;
        let token = Token::try_from(row)?;
        record(&mut tx, act, "token.create", None, &token).await?;
        outbox::token_changed(&mut tx, token.id, act.at).await?;
        tell_profile(&mut tx, act, project.id, profile.as_ref()).await?;
        self.commit(tx).await?;
        let told = TokenRecord::new(token.id, &secret.secret_hash(), expires_at, project.number, false)
            .with_profile(profile.map(|profile| profile.number));
        let is_replicated = self.snapshot.announce(told, project.id).await;
        Ok(NewlyMade { token, plain_text: secret.reveal(&self.tags), is_replicated })
    }

    pub async fn get_token(&self, id: Uuid) -> Result<Token> {
        let mut tx = self.store.read().await?;
        get(&mut tx, id).await?.try_into()
    }

    pub async fn list_tokens(&self, filter: Filter, page: &PageRequest, now: UnixMs) -> Result<Page<Token>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let filter = table::Filter { project_id: filter.project_id, active_only: filter.active_only, now };
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, filter, before, rows).await?;
        page.page(rows, |row| row.id.as_bytes().to_vec(), Token::try_from)
    }

    pub async fn patch_token(&self, act: &Act, id: Uuid, patch: TokenPatch) -> Result<Token> {
        let TokenPatch { name, expires_at, metadata, policy } = patch;
        let name = name.map(|name| checked_name("name", &name)).transpose()?;
        let policy = policy.map(policies::checked).transpose()?;
        let mut tx = self.store.write().await?;
        // What a token needs of its project may change with these.
        if expires_at.is_some() || policy.is_some() {
            let project_id = get(&mut tx, id).await?.project_id;
            projects::lock(&mut tx, project_id).await?;
        }
        let mut row = lock(&mut tx, id).await?;
        let before = Token::try_from(row.clone())?;
        if let Some(name) = name {
            row.name = name;
        }
        if let Some(at) = expires_at {
            row.expires_at = expiry(at.map_or(Expiry::Never, Expiry::At), act.at)?.map(UnixMs::cast_signed);
        }
        if let Some(metadata) = metadata {
            row.metadata = metadata_text(metadata.as_ref())?;
        }
        if let Some(policy) = policy {
            row.policy = policy;
        }
        let after = Token::try_from(row.clone())?;
        if after == before {
            return Ok(before);
        }
        let mut profile = None;
        if after.expires_at != before.expires_at || after.policy != before.policy {
            let policy = row.policy.as_deref();
            profile = take_profile(&mut tx, act, row.project_id, policy, after.expires_at).await?;
            row.profile_id = profile.as_ref().map(|profile| profile.id);
        }
        write(&mut tx, act, "token.update", &before, &row).await?;
        tell_profile(&mut tx, act, row.project_id, profile.as_ref()).await?;
        self.commit(tx).await?;
        Ok(after)
    }

    /// Revokes a token; one that is revoked already stays as it is.
    pub async fn revoke_token(&self, act: &Act, id: Uuid) -> Result<()> {
        let mut tx = self.store.write().await?;
        let mut row = lock(&mut tx, id).await?;
        let before = Token::try_from(row.clone())?;
        if before.revoked_at.is_none() {
            row.revoked_at = Some(act.at.cast_signed());
            write(&mut tx, act, "token.revoke", &before, &row).await?;
            self.commit(tx).await?;
        }
        Ok(())
    }
}

/// Stores a changed token, and that it changed.
async fn write(tx: &mut Tx, act: &Act, action: &'static str, before: &Token, row: &TokenRow) -> Result<()> {
    table::update(tx, row).await?;
    record(tx, act, action, Some(before), &Token::try_from(row.clone())?).await?;
    outbox::token_changed(tx, row.id, act.at).await?;
    Ok(())
}

/// What a token with this policy needs of its project, which is held.
async fn take_profile(
    tx: &mut Tx,
    act: &Act,
    project_id: Uuid,
    policy: Option<&str>,
    expires_at: Option<UnixMs>,
) -> Result<Option<Profile>> {
    let Some(policy) = policy else { return Ok(None) };
    policies::take(tx, act, project_id, policy, expires_at).await.map(Some)
}

/// Once the token is stored: edges must know its profile when they know it.
async fn tell_profile(tx: &mut Tx, act: &Act, project_id: Uuid, profile: Option<&Profile>) -> Result<()> {
    if profile.is_some_and(|profile| profile.is_news) {
        policies::require_room(tx, act, project_id).await?;
        outbox::project_changed(tx, project_id, act.at).await?;
    }
    Ok(())
}

async fn get(conn: &mut Connection, id: Uuid) -> Result<TokenRow> {
    table::get(conn, id).await?.ok_or(Error::NotFound("token"))
}

/// The token, held until the transaction ends.
async fn lock(conn: &mut Connection, id: Uuid) -> Result<TokenRow> {
    table::lock(conn, id).await?.ok_or(Error::NotFound("token"))
}

fn expiry(expiry: Expiry, now: UnixMs) -> Result<Option<UnixMs>> {
    match expiry {
        Expiry::Default => Ok(Some(now + DEFAULT_LIFETIME_MS)),
        Expiry::InSeconds(0) => Err(Error::invalid("expires_in", "must be at least 1 second")),
        Expiry::InSeconds(seconds) if seconds > LONGEST_LIFETIME_S => Err(Error::invalid(
            "expires_in",
            "is more than 100 years; for a token that never expires, send \"expires_at\": null",
        )),
        Expiry::InSeconds(seconds) => Ok(Some(now + seconds * 1000)),
        Expiry::At(at) if at <= now => Err(Error::invalid("expires_at", "is in the past")),
        Expiry::At(at) if at > LATEST_EXPIRY_MS => Err(Error::invalid(
            "expires_at",
            "is after the year 9999; for a token that never expires, send null",
        )),
        Expiry::At(at) => Ok(Some(at)),
        Expiry::Never => Ok(None),
    }
}

fn metadata_text(metadata: Option<&Map<String, Value>>) -> Result<Option<String>> {
    let text = metadata.map(serde_json::to_string).transpose()?;
    if text.as_ref().is_some_and(|text| text.len() > LONGEST_METADATA) {
        return Err(Error::invalid("metadata", "is more than 4 KB of JSON"));
    }
    Ok(text)
}

async fn record(
    conn: &mut Connection,
    act: &Act,
    action: &'static str,
    before: Option<&Token>,
    after: &Token,
) -> Result<()> {
    let change = Change {
        action,
        resource_id: after.id.to_string(),
        project_id: Some(after.project_id),
        before: before.map(for_audit),
        after: Some(for_audit(after)),
    };
    audit::record(conn, act, change).await
}

fn for_audit(token: &Token) -> Value {
    json!({
        "name": token.name,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "metadata": token.metadata,
        "policy": token.policy,
    })
}

impl TryFrom<TokenRow> for Token {
    type Error = Error;

    fn try_from(row: TokenRow) -> Result<Self> {
        let revoked_with_all = (row.created_at < row.tokens_valid_from).then_some(row.tokens_valid_from);
        Ok(Self {
            id: row.id,
            project_id: row.project_id,
            name: row.name,
            expires_at: row.expires_at.map(i64::cast_unsigned),
            revoked_at: row.revoked_at.or(revoked_with_all).map(i64::cast_unsigned),
            issued_at: row.created_at.cast_unsigned(),
            metadata: row.metadata.map(|text| serde_json::from_str(&text)).transpose()?,
            policy: row.policy.as_deref().map(Carried::parse),
            request_count: row.request_count.cast_unsigned(),
            last_used_at: row.last_used_at.map(i64::cast_unsigned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries() {
        assert_eq!(expiry(Expiry::Default, 5).unwrap(), Some(86_400_005));
        assert_eq!(expiry(Expiry::InSeconds(1), 5).unwrap(), Some(1_005));
        assert_eq!(expiry(Expiry::Never, 5).unwrap(), None);
        assert_eq!(expiry(Expiry::At(6), 5).unwrap(), Some(6));
        for bad in [Expiry::InSeconds(0), Expiry::InSeconds(u64::MAX), Expiry::At(5), Expiry::At(0)] {
            assert!(matches!(expiry(bad, 5), Err(Error::Invalid { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_token_below_the_line_shows_as_revoked() {
        let row = |created_at, revoked_at| TokenRow {
            id: Uuid::nil(),
            project_id: Uuid::nil(),
            name: String::new(),
            expires_at: None,
            revoked_at,
            metadata: None,
            created_at,
            tag_key: None,
            profile_id: None,
            policy: None,
            tokens_valid_from: 10,
            request_count: 0,
            last_used_at: None,
        };
        assert_eq!(Token::try_from(row(9, None)).unwrap().revoked_at, Some(10));
        assert_eq!(Token::try_from(row(9, Some(3))).unwrap().revoked_at, Some(3));
        assert_eq!(Token::try_from(row(10, None)).unwrap().revoked_at, None);
    }
}
