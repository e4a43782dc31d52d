//! `/manage/audit`

use super::Api;
use super::auth::Manager;
use super::error::Result;
use super::extract::Query;
use super::list::List;
use crate::domain::audit as domain;
use crate::domain::page::PageRequest;
use crate::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

#[derive(Serialize, ToSchema)]
pub(super) struct AuditRecord {
    id: Uuid,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `management:<id of the token>`, or `system`.
    actor: String,
    #[schema(example = "token.create")]
    action: String,
    resource_id: String,
    project_id: Option<Uuid>,
    /// The client's address.
    client: Option<String>,
    request_id: Option<String>,
    result: String,
    /// What it was; null when it is new.
    #[schema(value_type = Option<Object>)]
    before: Option<Value>,
    /// What it is; null when it is gone.
    #[schema(value_type = Option<Object>)]
    after: Option<Value>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    project_id: Option<Uuid>,
    /// For example `token.create`.
    action: Option<String>,
    /// From 1 to 100; 20 unless given.
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Who changed what, newest first.
#[utoipa::path(get, path = "/manage/audit", tag = "audit", params(Filter),
    responses((status = 200, body = List<AuditRecord>)))]
pub(super) async fn list(
    _: Manager,
    State(api): State<Api>,
    Query(query): Query<Filter>,
) -> Result<Json<List<AuditRecord>>> {
    let Filter { project_id, action, limit, cursor } = query;
    let page =
        api.domain.list_audit(&domain::Filter { project_id, action }, &PageRequest { limit, cursor }).await?;
    Ok(Json(List::from(page, AuditRecord::from)))
}

impl From<domain::Record> for AuditRecord {
    fn from(record: domain::Record) -> Self {
        let domain::Record { id, at, actor, action, resource_id, project_id, .. } = record;
        let domain::Record { client, request_id, result, before, after, .. } = record;
        let at = Timestamp(at);
        Self { id, at, actor, action, resource_id, project_id, client, request_id, result, before, after }
    }
}
