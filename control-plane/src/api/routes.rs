//! `/manage/projects/{id}/routes`

use super::Api;
use super::auth::Manager;
use super::error::{ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::{List, Paging};
use crate::domain::routes as domain;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::route;
use shared::snapshot::config::CarriedRoute;
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Serialize, ToSchema)]
pub(super) struct Route {
    id: Uuid,
    /// Unique within the project.
    name: String,
    /// In this order routes are judged, 1 first: the first that matches counts.
    position: i64,
    #[serde(flatten)]
    #[schema(value_type = Plan)]
    plan: Shown,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// What this version cannot read is shown as it is stored.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown {
    Plan(Plan),
    Unreadable { definition: Value },
}

/// What a project has instead of one provider, for the models that it matches. See docs/routing.md.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoute {
    /// Unique within the project, 1 to 100 characters.
    #[schema(example = "fast")]
    name: String,
    /// Where it is judged, 1 first; those from there on move back. Left out, a new route is the last, and one that is
    /// replaced stays where it is.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    position: Option<i64>,
    #[serde(rename = "match")]
    #[schema(min_items = 1, max_items = 20, example = json!(["fast", "gpt-4o-mini*"]))]
    models: Vec<String>,
    #[serde(default)]
    strategy: Strategy,
    #[serde(default)]
    resume: Resume,
    #[schema(min_items = 1, max_items = 16)]
    targets: Vec<Target>,
    #[serde(default)]
    retry: Retry,
    #[serde(default)]
    timeouts: RouteTimeouts,
}

/// What a route does.
#[derive(Serialize, ToSchema)]
struct Plan {
    /// Models as clients ask for them, `*` for any characters.
    #[serde(rename = "match")]
    #[schema(example = json!(["fast", "gpt-4o-mini*"]))]
    models: Vec<String>,
    strategy: Strategy,
    resume: Resume,
    targets: Vec<Target>,
    retry: Retry,
    timeouts: RouteTimeouts,
}

/// In which order targets are tried. Those that are known to be unwell go last.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strategy {
    /// Lowest priority number first; among equals, in proportion to weights.
    #[default]
    Priority,
    /// In proportion to weights, whatever the priority.
    Weighted,
    /// One after another.
    RoundRobin,
    /// The one whose last failure is longest ago.
    LeastRecentlyFailing,
}

/// What happens to a stream that breaks off.
#[derive(Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Resume {
    /// The client gets an error.
    #[default]
    Off,
    /// The next target is asked, and goes on if it begins with exactly what the client has already.
    Verified,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Target {
    /// All targets of a route must speak the same API.
    #[schema(example = "openai")]
    provider: String,
    /// As the provider calls it; null = as the client does.
    #[serde(default)]
    #[schema(example = "gpt-4o-mini")]
    model: Option<String>,
    /// From 1 to 1000000.
    #[serde(default = "one")]
    weight: u32,
    /// The lowest goes first.
    #[serde(default)]
    priority: u32,
    /// It is asked again what was too long for another.
    #[serde(default)]
    larger_context: bool,
}

fn one() -> u32 {
    1
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    /// How often a provider is asked at most, the first time included; 1 to 10, 3 unless given.
    attempts: u32,
    /// Milliseconds since the request came, after which none is asked again; 20000 unless given.
    budget_ms: u32,
    /// Also after a connection that broke before it answered: the provider may have done its work, and charge for it.
    /// True unless given.
    after_reset: bool,
}

/// In milliseconds; null = as the target's provider says.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_field_names, reason = "the unit is part of the wire name")]
pub(super) struct RouteTimeouts {
    /// Until the answer's headers.
    first_byte_ms: Option<u32>,
    /// From then until the first part of a stream; null = `idle_ms` counts.
    first_token_ms: Option<u32>,
    /// Between two parts of an answer.
    idle_ms: Option<u32>,
    /// For all attempts together.
    total_ms: Option<u32>,
}

/// A project's routes, in the order in which they are judged.
#[utoipa::path(get, path = "/manage/projects/{id}/routes", tag = "routes", params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = List<Route>), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Path(project_id): Path<Uuid>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<Route>>> {
    let page = api.domain.list_routes(project_id, &paging.into()).await?;
    Ok(Json(List::from(page, Route::from)))
}

/// Adds a route to a project; it has at most 100.
#[utoipa::path(post, path = "/manage/projects/{id}/routes", tag = "routes", params(("id" = Uuid, Path)),
    request_body = NewRoute,
    responses((status = 201, body = Route), (status = 404, body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 422, description = "A route that cannot be followed", body = ErrorBody)))]
pub(super) async fn create(
    manager: Manager,
    State(api): State<Api>,
    Path(project_id): Path<Uuid>,
    Body(new): Body<NewRoute>,
) -> Result<(StatusCode, Json<Route>)> {
    let position = new.position;
    let route = api.domain.create_route(manager.act(), project_id, new.into(), position).await?;
    Ok((StatusCode::CREATED, Json(route.into())))
}

/// One route.
#[utoipa::path(get, path = "/manage/projects/{id}/routes/{route_id}", tag = "routes",
    params(("id" = Uuid, Path), ("route_id" = Uuid, Path)),
    responses((status = 200, body = Route), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    _: Manager,
    State(api): State<Api>,
    Path((project_id, id)): Path<(Uuid, Uuid)>,
) -> Result<Json<Route>> {
    Ok(Json(api.domain.get_route(project_id, id).await?.into()))
}

/// Replaces a route, or moves it.
#[utoipa::path(put, path = "/manage/projects/{id}/routes/{route_id}", tag = "routes",
    params(("id" = Uuid, Path), ("route_id" = Uuid, Path)), request_body = NewRoute,
    responses((status = 200, body = Route), (status = 404, body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 422, description = "A route that cannot be followed", body = ErrorBody)))]
pub(super) async fn put(
    manager: Manager,
    State(api): State<Api>,
    Path((project_id, id)): Path<(Uuid, Uuid)>,
    Body(new): Body<NewRoute>,
) -> Result<Json<Route>> {
    let position = new.position;
    Ok(Json(api.domain.put_route(manager.act(), project_id, id, new.into(), position).await?.into()))
}

/// Deletes a route.
#[utoipa::path(delete, path = "/manage/projects/{id}/routes/{route_id}", tag = "routes",
    params(("id" = Uuid, Path), ("route_id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(
    manager: Manager,
    State(api): State<Api>,
    Path((project_id, id)): Path<(Uuid, Uuid)>,
) -> Result<StatusCode> {
    api.domain.delete_route(manager.act(), project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Default for Retry {
    fn default() -> Self {
        route::Retry::default().into()
    }
}

impl From<domain::StoredRoute> for Route {
    fn from(stored: domain::StoredRoute) -> Self {
        let domain::StoredRoute { id, name, position, route, created_at, updated_at } = stored;
        let plan = match route {
            CarriedRoute::Route(route) => Shown::Plan(route.into()),
            CarriedRoute::Unreadable(definition) => Shown::Unreadable { definition },
        };
        let (created_at, updated_at) = (Timestamp(created_at), Timestamp(updated_at));
        Self { id, name, position, plan, created_at, updated_at }
    }
}

impl From<route::Route> for Plan {
    fn from(route: route::Route) -> Self {
        let route::Route { name: _, models, strategy, resume, targets, retry, timeouts } = route;
        Self {
            models,
            strategy: match strategy {
                route::Strategy::Priority => Strategy::Priority,
                route::Strategy::Weighted => Strategy::Weighted,
                route::Strategy::RoundRobin => Strategy::RoundRobin,
                route::Strategy::LeastRecentlyFailing => Strategy::LeastRecentlyFailing,
            },
            resume: match resume {
                route::Resume::Off => Resume::Off,
                route::Resume::Verified => Resume::Verified,
            },
            targets: targets.into_iter().map(Into::into).collect(),
            retry: retry.into(),
            timeouts: timeouts.into(),
        }
    }
}

impl From<NewRoute> for route::Route {
    fn from(new: NewRoute) -> Self {
        let NewRoute { name, position: _, models, strategy, resume, targets, retry, timeouts } = new;
        Self {
            name,
            models,
            strategy: match strategy {
                Strategy::Priority => route::Strategy::Priority,
                Strategy::Weighted => route::Strategy::Weighted,
                Strategy::RoundRobin => route::Strategy::RoundRobin,
                Strategy::LeastRecentlyFailing => route::Strategy::LeastRecentlyFailing,
            },
            resume: match resume {
                Resume::Off => route::Resume::Off,
                Resume::Verified => route::Resume::Verified,
            },
            targets: targets.into_iter().map(Into::into).collect(),
            retry: retry.into(),
            timeouts: timeouts.into(),
        }
    }
}

/// The same fields here and there.
macro_rules! same {
    ($($name:ident { $($field:ident),+ })+) => {$(
        impl From<$name> for route::$name {
            fn from($name { $($field),+ }: $name) -> Self {
                Self { $($field),+ }
            }
        }

        impl From<route::$name> for $name {
            fn from(route::$name { $($field),+ }: route::$name) -> Self {
                Self { $($field),+ }
            }
        }
    )+};
}

same! {
    Target { provider, model, weight, priority, larger_context }
    Retry { attempts, budget_ms, after_reset }
    RouteTimeouts { first_byte_ms, first_token_ms, idle_ms, total_ms }
}
