//! `/manage/providers`

use super::Api;
use super::auth::Manager;
use super::error::{ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::{List, Paging};
use super::policy::{Policy, Stored};
use crate::domain::providers as domain;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::{policy, provider};
use std::collections::BTreeMap;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(super) struct Provider {
    name: String,
    base_url: String,
    auth: Auth,
    api: ApiKind,
    allowed_endpoints: Vec<EndpointRule>,
    default_headers: BTreeMap<String, String>,
    allowed_headers: Vec<String>,
    timeouts: TimeoutsShown,
    /// Null = all that `allowed_endpoints` says.
    #[schema(value_type = Option<Policy>)]
    policy: Option<Stored>,
    is_built_in: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

#[derive(Serialize, ToSchema)]
pub(super) struct ProviderPut {
    #[serde(flatten)]
    provider: Provider,
    /// Credentials that the new origin has deactivated; confirm each with PATCH `{"is_active": true}`.
    credentials_deactivated: u64,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewProvider {
    /// https; http only to a loopback address.
    #[schema(example = "https://api.example.com")]
    base_url: String,
    auth: Auth,
    api: ApiKind,
    /// What may be called; everything else is denied.
    allowed_endpoints: Vec<EndpointRule>,
    /// Set on every request to the provider.
    #[serde(default)]
    default_headers: BTreeMap<String, String>,
    /// Of `openai-organization` and `openai-project`, those that clients may send.
    #[serde(default)]
    allowed_headers: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    timeouts: Option<Timeouts>,
    /// For whoever calls the provider, besides `allowed_endpoints`; none unless given.
    #[serde(default)]
    policy: Option<Policy>,
}

/// The header in which the provider expects its key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    #[schema(example = "authorization")]
    header: String,
    /// Precedes the key, its space included.
    #[serde(default)]
    #[schema(example = "Bearer ")]
    prefix: String,
}

/// Whose API it speaks: it decides the shape of errors.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum ApiKind {
    #[serde(rename = "openai")]
    OpenAi,
    Anthropic,
    Gemini,
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EndpointRule {
    #[schema(example = json!(["POST"]))]
    methods: Vec<String>,
    /// `*` stays within a segment, `**` crosses segments.
    #[schema(example = "/v1/chat/completions")]
    path: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the unit is part of the wire name")]
pub(super) struct Timeouts {
    /// Until the provider's response headers; 60000 unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    first_byte_ms: Option<u32>,
    /// Between two pieces of an answer; 60000 unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    idle_ms: Option<u32>,
    /// For the whole, from the request on; 600000 unless given.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    total_ms: Option<u32>,
}

#[derive(Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "the unit is part of the wire name")]
pub(super) struct TimeoutsShown {
    first_byte_ms: u32,
    idle_ms: u32,
    total_ms: u32,
}

/// All providers, by name.
#[utoipa::path(get, path = "/manage/providers", tag = "providers", params(Paging),
    responses((status = 200, body = List<Provider>)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<Provider>>> {
    let page = api.domain.list_providers(&paging.into()).await?;
    Ok(Json(List::from(page, Provider::from)))
}

/// One provider.
#[utoipa::path(get, path = "/manage/providers/{name}", tag = "providers", params(("name" = String, Path)),
    responses((status = 200, body = Provider), (status = 404, body = ErrorBody)))]
pub(super) async fn get(
    _: Manager,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<Provider>> {
    Ok(Json(api.domain.get_provider(&name).await?.into()))
}

/// Creates or replaces a provider. A new origin deactivates its credentials until each is confirmed.
#[utoipa::path(put, path = "/manage/providers/{name}", tag = "providers", params(("name" = String, Path)),
    request_body = NewProvider,
    responses((status = 200, description = "Replaced", body = ProviderPut),
        (status = 201, description = "Created", body = ProviderPut),
        (status = 422, description = "A policy that cannot be applied", body = ErrorBody)))]
pub(super) async fn put(
    manager: Manager,
    State(api): State<Api>,
    Path(name): Path<String>,
    Body(new): Body<NewProvider>,
) -> Result<(StatusCode, Json<ProviderPut>)> {
    let put = api.domain.put_provider(manager.act(), new.named(name)?).await?;
    let status = if put.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let credentials_deactivated = put.credentials_deactivated;
    Ok((status, Json(ProviderPut { provider: put.stored.into(), credentials_deactivated })))
}

/// Deletes a provider that nothing uses.
#[utoipa::path(delete, path = "/manage/providers/{name}", tag = "providers", params(("name" = String, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, body = ErrorBody),
        (status = 409, description = "Built in, or in use", body = ErrorBody)))]
pub(super) async fn delete(
    manager: Manager,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode> {
    api.domain.delete_provider(manager.act(), &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl NewProvider {
    fn named(self, name: String) -> Result<provider::Provider> {
        Ok(provider::Provider {
            name,
            base_url: self.base_url,
            auth: provider::Auth { header: self.auth.header, prefix: self.auth.prefix },
            api: match self.api {
                ApiKind::OpenAi => provider::Api::OpenAi,
                ApiKind::Anthropic => provider::Api::Anthropic,
                ApiKind::Gemini => provider::Api::Gemini,
            },
            allowed_endpoints: self.allowed_endpoints.into_iter().map(Into::into).collect(),
            default_headers: self.default_headers,
            allowed_headers: self.allowed_headers,
            timeouts: self.timeouts.map_or_else(provider::Timeouts::default, Into::into),
            policy: self.policy.map(|policy| policy.read().map(Into::into)).transpose()?,
        })
    }
}

impl From<EndpointRule> for policy::EndpointRule {
    fn from(EndpointRule { methods, path }: EndpointRule) -> Self {
        Self { methods, path }
    }
}

impl From<policy::EndpointRule> for EndpointRule {
    fn from(policy::EndpointRule { methods, path }: policy::EndpointRule) -> Self {
        Self { methods, path }
    }
}

impl From<Timeouts> for provider::Timeouts {
    fn from(Timeouts { first_byte_ms, idle_ms, total_ms }: Timeouts) -> Self {
        let unless_given = Self::default();
        Self {
            first_byte_ms: first_byte_ms.unwrap_or(unless_given.first_byte_ms),
            idle_ms: idle_ms.unwrap_or(unless_given.idle_ms),
            total_ms: total_ms.unwrap_or(unless_given.total_ms),
        }
    }
}

impl From<provider::Timeouts> for TimeoutsShown {
    fn from(shown: provider::Timeouts) -> Self {
        let provider::Timeouts { first_byte_ms, idle_ms, total_ms } = shown;
        Self { first_byte_ms, idle_ms, total_ms }
    }
}

impl From<domain::StoredProvider> for Provider {
    fn from(stored: domain::StoredProvider) -> Self {
        let domain::StoredProvider { provider: shown, is_built_in, created_at, updated_at } = stored;
        Self {
            name: shown.name,
            base_url: shown.base_url,
            auth: Auth { header: shown.auth.header, prefix: shown.auth.prefix },
            api: match shown.api {
                provider::Api::OpenAi => ApiKind::OpenAi,
                provider::Api::Anthropic => ApiKind::Anthropic,
                provider::Api::Gemini => ApiKind::Gemini,
            },
            allowed_endpoints: shown.allowed_endpoints.into_iter().map(Into::into).collect(),
            default_headers: shown.default_headers,
            allowed_headers: shown.allowed_headers,
            timeouts: shown.timeouts.into(),
            policy: shown.policy.map(Into::into),
            is_built_in,
            created_at: Timestamp(created_at),
            updated_at: Timestamp(updated_at),
        }
    }
}
