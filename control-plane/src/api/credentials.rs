//! `/manage/projects/{id}/credentials`

use super::Api;
use super::auth::Manager;
use super::error::{ErrorBody, Result};
use super::extract::{Body, Path, Query, present};
use super::list::{List, Paging};
use crate::domain::credentials as domain;
use crate::secret::Secret;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

#[derive(Serialize, ToSchema)]
pub(super) struct Credential {
    id: Uuid,
    provider: String,
    label: String,
    /// The last 4 characters of the key.
    hint: String,
    weight: u32,
    priority: u32,
    is_active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredential {
    provider: String,
    /// At most 200 characters.
    #[serde(default)]
    label: String,
    /// The provider's key; sealed on arrival and never shown again.
    #[schema(write_only)]
    api_key: String,
    /// From 1 to 1000: the share among credentials of equal priority.
    #[serde(default = "one")]
    weight: u64,
    /// From 0 to 1000: the lowest goes first.
    #[serde(default)]
    priority: u64,
}

/// What is given is changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialPatch {
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    label: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false, write_only)]
    api_key: Option<String>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    weight: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    priority: Option<u64>,
    /// `true` also confirms the credential for the provider's present origin.
    #[serde(default, deserialize_with = "present")]
    #[schema(nullable = false)]
    is_active: Option<bool>,
}

/// A project's credentials, newest first.
#[utoipa::path(get, path = "/manage/projects/{id}/credentials", tag = "credentials",
    params(("id" = Uuid, Path), Paging),
    responses((status = 200, body = List<Credential>), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Path(project_id): Path<Uuid>,
    Query(paging): Query<Paging>,
) -> Result<Json<List<Credential>>> {
    let page = api.domain.list_credentials(project_id, &paging.into()).await?;
    Ok(Json(List::from(page, Credential::from)))
}

/// Adds a provider key to a project.
#[utoipa::path(post, path = "/manage/projects/{id}/credentials", tag = "credentials",
    params(("id" = Uuid, Path)), request_body = NewCredential,
    responses((status = 201, body = Credential), (status = 404, body = ErrorBody)))]
pub(super) async fn create(
    manager: Manager,
    State(api): State<Api>,
    Path(project_id): Path<Uuid>,
    Body(new): Body<NewCredential>,
) -> Result<(StatusCode, Json<Credential>)> {
    let credential = api.domain.create_credential(manager.act(), project_id, new.into()).await?;
    Ok((StatusCode::CREATED, Json(credential.into())))
}

/// Changes a credential, or confirms it after its provider has moved.
#[utoipa::path(patch, path = "/manage/projects/{id}/credentials/{credential_id}", tag = "credentials",
    params(("id" = Uuid, Path), ("credential_id" = Uuid, Path)), request_body = CredentialPatch,
    responses((status = 200, body = Credential), (status = 404, body = ErrorBody)))]
pub(super) async fn patch(
    manager: Manager,
    State(api): State<Api>,
    Path((project_id, id)): Path<(Uuid, Uuid)>,
    Body(patch): Body<CredentialPatch>,
) -> Result<Json<Credential>> {
    Ok(Json(api.domain.patch_credential(manager.act(), project_id, id, patch.into()).await?.into()))
}

/// Deletes a credential.
#[utoipa::path(delete, path = "/manage/projects/{id}/credentials/{credential_id}", tag = "credentials",
    params(("id" = Uuid, Path), ("credential_id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 404, body = ErrorBody)))]
pub(super) async fn delete(
    manager: Manager,
    State(api): State<Api>,
    Path((project_id, id)): Path<(Uuid, Uuid)>,
) -> Result<StatusCode> {
    api.domain.delete_credential(manager.act(), project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn one() -> u64 {
    1
}

impl From<domain::Credential> for Credential {
    fn from(credential: domain::Credential) -> Self {
        let domain::Credential { id, provider, label, hint, weight, priority, is_active, created_at } =
            credential;
        Self { id, provider, label, hint, weight, priority, is_active, created_at: Timestamp(created_at) }
    }
}

impl From<NewCredential> for domain::NewCredential {
    fn from(NewCredential { provider, label, api_key, weight, priority }: NewCredential) -> Self {
        Self { provider, label, api_key: Secret::from(api_key), weight, priority }
    }
}

impl From<CredentialPatch> for domain::CredentialPatch {
    fn from(patch: CredentialPatch) -> Self {
        let CredentialPatch { label, api_key, weight, priority, is_active } = patch;
        Self { label, api_key: api_key.map(Secret::from), weight, priority, is_active }
    }
}
