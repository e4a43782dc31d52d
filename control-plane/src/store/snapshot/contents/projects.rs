//! Projects as the edge needs them, with their credentials, profiles and routes.

use super::number;
use crate::store::sql::query;
use crate::store::{Connection, Error, from_db, to_db};
use shared::id::UnixMs;
use shared::policy::Carried;
use shared::sealed::Sealed;
use shared::snapshot::config::{CarriedRoute, Credential, OnStale, Profile, Project, StreamUsage};
use shared::snapshot::record::{ProfileNumber, ProjectNumber};
use sqlx::FromRow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// How long the edge has the policy of tokens that have expired: its clock may be
/// behind, and then they are valid there.
const KEEP_PROFILES_MS: UnixMs = 60 * 60 * 1000;

#[derive(FromRow)]
struct ProjectRow {
    id: Uuid,
    number: i64,
    is_active: bool,
    tokens_valid_from: i64,
    default_provider: String,
    on_stale: String,
    max_snapshot_age: i64,
    stream_usage: String,
    capture: Option<String>,
    policy: Option<String>,
}

#[derive(FromRow)]
struct RouteRow {
    project_id: Uuid,
    definition: String,
}

#[derive(FromRow)]
struct ProfileRow {
    project_id: Uuid,
    number: i64,
    policy: String,
}

#[derive(FromRow)]
struct CredentialRow {
    id: Uuid,
    project_id: Uuid,
    provider: String,
    weight: i64,
    priority: i64,
    sealed: String,
}

/// The present state of every project that changed since the base, by number.
pub async fn changed_projects(
    conn: &mut Connection,
    base_id: i64,
    now: UnixMs,
) -> Result<Vec<Project>, Error> {
    let rows = query(
        "select id, number, is_active, tokens_valid_from, default_provider, on_stale, max_snapshot_age, stream_usage, capture, policy
         from projects
         where id in (select project_id from outbox
                      where project_id is not null and (base_id is null or base_id <> $1))
         order by number",
    )
    .bind(base_id)
    .fetch_all(&mut *conn)
    .await?;
    let credentials = query(
        "select id, project_id, provider, weight, priority, sealed from credentials
         where is_active and project_id in (select project_id from outbox
                      where project_id is not null and (base_id is null or base_id <> $1))
         order by id",
    )
    .bind(base_id)
    .fetch_all(&mut *conn)
    .await?;
    let profiles = query(
        "select project_id, number, policy from profiles
         where used_until > $2 and project_id in (select project_id from outbox
                      where project_id is not null and (base_id is null or base_id <> $1))
         order by number",
    )
    .bind(base_id)
    .bind(needed_since(now))
    .fetch_all(&mut *conn)
    .await?;
    let routes = query(
        "select project_id, definition from routes
         where project_id in (select project_id from outbox
                      where project_id is not null and (base_id is null or base_id <> $1))
         order by position",
    )
    .bind(base_id)
    .fetch_all(conn)
    .await?;
    join(rows, credentials, profiles, routes)
}

/// The numbers of the projects that changed since the base.
pub async fn changed_project_numbers(
    conn: &mut Connection,
    base_id: i64,
) -> Result<Vec<ProjectNumber>, Error> {
    let numbers: Vec<i64> = query(
        "select number from projects
         where id in (select project_id from outbox
                      where project_id is not null and (base_id is null or base_id <> $1))",
    )
    .bind(base_id)
    .scalars(conn)
    .await?;
    numbers.into_iter().map(number).collect()
}

/// Projects numbered above `after` and below `below`, by number.
pub async fn project_page(
    conn: &mut Connection,
    after: i64,
    below: i64,
    limit: u32,
    now: UnixMs,
) -> Result<Vec<Project>, Error> {
    let rows: Vec<ProjectRow> = query(
        "select id, number, is_active, tokens_valid_from, default_provider, on_stale, max_snapshot_age, stream_usage, capture, policy
         from projects where number > $1 and number < $2 order by number limit $3",
    )
    .bind(after)
    .bind(below)
    .bind(i64::from(limit))
    .fetch_all(&mut *conn)
    .await?;
    let last = rows.last().map_or(after, |row| row.number);
    let credentials = query(
        "select c.id, c.project_id, c.provider, c.weight, c.priority, c.sealed
         from credentials c join projects p on p.id = c.project_id
         where c.is_active and p.number > $1 and p.number <= $2 order by c.id",
    )
    .bind(after)
    .bind(last)
    .fetch_all(&mut *conn)
    .await?;
    let profiles = query(
        "select f.project_id, f.number, f.policy
         from profiles f join projects p on p.id = f.project_id
         where f.used_until > $3 and p.number > $1 and p.number <= $2 order by f.number",
    )
    .bind(after)
    .bind(last)
    .bind(needed_since(now))
    .fetch_all(&mut *conn)
    .await?;
    let routes = query(
        "select r.project_id, r.definition
         from routes r join projects p on p.id = r.project_id
         where p.number > $1 and p.number <= $2 order by r.position",
    )
    .bind(after)
    .bind(last)
    .fetch_all(conn)
    .await?;
    join(rows, credentials, profiles, routes)
}

/// One project, without profiles: see [`profile`].
pub async fn project(conn: &mut Connection, project_id: Uuid) -> Result<Option<Project>, Error> {
    let rows = query(
        "select id, number, is_active, tokens_valid_from, default_provider, on_stale, max_snapshot_age, stream_usage, capture, policy
         from projects where id = $1",
    )
    .bind(project_id)
    .fetch_all(&mut *conn)
    .await?;
    let credentials = query(
        "select id, project_id, provider, weight, priority, sealed from credentials
         where is_active and project_id = $1 order by id",
    )
    .bind(project_id)
    .fetch_all(&mut *conn)
    .await?;
    let routes = query("select project_id, definition from routes where project_id = $1 order by position")
        .bind(project_id)
        .fetch_all(conn)
        .await?;
    Ok(join(rows, credentials, Vec::new(), routes)?.pop())
}

/// One profile of a project.
pub async fn profile(
    conn: &mut Connection,
    project_id: Uuid,
    number: ProfileNumber,
) -> Result<Option<Profile>, Error> {
    let row: Option<ProfileRow> =
        query("select project_id, number, policy from profiles where project_id = $1 and number = $2")
            .bind(project_id)
            .bind(i64::from(number))
            .fetch_optional(conn)
            .await?;
    row.map(Profile::try_from).transpose()
}

fn needed_since(now: UnixMs) -> i64 {
    to_db(now.saturating_sub(KEEP_PROFILES_MS))
}

/// Credentials, profiles and routes stay in the order they come in.
fn join(
    projects: Vec<ProjectRow>,
    credentials: Vec<CredentialRow>,
    profiles: Vec<ProfileRow>,
    routes: Vec<RouteRow>,
) -> Result<Vec<Project>, Error> {
    let mut ways: BTreeMap<Uuid, Vec<CarriedRoute>> = BTreeMap::new();
    for row in routes {
        ways.entry(row.project_id).or_default().push(CarriedRoute::parse(&row.definition));
    }
    let mut limits: BTreeMap<Uuid, Vec<Profile>> = BTreeMap::new();
    for row in profiles {
        limits.entry(row.project_id).or_default().push(row.try_into()?);
    }
    let mut of_project: BTreeMap<Uuid, Vec<Credential>> = BTreeMap::new();
    for row in credentials {
        let CredentialRow { id, project_id, provider, weight, priority, sealed } = row;
        let (weight, priority) = (number(weight)?, number(priority)?);
        let credential = Credential { id, provider, weight, priority, sealed: Sealed::from(sealed) };
        of_project.entry(project_id).or_default().push(credential);
    }
    let project = |row: ProjectRow| {
        Ok(Project {
            number: number(row.number)?,
            id: row.id,
            is_active: row.is_active,
            tokens_valid_from: from_db(row.tokens_valid_from),
            default_provider: row.default_provider,
            // A policy that is not understood denies.
            on_stale: if row.on_stale == "serve" { OnStale::Serve } else { OnStale::Deny },
            max_snapshot_age: from_db(row.max_snapshot_age),
            stream_usage: stream_usage(&row.stream_usage),
            policy: row.policy.as_deref().map(Carried::parse),
            profiles: limits.remove(&row.id).unwrap_or_default(),
            routes: ways.remove(&row.id).unwrap_or_default(),
            // One that is not understood keeps nothing.
            capture: row.capture.and_then(|text| serde_json::from_str(&text).ok()),
            credentials: of_project.remove(&row.id).unwrap_or_default(),
        })
    };
    projects.into_iter().map(project).collect()
}

/// One that is not understood changes no request.
fn stream_usage(text: &str) -> StreamUsage {
    match text {
        "ask" => StreamUsage::Ask,
        "ask_and_strip" => StreamUsage::AskAndStrip,
        _ => StreamUsage::Leave,
    }
}

impl TryFrom<ProfileRow> for Profile {
    type Error = Error;

    fn try_from(row: ProfileRow) -> Result<Self, Error> {
        Ok(Self { number: number(row.number)?, policy: Carried::parse(&row.policy) })
    }
}
