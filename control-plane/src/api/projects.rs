//! `/manage/projects`
#![expect(clippy::option_option, reason = "left out, null and a value are three things")]

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::{List, Paging};
use super::policy::{Policy, Stored};
use crate::domain::projects as domain;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::snapshot::config;
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Serialize, ToSchema)]
pub(super) struct Project {
    id: Uuid,
    name: String,
    /// The provider behind `/v1/...` at the edge.
    default_provider: String,
    is_active: bool,
    /// Tokens issued earlier are revoked; null = none.
    #[schema(value_type = Option<String>, format = DateTime)]
    tokens_valid_from: Option<Timestamp>,
    on_stale: OnStale,
    /// Seconds.
    max_snapshot_age: u64,
    stream_usage: StreamUsage,
    /// Null = bodies are not captured.
    capture: Option<Capture>,
    /// Null = all that the providers allow.
    #[schema(value_type = Option<Policy>)]
    policy: Option<Stored>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    deactivated_at: Option<Timestamp>,
}

/// What the edge does when its snapshot is older than `max_snapshot_age`.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnStale {
    Serve,
    Deny,
}

/// How the usage of an `OpenAI` stream is learned whose client did not ask for it.
#[derive(Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum StreamUsage {
    /// The edge asks; the client gets the extra last chunk.
    Ask,
    /// The edge asks, and takes that chunk out again, which costs time.
    AskAndStrip,
    /// The request goes as it is; usage is estimated.
    Leave,
}

/// That the bodies of requests and answers are kept with their events, where they are text: up to 32 KB of both
/// together. Keys are taken out always, and what the patterns match.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    /// Regular expressions in the syntax of Rust's `regex-lite`; at most 20, each of at most 256 characters.
    #[serde(default)]
    #[schema(max_items = 20)]
    redact: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProject {
    /// Unique, 1 to 200 characters.
    name: String,
    /// `openai` unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    default_provider: Option<String>,
    /// `serve` unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    on_stale: Option<OnStale>,
    /// Seconds; a day unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    max_snapshot_age: Option<u64>,
    /// `ask` unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    stream_usage: Option<StreamUsage>,
    /// Off unless given.
    #[serde(default)]
    capture: Option<Capture>,
    /// For all of its tokens; none unless given.
    #[serde(default)]
    policy: Option<Policy>,
}

/// What is given is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    default_provider: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    is_active: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    on_stale: Option<OnStale>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    max_snapshot_age: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    stream_usage: Option<StreamUsage>,
    /// Null turns it off.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Capture>)]
    capture: Option<Option<Capture>>,
    /// Replaces the whole; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Policy>)]
    policy: Option<Option<Policy>>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Revoked {
    /// How many tokens were still valid.
    revoked_count: u64,
}

/// All projects, newest first.
#[utoipa::path(get, path = "/manage/projects", tag = "projects", params(Paging),
    responses((status = 200, body = List<Project>)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<Project>>> {
    let page = api.domain.list_projects(&paging.into()).await?;
    Ok(Json(List::from(page, Project::from)))
}

/// Creates a project.
#[utoipa::path(post, path = "/manage/projects", tag = "projects", request_body = NewProject,
    responses((status = 201, body = Project), (status = 409, description = "The name is taken", body = ErrorBody),
        (status = 422, description = "A policy that cannot be applied", body = ErrorBody)))]
pub(super) async fn create(
    manager: Manager,
    State(api): State<Api>,
    Body(new): Body<NewProject>,
) -> Result<(StatusCode, Json<Project>)> {
    let project = api.domain.create_project(manager.act(), new.try_into()?).await?;
    Ok((StatusCode::CREATED, Json(project.into())))
}

/// One project.
#[utoipa::path(get, path = "/manage/projects/{id}", tag = "projects", params(("id" = Uuid, Path)),
    responses((status = 200, body = Project), (status = 404, body = ErrorBody)))]
pub(super) async fn get(_: Manager, State(api): State<Api>, Path(id): Path<Uuid>) -> Result<Json<Project>> {
    Ok(Json(api.domain.get_project(id).await?.into()))
}

/// Changes a project. It is not deleted but deactivated: `{"is_active": false}`.
#[utoipa::path(patch, path = "/manage/projects/{id}", tag = "projects", params(("id" = Uuid, Path)),
    request_body = ProjectPatch,
    responses((status = 200, body = Project), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 422, description = "A policy that cannot be applied", body = ErrorBody)))]
pub(super) async fn patch(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(patch): Body<ProjectPatch>,
) -> Result<Json<Project>> {
    Ok(Json(api.domain.patch_project(manager.act(), id, patch.try_into()?).await?.into()))
}

/// Revokes all tokens that the project has, at once.
#[utoipa::path(post, path = "/manage/projects/{id}/tokens/revoke", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 200, body = Revoked), (status = 404, body = ErrorBody)))]
pub(super) async fn revoke_tokens(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Revoked>> {
    let revoked_count = api.domain.revoke_tokens(manager.act(), id).await?;
    Ok(Json(Revoked { revoked_count }))
}

impl From<domain::Project> for Project {
    fn from(project: domain::Project) -> Self {
        Self {
            id: project.id,
            name: project.name,
            default_provider: project.default_provider,
            is_active: project.is_active,
            tokens_valid_from: Some(project.tokens_valid_from).filter(|&at| at != 0).map(Timestamp),
            on_stale: match project.on_stale {
                config::OnStale::Serve => OnStale::Serve,
                config::OnStale::Deny => OnStale::Deny,
            },
            max_snapshot_age: project.max_snapshot_age,
            stream_usage: match project.stream_usage {
                config::StreamUsage::Ask => StreamUsage::Ask,
                config::StreamUsage::AskAndStrip => StreamUsage::AskAndStrip,
                config::StreamUsage::Leave => StreamUsage::Leave,
            },
            capture: project.capture.map(|config::Capture { redact }| Capture { redact }),
            policy: project.policy.map(Into::into),
            created_at: Timestamp(project.created_at),
            updated_at: Timestamp(project.updated_at),
            deactivated_at: project.deactivated_at.map(Timestamp),
        }
    }
}

impl From<OnStale> for config::OnStale {
    fn from(on_stale: OnStale) -> Self {
        match on_stale {
            OnStale::Serve => Self::Serve,
            OnStale::Deny => Self::Deny,
        }
    }
}

impl From<StreamUsage> for config::StreamUsage {
    fn from(stream_usage: StreamUsage) -> Self {
        match stream_usage {
            StreamUsage::Ask => Self::Ask,
            StreamUsage::AskAndStrip => Self::AskAndStrip,
            StreamUsage::Leave => Self::Leave,
        }
    }
}

impl From<Capture> for config::Capture {
    fn from(Capture { redact }: Capture) -> Self {
        Self { redact }
    }
}

impl TryFrom<NewProject> for domain::NewProject {
    type Error = ApiError;

    fn try_from(new: NewProject) -> Result<Self> {
        let NewProject { name, default_provider, on_stale, max_snapshot_age, stream_usage, capture, policy } =
            new;
        let (on_stale, stream_usage) = (on_stale.map(Into::into), stream_usage.map(Into::into));
        let capture = capture.map(Into::into);
        let policy = policy.map(Policy::read).transpose()?;
        Ok(Self { name, default_provider, on_stale, max_snapshot_age, stream_usage, capture, policy })
    }
}

impl TryFrom<ProjectPatch> for domain::ProjectPatch {
    type Error = ApiError;

    fn try_from(patch: ProjectPatch) -> Result<Self> {
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
        let capture = capture.map(|capture| capture.map(Into::into));
        let (on_stale, stream_usage) = (on_stale.map(Into::into), stream_usage.map(Into::into));
        let policy = policy.map(|policy| policy.map(Policy::read).transpose()).transpose()?;
        Ok(Self {
            name,
            default_provider,
            is_active,
            on_stale,
            max_snapshot_age,
            stream_usage,
            capture,
            policy,
        })
    }
}
