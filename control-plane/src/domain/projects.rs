//! Projects: never deleted, only deactivated.

use super::audit::{self, Change};
use super::page::{Page, PageRequest};
use super::{Act, Domain, Error, Result, checked_name, checked_range, policies};
use crate::chance;
use crate::store::projects::ProjectRow;
use crate::store::{Connection, is_duplicate, outbox, profiles, projects as table, providers, tokens};
use serde_json::{Value, json};
use shared::id::{self, UnixMs};
use shared::policy::{Carried, Policy};
use shared::redaction::Redactor;
use shared::snapshot::config::{Capture, DEFAULT_MAX_SNAPSHOT_AGE, OnStale, StreamUsage};
use shared::snapshot::record::ProjectNumber;
use uuid::Uuid;

/// Seconds: a year.
const LONGEST_SNAPSHOT_AGE: u64 = 365 * 24 * 60 * 60;

#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub id: Uuid,
    pub number: ProjectNumber,
    pub name: String,
    pub default_provider: String,
    pub is_active: bool,
    /// Tokens issued earlier are revoked; 0 = none.
    pub tokens_valid_from: UnixMs,
    pub on_stale: OnStale,
    /// Seconds.
    pub max_snapshot_age: u64,
    pub stream_usage: StreamUsage,
    /// `None` = off.
    pub capture: Option<Capture>,
    pub policy: Option<Carried>,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
    pub deactivated_at: Option<UnixMs>,
}

#[derive(Debug)]
pub struct NewProject {
    pub name: String,
    /// `openai` unless given.
    pub default_provider: Option<String>,
    pub on_stale: Option<OnStale>,
    pub max_snapshot_age: Option<u64>,
    pub stream_usage: Option<StreamUsage>,
    pub capture: Option<Capture>,
    pub policy: Option<Policy>,
}

/// What is given is changed.
#[derive(Debug, Default)]
pub struct ProjectPatch {
    pub name: Option<String>,
    pub default_provider: Option<String>,
    pub is_active: Option<bool>,
    pub on_stale: Option<OnStale>,
    pub max_snapshot_age: Option<u64>,
    pub stream_usage: Option<StreamUsage>,
    /// `Some(None)` turns it off.
    pub capture: Option<Option<Capture>>,
    /// `Some(None)` takes it away.
    pub policy: Option<Option<Policy>>,
}

impl Domain {
    pub async fn create_project(&self, act: &Act, new: NewProject) -> Result<Project> {
        let row = new_row(new, act.at)?;
        let mut tx = self.store.write().await?;
        if !lock_provider(&mut tx, &row.default_provider).await? {
            return Err(unknown_provider());
        }
        let row = table::insert(&mut tx, &row).await.map_err(|error| named_twice(error, &row.name))?;
        let project = Project::try_from(row)?;
        record(&mut tx, act, "project.create", project.id, None, Some(&project)).await?;
        outbox::project_changed(&mut tx, project.id, act.at).await?;
        self.commit(tx).await?;
        Ok(project)
    }

    pub async fn get_project(&self, id: Uuid) -> Result<Project> {
        let mut tx = self.store.read().await?;
        table::get(&mut tx, id).await?.ok_or(Error::NotFound("project"))?.try_into()
    }

    pub async fn list_projects(&self, page: &PageRequest) -> Result<Page<Project>> {
        let (before, rows) = (page.before()?, page.rows()?);
        let mut tx = self.store.read().await?;
        let rows = table::list(&mut tx, before, rows).await?;
        page.page(rows, |row| row.id.as_bytes().to_vec(), Project::try_from)
    }

    pub async fn patch_project(&self, act: &Act, id: Uuid, patch: ProjectPatch) -> Result<Project> {
        let mut tx = self.store.write().await?;
        let is_provider_known = match &patch.default_provider {
            Some(name) => lock_provider(&mut tx, name).await?,
            None => true,
        };
        if patch.name.is_some() {
            table::lock_names(&mut tx).await?;
        }
        let row = lock(&mut tx, id).await?;
        if !is_provider_known {
            return Err(unknown_provider());
        }
        let before = Project::try_from(row.clone())?;
        let row = patched(row, patch, act.at)?;
        let after = Project::try_from(row.clone())?;
        if after == before {
            return Ok(before);
        }
        let row = ProjectRow { updated_at: act.at.cast_signed(), ..row };
        table::update(&mut tx, &row).await.map_err(|error| named_twice(error, &row.name))?;
        let after = Project::try_from(row)?;
        record(&mut tx, act, "project.update", id, Some(&before), Some(&after)).await?;
        outbox::project_changed(&mut tx, id, act.at).await?;
        self.commit(tx).await?;
        Ok(after)
    }

    /// Revokes every token that the project has, and returns how many of them
    /// were still valid.
    pub async fn revoke_tokens(&self, act: &Act, id: Uuid) -> Result<u64> {
        let mut tx = self.store.write().await?;
        let before = Project::try_from(lock(&mut tx, id).await?)?;
        let live = tokens::count_live(&mut tx, id, before.tokens_valid_from, act.at).await?;
        let newest = tokens::newest(&mut tx, id).await?.map_or(0, i64::cast_unsigned);
        // Beyond the newest token too, so that a clock that was ahead leaves no survivor.
        let valid_from = act.at.max(newest).max(before.tokens_valid_from) + 1;
        table::set_tokens_valid_from(&mut tx, id, valid_from, act.at).await?;
        profiles::release_all(&mut tx, id).await?;
        let after = Project { tokens_valid_from: valid_from, updated_at: act.at, ..before.clone() };
        record(&mut tx, act, "project.revoke_tokens", id, Some(&before), Some(&after)).await?;
        outbox::project_changed(&mut tx, id, act.at).await?;
        self.commit(tx).await?;
        Ok(live.cast_unsigned())
    }
}

/// The project, held until the transaction ends.
pub(super) async fn lock(conn: &mut Connection, id: Uuid) -> Result<ProjectRow> {
    table::lock(conn, id).await?.ok_or(Error::NotFound("project"))
}

fn new_row(new: NewProject, now: UnixMs) -> Result<ProjectRow> {
    let max_age = new.max_snapshot_age.unwrap_or(DEFAULT_MAX_SNAPSHOT_AGE);
    Ok(ProjectRow {
        id: id::new(now, &chance::bytes()?),
        number: 0,
        name: checked_name("name", &new.name)?,
        default_provider: new.default_provider.unwrap_or_else(|| "openai".to_owned()),
        is_active: true,
        tokens_valid_from: 0,
        on_stale: on_stale_text(new.on_stale.unwrap_or_default()).to_owned(),
        max_snapshot_age: checked_range("max_snapshot_age", max_age, 1..=LONGEST_SNAPSHOT_AGE)?,
        stream_usage: stream_usage_text(new.stream_usage.unwrap_or_default()).to_owned(),
        capture: checked_capture(new.capture)?,
        policy: policies::checked(new.policy)?,
        created_at: now.cast_signed(),
        updated_at: now.cast_signed(),
        deactivated_at: None,
    })
}

fn patched(mut row: ProjectRow, patch: ProjectPatch, now: UnixMs) -> Result<ProjectRow> {
    let ProjectPatch {
        name,
        default_provider,
        is_active,
        on_stale,
        max_snapshot_age,
        stream_usage,
        capture,
        policy,
    } = patch;
    if let Some(name) = name {
        row.name = checked_name("name", &name)?;
    }
    if let Some(provider) = default_provider {
        row.default_provider = provider;
    }
    if let Some(is_active) = is_active.filter(|&is_active| is_active != row.is_active) {
        row.is_active = is_active;
        row.deactivated_at = (!is_active).then_some(now.cast_signed());
    }
    if let Some(on_stale) = on_stale {
        on_stale_text(on_stale).clone_into(&mut row.on_stale);
    }
    if let Some(age) = max_snapshot_age {
        row.max_snapshot_age = checked_range("max_snapshot_age", age, 1..=LONGEST_SNAPSHOT_AGE)?;
    }
    if let Some(stream_usage) = stream_usage {
        stream_usage_text(stream_usage).clone_into(&mut row.stream_usage);
    }
    if let Some(capture) = capture {
        row.capture = checked_capture(capture)?;
    }
    if let Some(policy) = policy {
        row.policy = policies::checked(policy)?;
    }
    Ok(row)
}

/// As it is stored; with patterns that the edge can apply.
fn checked_capture(capture: Option<Capture>) -> Result<Option<String>> {
    let Some(capture) = capture else { return Ok(None) };
    Redactor::new(&capture.redact).map_err(|error| Error::invalid("capture.redact", error.to_string()))?;
    Ok(Some(serde_json::to_string(&capture)?))
}

/// Whether there is such a provider; then it stays until the transaction ends.
async fn lock_provider(conn: &mut Connection, name: &str) -> Result<bool> {
    Ok(providers::lock(conn, name).await?.is_some())
}

fn unknown_provider() -> Error {
    Error::invalid("default_provider", "there is no provider of this name")
}

fn named_twice(error: crate::store::Error, name: &str) -> Error {
    if is_duplicate(&error, "projects", "name") {
        Error::Conflict(format!("a project named `{name}` exists already"))
    } else {
        error.into()
    }
}

async fn record(
    conn: &mut Connection,
    act: &Act,
    action: &'static str,
    id: Uuid,
    before: Option<&Project>,
    after: Option<&Project>,
) -> Result<()> {
    let (before, after) = (before.map(for_audit), after.map(for_audit));
    let change = Change { action, resource_id: id.to_string(), project_id: Some(id), before, after };
    audit::record(conn, act, change).await
}

fn for_audit(project: &Project) -> Value {
    json!({
        "name": project.name,
        "default_provider": project.default_provider,
        "is_active": project.is_active,
        "tokens_valid_from": project.tokens_valid_from,
        "on_stale": on_stale_text(project.on_stale),
        "max_snapshot_age": project.max_snapshot_age,
        "stream_usage": stream_usage_text(project.stream_usage),
        "capture": project.capture,
        "policy": project.policy,
        "deactivated_at": project.deactivated_at,
    })
}

fn on_stale_text(on_stale: OnStale) -> &'static str {
    match on_stale {
        OnStale::Serve => "serve",
        OnStale::Deny => "deny",
    }
}

fn stream_usage_text(stream_usage: StreamUsage) -> &'static str {
    match stream_usage {
        StreamUsage::Ask => "ask",
        StreamUsage::AskAndStrip => "ask_and_strip",
        StreamUsage::Leave => "leave",
    }
}

impl TryFrom<ProjectRow> for Project {
    type Error = Error;

    fn try_from(row: ProjectRow) -> Result<Self> {
        Ok(Self {
            id: row.id,
            number: ProjectNumber::try_from(row.number)
                .map_err(|_| Error::Internal(format!("project number {} is out of range", row.number)))?,
            name: row.name,
            default_provider: row.default_provider,
            is_active: row.is_active,
            tokens_valid_from: row.tokens_valid_from.cast_unsigned(),
            on_stale: match row.on_stale.as_str() {
                "serve" => OnStale::Serve,
                "deny" => OnStale::Deny,
                other => return Err(Error::Internal(format!("stored on_stale `{other}` is unknown"))),
            },
            max_snapshot_age: row.max_snapshot_age.cast_unsigned(),
            stream_usage: match row.stream_usage.as_str() {
                "ask" => StreamUsage::Ask,
                "ask_and_strip" => StreamUsage::AskAndStrip,
                "leave" => StreamUsage::Leave,
                other => return Err(Error::Internal(format!("stored stream_usage `{other}` is unknown"))),
            },
            capture: row.capture.as_deref().map(serde_json::from_str).transpose()?,
            policy: row.policy.as_deref().map(Carried::parse),
            created_at: row.created_at.cast_unsigned(),
            updated_at: row.updated_at.cast_unsigned(),
            deactivated_at: row.deactivated_at.map(i64::cast_unsigned),
        })
    }
}
