//! `/manage/tokens`
#![expect(clippy::option_option, reason = "left out, null and a value are three things")]

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::List;
use super::policy::{Policy, Stored};
use crate::clock;
use crate::domain::page::PageRequest;
use crate::domain::{self as rules, tokens as domain};
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::id::UnixMs;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    id: Uuid,
    project_id: Uuid,
    name: String,
    /// Neither revoked nor expired.
    is_active: bool,
    /// null = never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// The time in the id.
    #[schema(value_type = String, format = DateTime)]
    issued_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// As far as events have come and were counted: seconds behind, while nothing fails.
    request_count: u64,
    /// null = never.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// Null = all that its project allows.
    #[schema(value_type = Option<Policy>)]
    policy: Option<Stored>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NewlyMade {
    /// The token itself, shown here and never again.
    #[schema(example = "sk-lk-...")]
    token: String,
    /// Whether it works everywhere at once; otherwise in a few seconds.
    replicated: bool,
    #[serde(flatten)]
    shown: Token,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    project_id: Uuid,
    /// 1 to 200 characters.
    name: String,
    /// Seconds from now; 24 hours unless this or `expires_at` is given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    expires_in: Option<u64>,
    /// null = never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<Timestamp>>,
    /// An object of at most 4 KB, for you; the edge never has it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
    /// None of its own unless given. The valid tokens of a project have at most 200 different ones.
    #[serde(default)]
    policy: Option<Policy>,
    // Known names that nothing enforces yet; null asks for no limit and gets it.
    #[serde(default)]
    #[schema(ignore)]
    max_requests: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    rate_limit: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    budget: Option<IgnoredAny>,
}

/// What is given is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    name: Option<String>,
    /// null = never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<Timestamp>>,
    /// null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Map<String, Value>>>,
    /// Replaces the whole; null takes it away.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Policy>)]
    policy: Option<Option<Policy>>,
    // Known names that nothing enforces yet; null asks for no limit and gets it.
    #[serde(default)]
    #[schema(ignore)]
    max_requests: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    rate_limit: Option<IgnoredAny>,
    #[serde(default)]
    #[schema(ignore)]
    budget: Option<IgnoredAny>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    project_id: Option<Uuid>,
    /// Leaves out what is revoked or expired.
    active_only: Option<bool>,
    /// From 1 to 100; 20 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Tokens, newest first.
#[utoipa::path(get, path = "/manage/tokens", tag = "tokens", params(Filter),
    responses((status = 200, body = List<Token>)))]
pub(super) async fn list(
    manager: Manager,
    State(api): State<Api>,
    Query(query): Query<Filter>,
) -> Result<Json<List<Token>>> {
    let now = manager.act().at;
    let Filter { project_id, active_only, limit, cursor } = query;
    let filter = domain::Filter { project_id, active_only: active_only.unwrap_or(false) };
    let page = api.domain.list_tokens(filter, &PageRequest { limit, cursor }, now).await?;
    Ok(Json(List::from(page, |token| Token::at(token, now))))
}

/// Creates a token and shows it, once.
#[utoipa::path(post, path = "/manage/tokens", tag = "tokens", request_body = NewToken,
    responses((status = 201, body = NewlyMade), (status = 404, description = "No such project", body = ErrorBody),
        (status = 409, description = "The project is not active, or its tokens have too many policies", body = ErrorBody),
        (status = 422, description = "A policy that cannot be applied, or a limit that is not enforced yet",
            body = ErrorBody)))]
pub(super) async fn create(
    manager: Manager,
    State(api): State<Api>,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<NewlyMade>)> {
    let made = api.domain.create_token(manager.act(), new.try_into()?).await?;
    let shown = Token::at(made.token, clock::now());
    let token = made.plain_text.to_string();
    Ok((StatusCode::CREATED, Json(NewlyMade { token, replicated: made.is_replicated, shown })))
}

/// One token, without its secret.
#[utoipa::path(get, path = "/manage/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 200, body = Token), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<Json<Token>> {
    Ok(Json(Token::at(api.domain.get_token(id).await?, manager.act().at)))
}

/// Changes a token's name, expiry, metadata or policy.
#[utoipa::path(patch, path = "/manage/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    request_body = TokenPatch, responses((status = 200, body = Token), (status = 404, body = ErrorBody),
        (status = 409, description = "The project's tokens have too many policies", body = ErrorBody),
        (status = 422, description = "A policy that cannot be applied, or a limit that is not enforced yet",
            body = ErrorBody)))]
pub(super) async fn patch(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
    Body(patch): Body<TokenPatch>,
) -> Result<Json<Token>> {
    let token = api.domain.patch_token(manager.act(), id, patch.try_into()?).await?;
    Ok(Json(Token::at(token, manager.act().at)))
}

/// Revokes a token. To revoke it again changes nothing.
#[utoipa::path(delete, path = "/manage/tokens/{id}", tag = "tokens", params(("id" = Uuid, Path)),
    responses((status = 204, description = "Revoked"), (status = 404, body = ErrorBody)))]
pub(super) async fn revoke(
    manager: Manager,
    State(api): State<Api>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    api.domain.revoke_token(manager.act(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl Token {
    fn at(token: domain::Token, now: UnixMs) -> Self {
        Self {
            is_active: token.is_active(now),
            id: token.id,
            project_id: token.project_id,
            name: token.name,
            expires_at: token.expires_at.map(Timestamp),
            revoked_at: token.revoked_at.map(Timestamp),
            issued_at: Timestamp(token.issued_at),
            created_at: Timestamp(token.issued_at),
            request_count: token.request_count,
            last_used_at: token.last_used_at.map(Timestamp),
            metadata: token.metadata,
            policy: token.policy.map(Into::into),
        }
    }
}

impl TryFrom<NewToken> for domain::NewToken {
    type Error = ApiError;

    fn try_from(new: NewToken) -> Result<Self> {
        let NewToken {
            project_id,
            name,
            expires_in,
            expires_at,
            metadata,
            max_requests,
            rate_limit,
            budget,
            policy,
        } = new;
        refuse_limits([max_requests, rate_limit, budget])?;
        let expiry = match (expires_in, expires_at) {
            (None, None) => domain::Expiry::Default,
            (Some(seconds), None) => domain::Expiry::InSeconds(seconds),
            (None, Some(Some(Timestamp(at)))) => domain::Expiry::At(at),
            (None, Some(None)) => domain::Expiry::Never,
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid("give either expires_in or expires_at, not both"));
            }
        };
        let policy = policy.map(Policy::read).transpose()?;
        Ok(Self { project_id, name, expiry, metadata, policy })
    }
}

impl TryFrom<TokenPatch> for domain::TokenPatch {
    type Error = ApiError;

    fn try_from(patch: TokenPatch) -> Result<Self> {
        let TokenPatch { name, expires_at, metadata, max_requests, rate_limit, budget, policy } = patch;
        refuse_limits([max_requests, rate_limit, budget])?;
        let expires_at = expires_at.map(|at| at.map(|Timestamp(at)| at));
        let policy = policy.map(|policy| policy.map(Policy::read).transpose()).transpose()?;
        Ok(Self { name, expires_at, metadata, policy })
    }
}

/// What nothing enforces is not stored either.
fn refuse_limits(given: [Option<IgnoredAny>; 3]) -> Result<()> {
    let names = ["max_requests", "rate_limit", "budget"];
    let refused = names.into_iter().zip(given).find_map(|(name, value)| value.map(|_| name));
    refused.map_or(Ok(()), |name| Err(rules::Error::NotSupported(name).into()))
}
