//! What the edge would answer to a request, as policies are now.

use super::projects::Project;
use super::tokens::Token;
use super::{Domain, Error, Result};
use crate::store::{Connection, projects, providers, tokens};
use shared::id::UnixMs;
use shared::path::{self, ProviderName};
use shared::policy::parameters::Body;
use shared::policy::{Carried, Denial, Facts, Owner, check_head};
use shared::provider::Provider;
use std::collections::BTreeMap;
use std::net::IpAddr;
use uuid::Uuid;

/// Who would send the request.
#[derive(Clone, Copy, Debug)]
pub enum Sender {
    /// Somebody with a valid token of it that has no policy of its own.
    Project(Uuid),
    Token(Uuid),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub sender: Sender,
    /// Whose own `path` is; else the path begins with it.
    pub provider: Option<String>,
    pub method: String,
    /// With or without a query.
    pub path: String,
    /// By name.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub client: Option<IpAddr>,
    pub country: Option<String>,
}

/// How a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// Where it was a policy: whose.
    pub owner: Option<Owner>,
    pub rule: Option<String>,
    pub param: Option<String>,
}

impl Domain {
    /// None where the edge would let it pass.
    pub async fn check_policy(&self, request: &Request, now: UnixMs) -> Result<Option<Refusal>> {
        let path = request.path.split('?').next().unwrap_or_default();
        let mut tx = self.store.read().await?;
        let (project, token) = sender(&mut tx, request.sender).await?;
        if let Err(problem) = path::check(path) {
            return Ok(Some(Refusal::new(400, "invalid_path", problem)));
        }
        if let Some(refusal) = token.as_ref().and_then(|token| ended(token, now)) {
            return Ok(Some(refusal));
        }
        if !project.is_active {
            return Ok(Some(Refusal::new(403, "project_inactive", "The token's project is inactive.")));
        }
        let (name, endpoint) = match (&request.provider, path::split_provider(path)) {
            (Some(name), _) => (name.as_str(), path),
            (None, (ProviderName::Default, endpoint)) => (project.default_provider.as_str(), endpoint),
            (None, (ProviderName::Named(name), endpoint)) => (name, endpoint),
        };
        let Some(row) = providers::get(&mut tx, name).await? else {
            let message =
                "No such provider. Paths are /<provider>/... or, for the project's default provider, /v1/...";
            return Ok(Some(Refusal::new(404, "unknown_provider", message)));
        };
        let provider: Provider = serde_json::from_str(&row.definition)?;
        let policy = token.as_ref().and_then(|token| token.policy.as_ref());
        let policies = [
            (Owner::Provider, provider.policy.as_ref()),
            (Owner::Project, project.policy.as_ref()),
            (Owner::Token, policy),
        ];
        let policies = policies.into_iter().filter_map(|(owner, policy)| Some((owner, policy?)));
        Ok(judge(&provider, policies, endpoint, request).err().map(Into::into))
    }
}

fn judge<'a>(
    provider: &Provider,
    policies: impl Iterator<Item = (Owner, &'a Carried)>,
    endpoint: &str,
    request: &Request,
) -> std::result::Result<(), Denial> {
    provider.check_endpoint(&request.method, endpoint)?;
    let header = |name: &str| request.headers.get(name).map(String::as_str);
    let declared = header("content-length").and_then(|length| length.parse().ok());
    let facts = Facts {
        method: &request.method,
        endpoint,
        header: &header,
        client: request.client,
        country: request.country.as_deref(),
        body_length: declared.max(Some(request.body.len() as u64)),
    };
    match check_head(policies, &facts)? {
        Some(parameters) => parameters.check(header("content-type"), Body::<&[u8]>::Whole(&request.body)),
        None => Ok(()),
    }
}

async fn sender(conn: &mut Connection, sender: Sender) -> Result<(Project, Option<Token>)> {
    let (project_id, token) = match sender {
        Sender::Project(id) => (id, None),
        Sender::Token(id) => {
            let row = tokens::get(conn, id).await?.ok_or(Error::NotFound("token"))?;
            (row.project_id, Some(Token::try_from(row)?))
        }
    };
    let project = projects::get(conn, project_id).await?.ok_or(Error::NotFound("project"))?;
    Ok((project.try_into()?, token))
}

fn ended(token: &Token, now: UnixMs) -> Option<Refusal> {
    let refused = |code, what: &str| Some(Refusal::new(401, code, what));
    if token.revoked_at.is_some() {
        refused("token_revoked", "The token has been revoked. Ask for a new one.")
    } else if token.is_active(now) {
        None
    } else {
        refused("token_expired", "The token has expired. Ask for a new one.")
    }
}

impl Refusal {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), owner: None, rule: None, param: None }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        let Denial { code, owner, rule, message, allow: _, param } = denial;
        let (owner, rule) = (Some(owner), Some(rule));
        Self { status: code.status(), code: code.as_str(), message, owner, rule, param }
    }
}
