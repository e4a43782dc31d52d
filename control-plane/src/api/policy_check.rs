//! `/manage/policy/check`

use super::Api;
use super::auth::Manager;
use super::error::{ApiError, ErrorBody, Result};
use super::extract::{Body, present};
use crate::domain::policy_check as domain;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::policy;
use std::collections::BTreeMap;
use std::net::IpAddr;
use utoipa::ToSchema;
use uuid::Uuid;

/// A request that a client might send.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "token_id": "01936f2e-8f7c-7cc0-8f64-5a2f0c7a9d11",
    "method": "POST",
    "path": "/openai/v1/chat/completions",
    "headers": { "origin": "https://app.example.com" },
    "body": { "model": "gpt-4o", "messages": [] },
    "client": { "address": "192.0.2.7", "country": "DE" }
}))]
pub(super) struct Request {
    /// Whose token would be used, one without a policy of its own. Either this or `token_id`.
    #[serde(default)]
    project_id: Option<Uuid>,
    /// The token that would be used.
    #[serde(default)]
    token_id: Option<Uuid>,
    /// If given, `path` is this provider's own; otherwise it is as a client sends it.
    #[serde(default)]
    provider: Option<String>,
    #[schema(example = "POST")]
    method: String,
    /// `/<provider>/...`, or `/v1/...` for the project's default provider.
    #[schema(example = "/openai/v1/chat/completions")]
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Any JSON. `application/json`, unless `headers` have another content type.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    body: Option<Value>,
    /// In place of `body`: exactly what would be sent.
    #[serde(default)]
    body_text: Option<String>,
    #[serde(default)]
    client: Option<Client>,
}

/// Where the client is. A policy that asks for what is left out refuses.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Client {
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "192.0.2.7")]
    address: Option<IpAddr>,
    #[serde(default)]
    #[schema(example = "DE")]
    country: Option<String>,
}

/// What the edge would say, as far as policies and routes go: whether there is a credential for a provider is not asked.
#[derive(Serialize, ToSchema)]
pub(super) struct Verdict {
    #[serde(flatten)]
    answer: Judgment,
    /// The name of the route that the request takes; null without one.
    #[schema(example = "fast")]
    route: Option<String>,
    /// The route's targets, in its order; without a route, the provider that is named. None of them is here where the
    /// request is refused whoever could be asked. Where none may be asked, the client gets the last one's refusal.
    targets: Vec<JudgedTarget>,
}

/// Whether something is allowed, and why not.
#[derive(Serialize, ToSchema)]
struct Judgment {
    allowed: bool,
    /// Of the refusal; null if it is allowed, as are the others.
    #[schema(example = 400)]
    status: Option<u16>,
    #[schema(example = "param_not_allowed")]
    code: Option<&'static str>,
    /// As the client would read it.
    message: Option<String>,
    /// Whose policy it was; null if it was none.
    policy: Option<Owner>,
    /// Which rule; `allowed_endpoints` is the provider's own.
    #[schema(example = "parameters[0]")]
    rule: Option<String>,
    /// Which parameter.
    #[schema(example = "model")]
    param: Option<String>,
}

/// Whom the request could go to, and as what.
#[derive(Serialize, ToSchema)]
struct JudgedTarget {
    #[schema(example = "openai")]
    provider: String,
    /// As it would be sent; null where it is not known.
    #[schema(example = "gpt-4o-mini")]
    model: Option<String>,
    /// As the provider would see it.
    #[schema(example = "/v1/chat/completions")]
    path: String,
    #[serde(flatten)]
    answer: Judgment,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Owner {
    Provider,
    Project,
    Token,
}

/// Says what the edge would answer to a request, by policies and routes as they are now, and sends nothing.
#[utoipa::path(post, path = "/manage/policy/check", tag = "policies", request_body = Request,
    responses((status = 200, body = Verdict),
        (status = 404, description = "No such project or token", body = ErrorBody)))]
pub(super) async fn check(
    manager: Manager,
    State(api): State<Api>,
    Body(request): Body<Request>,
) -> Result<Json<Verdict>> {
    let verdict = api.domain.check_policy(&request.try_into()?, manager.act().at).await?;
    Ok(Json(verdict.into()))
}

impl TryFrom<Request> for domain::Request {
    type Error = ApiError;

    fn try_from(request: Request) -> Result<Self> {
        let Request { project_id, token_id, provider, method, path, headers, body, body_text, client } =
            request;
        let sender = match (project_id, token_id) {
            (Some(id), None) => domain::Sender::Project(id),
            (None, Some(id)) => domain::Sender::Token(id),
            (None, None) | (Some(_), Some(_)) => {
                return Err(ApiError::invalid("give either project_id or token_id"));
            }
        };
        if !path.starts_with('/') {
            return Err(ApiError::invalid("path: must begin with /"));
        }
        let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let mut headers: BTreeMap<String, String> = headers.collect();
        let body = match (body, body_text) {
            (Some(_), Some(_)) => return Err(ApiError::invalid("give either body or body_text, not both")),
            (Some(body), None) => {
                headers.entry("content-type".to_owned()).or_insert_with(|| "application/json".to_owned());
                body.to_string().into_bytes()
            }
            (None, text) => text.unwrap_or_default().into_bytes(),
        };
        let Client { address: client, country } = client.unwrap_or(Client { address: None, country: None });
        Ok(Self { sender, provider, method, path, headers, body, client, country })
    }
}

impl From<domain::Verdict> for Verdict {
    fn from(verdict: domain::Verdict) -> Self {
        let domain::Verdict { refusal, route, targets } = verdict;
        Self { answer: refusal.into(), route, targets: targets.into_iter().map(Into::into).collect() }
    }
}

impl From<domain::Target> for JudgedTarget {
    fn from(target: domain::Target) -> Self {
        let domain::Target { provider, model, path, refusal } = target;
        Self { provider, model, path, answer: refusal.into() }
    }
}

impl From<Option<domain::Refusal>> for Judgment {
    fn from(refusal: Option<domain::Refusal>) -> Self {
        let Some(refusal) = refusal else {
            let (status, code, message, policy, rule, param) = (None, None, None, None, None, None);
            return Self { allowed: true, status, code, message, policy, rule, param };
        };
        let domain::Refusal { status, code, message, owner, rule, param } = refusal;
        Self {
            allowed: false,
            status: Some(status),
            code: Some(code),
            message: Some(message),
            policy: owner.map(|owner| match owner {
                policy::Owner::Provider => Owner::Provider,
                policy::Owner::Project => Owner::Project,
                policy::Owner::Token => Owner::Token,
            }),
            rule,
            param,
        }
    }
}
