//! Routes: where a project's requests for a model go. The first that matches
//! counts, so each has a position.

use super::audit::{self, Change};
use super::page::{self, Page, PageRequest};
use super::{Act, Domain, Error, Result, projects, providers};
use crate::chance;
use crate::store::routes::RouteRow;
use crate::store::{Connection, Tx, is_duplicate, outbox, projects as projects_table, routes as table};
use serde_json::{Value, json};
use shared::id::{self, UnixMs};
use shared::provider::Api;
use shared::route::{MAX_ROUTES, Route};
use shared::snapshot::config::CarriedRoute;
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRoute {
    pub id: Uuid,
    pub name: String,
    /// From 1 on.
    pub position: i64,
    pub route: CarriedRoute,
    pub created_at: UnixMs,
    pub updated_at: UnixMs,
}

impl Domain {
    /// Adds a route, at the end unless another position is given.
    pub async fn create_route(
        &self,
        act: &Act,
        project_id: Uuid,
        route: Route,
        position: Option<i64>,
    ) -> Result<StoredRoute> {
        let definition = checked(&route)?;
        let mut tx = self.store.write().await?;
        let apis = lock_providers(&mut tx, &route).await?;
        projects::lock(&mut tx, project_id).await?;
        check_targets(&route, &apis)?;
        let count = table::count(&mut tx, project_id).await?;
        if usize::try_from(count).is_ok_and(|count| count >= MAX_ROUTES) {
            return Err(Error::InvalidRoute(format!("a project has at most {MAX_ROUTES} routes")));
        }
        let position = checked_position(position.unwrap_or(count + 1), count + 1)?;
        table::shift(&mut tx, project_id, position, count, 1).await?;
        let row = RouteRow {
            id: id::new(act.at, &chance::bytes()?),
            project_id,
            name: route.name.clone(),
            position,
            definition,
            created_at: act.at.cast_signed(),
            updated_at: act.at.cast_signed(),
        };
        table::insert(&mut tx, &row).await.map_err(|error| named_twice(error, &row.name))?;
        table::set_providers(&mut tx, row.id, &names(&apis)).await?;
        self.finish_route(tx, act, "route.create", None, Some(&row)).await?;
        row.try_into()
    }

    pub async fn list_routes(&self, project_id: Uuid, page: &PageRequest) -> Result<Page<StoredRoute>> {
        let (after, rows) = (after(page)?, page.rows()?);
        let mut tx = self.store.read().await?;
        projects_table::get(&mut tx, project_id).await?.ok_or(Error::NotFound("project"))?;
        let rows = table::list(&mut tx, project_id, after, rows).await?;
        page.page(rows, |row| row.position.to_be_bytes().to_vec(), StoredRoute::try_from)
    }

    pub async fn get_route(&self, project_id: Uuid, id: Uuid) -> Result<StoredRoute> {
        let mut tx = self.store.read().await?;
        get(&mut tx, project_id, id).await?.try_into()
    }

    /// Replaces a route. It stays where it is unless another position is given.
    pub async fn put_route(
        &self,
        act: &Act,
        project_id: Uuid,
        id: Uuid,
        route: Route,
        position: Option<i64>,
    ) -> Result<StoredRoute> {
        let definition = checked(&route)?;
        let mut tx = self.store.write().await?;
        let apis = lock_providers(&mut tx, &route).await?;
        projects::lock(&mut tx, project_id).await?;
        let before = get(&mut tx, project_id, id).await?;
        check_targets(&route, &apis)?;
        let count = table::count(&mut tx, project_id).await?;
        let position = checked_position(position.unwrap_or(before.position), count)?;
        if position == before.position && definition == before.definition {
            return before.try_into();
        }
        if position < before.position {
            table::shift(&mut tx, project_id, position, before.position - 1, 1).await?;
        } else {
            table::shift(&mut tx, project_id, before.position + 1, position, -1).await?;
        }
        let updated_at = act.at.cast_signed();
        let row = RouteRow { name: route.name.clone(), position, definition, updated_at, ..before.clone() };
        table::update(&mut tx, &row).await.map_err(|error| named_twice(error, &row.name))?;
        table::set_providers(&mut tx, row.id, &names(&apis)).await?;
        self.finish_route(tx, act, "route.update", Some(&before), Some(&row)).await?;
        row.try_into()
    }

    pub async fn delete_route(&self, act: &Act, project_id: Uuid, id: Uuid) -> Result<()> {
        let mut tx = self.store.write().await?;
        projects::lock(&mut tx, project_id).await?;
        let row = get(&mut tx, project_id, id).await?;
        let count = table::count(&mut tx, project_id).await?;
        table::delete(&mut tx, id).await?;
        table::shift(&mut tx, project_id, row.position + 1, count, -1).await?;
        self.finish_route(tx, act, "route.delete", Some(&row), None).await
    }

    /// Records the change, and that the edge must learn of it.
    async fn finish_route(
        &self,
        mut tx: Tx,
        act: &Act,
        action: &'static str,
        before: Option<&RouteRow>,
        after: Option<&RouteRow>,
    ) -> Result<()> {
        let Some(row) = after.or(before) else { return Ok(()) };
        let change = Change {
            action,
            resource_id: row.id.to_string(),
            project_id: Some(row.project_id),
            before: before.map(for_audit),
            after: after.map(for_audit),
        };
        audit::record(&mut tx, act, change).await?;
        outbox::project_changed(&mut tx, row.project_id, act.at).await?;
        self.commit(tx).await
    }
}

/// Of each provider that a route names, what it speaks.
type Apis<'a> = BTreeMap<&'a str, Option<Api>>;

/// Holds the providers until the transaction ends, one after another by name.
async fn lock_providers<'a>(conn: &mut Connection, route: &'a Route) -> Result<Apis<'a>> {
    let mut apis: Apis<'a> = route.targets.iter().map(|target| (target.provider.as_str(), None)).collect();
    for (name, api) in &mut apis {
        *api = providers::lock(conn, name).await?.map(|provider| provider.api);
    }
    Ok(apis)
}

fn names<'a>(apis: &Apis<'a>) -> Vec<&'a str> {
    apis.keys().copied().collect()
}

/// A request goes to any of the targets as it is, but for the model.
fn check_targets(route: &Route, apis: &Apis<'_>) -> Result<()> {
    let mut first = None;
    for (at, target) in route.targets.iter().enumerate() {
        let wrong = |problem: &str| Error::InvalidRoute(format!("targets[{at}].provider: {problem}"));
        let api = apis.get(target.provider.as_str()).copied().flatten();
        let api = api.ok_or_else(|| wrong("there is no provider of this name"))?;
        if api != *first.get_or_insert(api) {
            return Err(wrong("speaks another API than the first target's; all targets must speak one"));
        }
    }
    Ok(())
}

/// As it is stored.
fn checked(route: &Route) -> Result<String> {
    route.validate().map_err(|error| Error::InvalidRoute(error.to_string()))?;
    Ok(serde_json::to_string(route)?)
}

fn checked_position(position: i64, most: i64) -> Result<i64> {
    if (1..=most).contains(&position) {
        Ok(position)
    } else {
        Err(Error::InvalidRoute(format!("position: must be from 1 to {most}")))
    }
}

fn after(request: &PageRequest) -> Result<i64> {
    let Some(key) = request.key()? else { return Ok(0) };
    let key = key.as_slice().try_into();
    key.map(i64::from_be_bytes).map_err(|_| page::bad_cursor())
}

async fn get(conn: &mut Connection, project_id: Uuid, id: Uuid) -> Result<RouteRow> {
    table::get(conn, project_id, id).await?.ok_or(Error::NotFound("route"))
}

fn named_twice(error: crate::store::Error, name: &str) -> Error {
    if is_duplicate(&error, "routes", "name") {
        Error::Conflict(format!("the project has a route named `{name}` already"))
    } else {
        error.into()
    }
}

fn for_audit(row: &RouteRow) -> Value {
    json!({ "name": row.name, "position": row.position, "route": CarriedRoute::parse(&row.definition) })
}

impl TryFrom<RouteRow> for StoredRoute {
    type Error = Error;

    fn try_from(row: RouteRow) -> Result<Self> {
        let RouteRow { id, project_id: _, name, position, definition, created_at, updated_at } = row;
        let route = CarriedRoute::parse(&definition);
        let (created_at, updated_at) = (created_at.cast_unsigned(), updated_at.cast_unsigned());
        Ok(Self { id, name, position, route, created_at, updated_at })
    }
}
