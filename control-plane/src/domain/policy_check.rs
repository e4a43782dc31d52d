//! What the edge would answer to a request, as policies and routes are now.

use super::projects::Project;
use super::tokens::Token;
use super::{Domain, Error, Result};
use crate::store::{Connection, projects, providers, routes, tokens};
use shared::asked::{self, Asked};
use shared::id::UnixMs;
use shared::path::{self, ProviderName};
use shared::policy::parameters::Body;
use shared::policy::{Carried, Code, Denial, Facts, Owner, check_body, check_head};
use shared::provider::Provider;
use shared::route::{Route, Sent, Unroutable, check_encoding, edit_of_model, find, path_of_model};
use shared::snapshot::config::CarriedRoute;
use std::borrow::Cow;
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

/// What comes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// None where the edge would let it pass.
    pub refusal: Option<Refusal>,
    /// The name of the route that it takes.
    pub route: Option<String>,
    /// The route's, in its order; without one, the provider that was named. None
    /// where the request is refused whoever could be asked.
    pub targets: Vec<Target>,
}

/// Somebody who could be asked, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub provider: String,
    /// As it would be sent.
    pub model: Option<String>,
    /// As the provider would see it.
    pub path: String,
    /// Why it may not be.
    pub refusal: Option<Refusal>,
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
    pub async fn check_policy(&self, request: &Request, now: UnixMs) -> Result<Verdict> {
        let mut tx = self.store.read().await?;
        let caller = Caller::load(&mut tx, request.sender).await?;
        let (name, endpoint) = request.addressed(&caller.project.default_provider);
        let provider = provider(&mut tx, name).await?;
        let question = match caller.question(request, endpoint, provider.as_ref(), now) {
            Ok(question) => question,
            Err(refusal) => return Ok(refusal.into()),
        };
        let route = match question.route() {
            Ok(Some(route)) => route,
            Ok(None) => return Ok(question.into_named()),
            Err(refusal) => return Ok(refusal.into()),
        };
        let mut targets = Vec::with_capacity(route.targets.len());
        for target in &route.targets {
            targets.push((target, self::provider(&mut tx, &target.provider).await?));
        }
        Ok(question.by_route(route, &targets))
    }
}

/// Who asks, and what is set for it.
struct Caller {
    project: Project,
    token: Option<Token>,
    routes: Vec<CarriedRoute>,
}

/// A request that somebody sends who may call, to a provider that there is.
struct Question<'a> {
    caller: &'a Caller,
    request: &'a Request,
    provider: &'a Provider,
    /// As that sees the path.
    endpoint: &'a str,
    asked: Asked,
    is_json: bool,
}

impl Caller {
    async fn load(conn: &mut Connection, sender: Sender) -> Result<Self> {
        let (project_id, token) = match sender {
            Sender::Project(id) => (id, None),
            Sender::Token(id) => {
                let row = tokens::get(conn, id).await?.ok_or(Error::NotFound("token"))?;
                (row.project_id, Some(Token::try_from(row)?))
            }
        };
        let project = projects::get(conn, project_id).await?.ok_or(Error::NotFound("project"))?;
        let routes = routes::list(conn, project_id, 0, i64::MAX).await?;
        let routes = routes.iter().map(|row| CarriedRoute::parse(&row.definition)).collect();
        Ok(Self { project: project.try_into()?, token, routes })
    }

    fn question<'a>(
        &'a self,
        request: &'a Request,
        endpoint: &'a str,
        provider: Option<&'a Provider>,
        now: UnixMs,
    ) -> std::result::Result<Question<'a>, Refusal> {
        path::check(request.path()).map_err(|problem| Refusal::new(400, "invalid_path", problem))?;
        self.token.as_ref().map_or(Ok(()), |token| check_token(token, now))?;
        if !self.project.is_active {
            return Err(Refusal::new(403, "project_inactive", "The token's project is inactive."));
        }
        let provider = provider.ok_or_else(|| {
            let message =
                "No such provider. Paths are /<provider>/... or, for the project's default provider, /v1/...";
            Refusal::new(404, "unknown_provider", message)
        })?;
        let is_json = asked::is_json(&request.method, request.header("content-type"));
        let body = if is_json { request.body.as_slice() } else { &[] };
        let asked = asked::read(provider.api, endpoint, body);
        Ok(Question { caller: self, request, provider, endpoint, asked, is_json })
    }

    /// The project's and the token's.
    fn policies(&self) -> impl Iterator<Item = (Owner, &Carried)> {
        let policy = self.token.as_ref().and_then(|token| token.policy.as_ref());
        let policies = [(Owner::Project, self.project.policy.as_ref()), (Owner::Token, policy)];
        policies.into_iter().filter_map(|(owner, policy)| Some((owner, policy?)))
    }
}

impl Request {
    fn path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The name of the provider, and the path as that sees it.
    fn addressed<'a>(&'a self, default_provider: &'a str) -> (&'a str, &'a str) {
        match (&self.provider, path::split_provider(self.path())) {
            (Some(name), _) => (name, self.path()),
            (None, (ProviderName::Default, endpoint)) => (default_provider, endpoint),
            (None, (ProviderName::Named(name), endpoint)) => (name, endpoint),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn facts<'f>(&'f self, endpoint: &'f str, header: &'f dyn Fn(&str) -> Option<&'f str>) -> Facts<'f> {
        let declared = self.header("content-length").and_then(|length| length.parse().ok());
        Facts {
            method: &self.method,
            endpoint,
            header,
            client: self.client,
            country: self.country.as_deref(),
            body_length: declared.max(Some(self.body.len() as u64)),
        }
    }
}

impl<'a> Question<'a> {
    /// The route that the request takes, once it has passed what is judged whoever is asked.
    fn route(&self) -> std::result::Result<Option<&'a Route>, Refusal> {
        let Self { caller, request, provider, endpoint, asked, is_json } = self;
        provider.check_endpoint(&request.method, endpoint)?;
        let own = provider.policy.iter().map(|policy| (Owner::Provider, policy));
        let header = |name: &str| request.header(name);
        let facts = request.facts(endpoint, &header);
        let parameters = check_head(own.clone().chain(caller.policies()), &facts)?;
        let (content_type, body) = (request.header("content-type"), request.body.as_slice());
        let body = || Body::<&[u8]>::Whole(body);
        if caller.routes.is_empty() || !is_json {
            parameters.map_or(Ok(()), |parameters| parameters.check(content_type, body()))?;
            return Ok(None);
        }
        check_encoding(request.header("content-encoding"))?;
        check_body(caller.policies(), endpoint, content_type, body())?;
        let route = find(&caller.routes, asked.model.as_deref().unwrap_or_default())?;
        if route.is_none() {
            check_body(own, endpoint, content_type, body())?;
        }
        Ok(route)
    }

    /// It goes to the provider that it names, as it is.
    fn into_named(self) -> Verdict {
        let (provider, path) = (self.provider.name.clone(), self.endpoint.to_owned());
        let target = Target { provider, model: self.asked.model, path, refusal: None };
        Verdict { targets: vec![target], ..Verdict::default() }
    }

    fn by_route(&self, route: &Route, targets: &[(&shared::route::Target, Option<Provider>)]) -> Verdict {
        let place = asked::place_of_model(&self.request.body);
        // What the client gets where none may be asked.
        let mut last = Refusal::from(Unroutable::NoTarget);
        let mut judged = Vec::with_capacity(targets.len());
        for (target, provider) in targets {
            let (path, checked) = self.sent(target, provider.as_ref(), place);
            let is_written = matches!(path, Cow::Owned(_)) || place.is_some();
            let written = target.model.as_ref().filter(|_| is_written);
            let refusal = checked.err().map(Refusal::from);
            if let (Some(refusal), Some(_)) = (&refusal, provider) {
                last.clone_from(refusal);
            }
            judged.push(Target {
                provider: target.provider.clone(),
                model: written.or(self.asked.model.as_ref()).cloned(),
                path: path.into_owned(),
                refusal,
            });
        }
        let is_refused = judged.iter().all(|target| target.refusal.is_some());
        Verdict { refusal: is_refused.then_some(last), route: Some(route.name.clone()), targets: judged }
    }

    /// The path that a target would see, and whether it may be asked.
    fn sent<'p>(
        &'p self,
        target: &shared::route::Target,
        provider: Option<&Provider>,
        place: Option<(usize, usize)>,
    ) -> (Cow<'p, str>, std::result::Result<(), Unroutable>) {
        let model = target.model.as_deref();
        let path = path_of_model(model, self.endpoint);
        let asked = self.asked.model.as_deref().unwrap_or_default();
        let edit = edit_of_model(model, asked, place, self.endpoint);
        let header = |name: &str| self.request.header(name);
        let sent = Sent {
            facts: &self.request.facts(&path, &header),
            content_type: header("content-type"),
            body: &self.request.body,
            edits: edit.as_ref().map_or(&[], Option::as_slice),
        };
        let checked = provider.ok_or(Unroutable::NoTarget).and_then(|provider| {
            edit.as_ref().map_err(Clone::clone)?;
            sent.check(provider, self.provider.api)
        });
        (path, checked)
    }
}

async fn provider(conn: &mut Connection, name: &str) -> Result<Option<Provider>> {
    let row = providers::get(conn, name).await?;
    row.map(|row| serde_json::from_str(&row.definition)).transpose().map_err(Into::into)
}

fn check_token(token: &Token, now: UnixMs) -> std::result::Result<(), Refusal> {
    let refused = |code, what: &str| Err(Refusal::new(401, code, what));
    if token.revoked_at.is_some() {
        refused("token_revoked", "The token has been revoked. Ask for a new one.")
    } else if token.is_active(now) {
        Ok(())
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

impl From<Unroutable> for Refusal {
    fn from(unroutable: Unroutable) -> Self {
        let code = match unroutable {
            Unroutable::Denied(denial) => return denial.into(),
            Unroutable::EncodedBody => Code::EncodedBody,
            Unroutable::Ambiguous => Code::InvalidBody,
            Unroutable::Unreadable => Code::SnapshotUnavailable,
            Unroutable::AnotherApi | Unroutable::NoTarget => {
                return Self::new(503, "upstream_unavailable", unroutable.to_string());
            }
        };
        Self::new(code.status(), code.as_str(), unroutable.to_string())
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..Self::default() }
    }
}
