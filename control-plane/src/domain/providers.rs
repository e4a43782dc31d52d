//! Providers: where an API is, how it takes its key, what may be called.

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result, built_in, checked_range, credentials, policies, upstream};
use crate::store::providers::ProviderRow;
use crate::store::{
    Connection, credentials as credentials_table, outbox, projects, providers as table, routes,
};
use serde_json::Value;
use shared::header::{ACCOUNT_SELECTORS, CREDENTIALS, HOP_BY_HOP, METHOD_OVERRIDES};
use shared::id::UnixMs;
use shared::policy::{Carried, Policy};
use shared::provider::{Provider, Timeouts};

/// A provider with what only the control plane knows of it.
#[derive(Clone, Debug)]
pub struct StoredProvider {
    pub provider: Provider,
    pub is_built_in: bool,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

/// What putting a provider did.
#[derive(Debug)]
pub struct Put {
    pub stored: StoredProvider,
    pub is_new: bool,
    /// Credentials sealed for another origin, which must be confirmed now.
    pub credentials_deactivated: u64,
}

impl Domain {
    /// Adds the built-in providers that are missing. One that was changed stays changed.
    pub async fn seed_providers(&self, act: &Act) -> Result<()> {
        let mut tx = self.store.write().await?;
        let mut is_changed = false;
        for provider in built_in::providers() {
            let row = new_row(&provider, true, act.at)?;
            if table::insert_if_absent(&mut tx, &row).await? {
                is_changed = true;
                record(&mut tx, act, "provider.create", &provider.name, None, Some(&row)).await?;
            }
        }
        if is_changed {
            outbox::providers_changed(&mut tx, act.at).await?;
            self.commit(tx).await?;
        }
        Ok(())
    }

    pub async fn list_providers(&self, page: &PageRequest) -> Result<Page<StoredProvider>> {
        let (after, rows) = (page.after()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, &after, rows).await?;
        page.page(rows, |row| row.name.clone().into_bytes(), StoredProvider::try_from)
    }

    pub async fn get_provider(&self, name: &str) -> Result<StoredProvider> {
        let mut tx = self.store.read().await?;
        table::get(&mut tx, name).await?.ok_or(Error::NotFound("provider"))?.try_into()
    }

    /// Creates or replaces a provider. If its origin changes, its credentials
    /// are deactivated until each is confirmed: a key goes only where its owner
    /// has said.
    pub async fn put_provider(&self, act: &Act, provider: Provider) -> Result<Put> {
        let provider = checked(provider, self.allow_private_upstreams)?;
        let mut tx = self.store.write().await?;
        let (before, row) = store(&mut tx, act, &provider).await?;
        if let Some(before) = &before {
            require_same_api(&mut tx, before, &provider).await?;
        }
        let action = if before.is_none() { "provider.create" } else { "provider.update" };
        record(&mut tx, act, action, &provider.name, before.as_ref(), Some(&row)).await?;
        let credentials_deactivated = credentials::deactivate_elsewhere(&mut tx, act, &provider).await?;
        outbox::providers_changed(&mut tx, act.at).await?;
        self.commit(tx).await?;
        Ok(Put { stored: row.try_into()?, is_new: before.is_none(), credentials_deactivated })
    }

    pub async fn delete_provider(&self, act: &Act, name: &str) -> Result<()> {
        let mut tx = self.store.write().await?;
        let row = table::lock(&mut tx, name).await?.ok_or(Error::NotFound("provider"))?;
        require_unused(&mut tx, &row).await?;
        table::delete(&mut tx, name).await?;
        record(&mut tx, act, "provider.delete", name, Some(&row), None).await?;
        outbox::providers_changed(&mut tx, act.at).await?;
        self.commit(tx).await
    }
}

/// The provider, held until the transaction ends.
pub(super) async fn lock(conn: &mut Connection, name: &str) -> Result<Option<Provider>> {
    let row = table::lock(conn, name).await?;
    Ok(row.map(StoredProvider::try_from).transpose()?.map(|stored| stored.provider))
}

/// Stores a provider, and returns it as it was before and as it is now.
async fn store(
    conn: &mut Connection,
    act: &Act,
    provider: &Provider,
) -> Result<(Option<ProviderRow>, ProviderRow)> {
    let row = new_row(provider, false, act.at)?;
    // Tried first: of two that put a new provider at once, the second must find the first's.
    if table::insert_if_absent(conn, &row).await? {
        return Ok((None, row));
    }
    let deleted = || Error::Conflict("the provider was deleted at this moment; put it again".to_owned());
    let before = table::lock(conn, &provider.name).await?.ok_or_else(deleted)?;
    let row = ProviderRow { definition: row.definition, updated_at: row.updated_at, ..before.clone() };
    table::update(conn, &row).await?;
    Ok((Some(before), row))
}

/// All targets of a route speak one API.
async fn require_same_api(conn: &mut Connection, before: &ProviderRow, provider: &Provider) -> Result<()> {
    let is_same =
        serde_json::from_str::<Provider>(&before.definition).is_ok_and(|before| before.api == provider.api);
    if is_same {
        return Ok(());
    }
    let routes = routes::count_by_provider(conn, &provider.name).await?;
    if routes > 0 {
        return Err(Error::Conflict(format!("its api cannot change while {routes} route(s) name it")));
    }
    Ok(())
}

async fn require_unused(conn: &mut Connection, row: &ProviderRow) -> Result<()> {
    if row.is_built_in {
        return Err(Error::Conflict("a built-in provider cannot be deleted, only replaced".to_owned()));
    }
    let projects = projects::count_by_default_provider(conn, &row.name).await?;
    if projects > 0 {
        return Err(Error::Conflict(format!("it is the default provider of {projects} project(s)")));
    }
    let routes = routes::count_by_provider(conn, &row.name).await?;
    if routes > 0 {
        return Err(Error::Conflict(format!("{routes} route(s) name this provider; change them first")));
    }
    let credentials = credentials_table::count_by_provider(conn, &row.name).await?;
    if credentials > 0 {
        return Err(Error::Conflict(format!(
            "{credentials} credential(s) are for this provider; delete them first"
        )));
    }
    Ok(())
}

/// The provider as it is stored, or what is wrong with it.
pub(super) fn checked(mut provider: Provider, allow_private: bool) -> Result<Provider> {
    checked_provider_name(&provider.name)?;
    provider.base_url = upstream::normalize(&provider.base_url, allow_private)
        .map_err(|error| Error::invalid("base_url", error.to_string()))?;
    provider.auth.header = checked_auth_header(&provider.auth.header)?;
    if provider.auth.prefix.len() > 64 || !is_header_value(&provider.auth.prefix) {
        return Err(Error::invalid("auth.prefix", "must be at most 64 printable ASCII characters"));
    }
    if !(1..=256).contains(&provider.allowed_endpoints.len()) {
        return Err(Error::invalid("allowed_endpoints", "must have 1 to 256 rules"));
    }
    for rule in &provider.allowed_endpoints {
        rule.validate()
            .map_err(|error| Error::invalid("allowed_endpoints", format!("{}: {error}", rule.path)))?;
    }
    if provider.default_headers.len() > 32 {
        return Err(Error::invalid("default_headers", "has at most 32 headers"));
    }
    provider.default_headers = std::mem::take(&mut provider.default_headers)
        .into_iter()
        .map(|(name, value)| checked_default_header(&name, value, &provider.auth.header))
        .collect::<Result<_>>()?;
    for name in &mut provider.allowed_headers {
        name.make_ascii_lowercase();
        if !ACCOUNT_SELECTORS.contains(&name.as_str()) {
            return Err(Error::invalid(
                "allowed_headers",
                format!("may only name {}", ACCOUNT_SELECTORS.join(", ")),
            ));
        }
    }
    provider.allowed_headers.sort_unstable();
    provider.allowed_headers.dedup();
    checked_timeouts(provider.timeouts)?;
    if let Some(Carried::Policy(policy)) = &provider.policy {
        policies::validate(policy)?;
        provider.policy.take_if(|policy| *policy == Carried::from(Policy::default()));
    }
    Ok(provider)
}

fn checked_timeouts(timeouts: Timeouts) -> Result<()> {
    let Timeouts { first_byte_ms, idle_ms, total_ms } = timeouts;
    for (field, given, most) in [
        ("timeouts.first_byte_ms", first_byte_ms, 600_000),
        ("timeouts.idle_ms", idle_ms, 600_000),
        ("timeouts.total_ms", total_ms, 3_600_000),
    ] {
        checked_range(field, given.into(), 1..=most)?;
    }
    Ok(())
}

/// The first segment of a path at the edge.
fn checked_provider_name(name: &str) -> Result<()> {
    let is_legal = (1..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !is_legal {
        return Err(Error::invalid("name", "must be 1 to 40 lower-case letters, digits or hyphens"));
    }
    if matches!(name, "v1" | "healthz") {
        return Err(Error::invalid("name", "`v1` and `healthz` are routes of the edge"));
    }
    Ok(())
}

/// Headers that the HTTP layer or the edge sets itself.
const MANAGED: [&str; 5] = ["host", "content-length", "content-encoding", "cookie", "set-cookie"];

fn checked_auth_header(name: &str) -> Result<String> {
    let name = name.to_ascii_lowercase();
    if !is_header_name(&name) || HOP_BY_HOP.contains(&name.as_str()) || MANAGED.contains(&name.as_str()) {
        return Err(Error::invalid("auth.header", "must be the name of a header that can carry a key"));
    }
    Ok(name)
}

fn checked_default_header(name: &str, value: String, auth_header: &str) -> Result<(String, String)> {
    let name = name.to_ascii_lowercase();
    if !is_header_name(&name) || !is_header_value(&value) || value.len() > 1024 {
        return Err(Error::invalid("default_headers", "has a name or value that no header can have"));
    }
    let known = name.as_str();
    let is_managed = HOP_BY_HOP.contains(&known)
        || METHOD_OVERRIDES.contains(&known)
        || MANAGED.contains(&known)
        || known.starts_with("x-latchkey-")
        || known.starts_with("cf-");
    if is_managed {
        return Err(Error::invalid(
            "default_headers",
            format!("{name} cannot be set: it is not the provider's"),
        ));
    }
    if CREDENTIALS.contains(&known) || known == auth_header {
        return Err(Error::invalid(
            "default_headers",
            format!("{name} carries a key; add it as a credential"),
        ));
    }
    Ok((name, value))
}

/// RFC 9110, 5.6.2: a token.
fn is_header_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn new_row(provider: &Provider, is_built_in: bool, now: UnixMs) -> Result<ProviderRow> {
    Ok(ProviderRow {
        name: provider.name.clone(),
        definition: serde_json::to_string(provider)?,
        is_built_in,
        created_at: now.cast_signed(),
        updated_at: now.cast_signed(),
    })
}

async fn record(
    conn: &mut Connection,
    act: &Act,
    action: &'static str,
    name: &str,
    before: Option<&ProviderRow>,
    after: Option<&ProviderRow>,
) -> Result<()> {
    // A definition holds no secret: a default header that carries a key is refused.
    let parse = |row: &ProviderRow| serde_json::from_str::<Value>(&row.definition);
    let change = Change {
        action,
        resource_id: name.to_owned(),
        project_id: None,
        before: before.map(parse).transpose()?,
        after: after.map(parse).transpose()?,
    };
    audit::record(conn, act, change).await
}

impl TryFrom<ProviderRow> for StoredProvider {
    type Error = Error;

    fn try_from(row: ProviderRow) -> Result<Self> {
        Ok(Self {
            provider: serde_json::from_str(&row.definition)?,
            is_built_in: row.is_built_in,
            created_at: row.created_at.cast_unsigned(),
            updated_at: row.updated_at.cast_unsigned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Provider {
        built_in::providers().next().unwrap()
    }

    #[test]
    fn names_are_path_segments() {
        assert!(checked_provider_name("my-provider-2").is_ok());
        for bad in ["", "v1", "healthz", "Upper", "a/b", "a.b", "ü", &"a".repeat(41)] {
            assert!(checked_provider_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn default_headers_carry_neither_keys_nor_what_the_edge_manages() {
        for bad in ["Authorization", "x-api-key", "Host", "Connection", "te", "cookie", "cf-ray", "a b", ""] {
            let default_headers = [(bad.to_owned(), "x".to_owned())].into();
            assert!(checked(Provider { default_headers, ..sample() }, false).is_err(), "{bad}");
        }
        let default_headers = [("X-Title".to_owned(), "a\r\nb".to_owned())].into();
        assert!(checked(Provider { default_headers, ..sample() }, false).is_err());
        let default_headers = [("X-Title".to_owned(), "Latchkey".to_owned())].into();
        let stored = checked(Provider { default_headers, ..sample() }, false).unwrap();
        assert!(stored.default_headers.contains_key("x-title"));
    }

    #[test]
    fn only_account_selectors_may_be_let_through() {
        let with = |name: &str| Provider { allowed_headers: vec![name.to_owned()], ..sample() };
        assert_eq!(checked(with("OpenAI-Project"), false).unwrap().allowed_headers, ["openai-project"]);
        assert!(checked(with("x-forwarded-for"), false).is_err());
    }
}
