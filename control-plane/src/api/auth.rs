//! Who may call. Handlers get a [`Manager`] or [`MetricsReader`] only from here.

use super::Api;
use super::client::TrustedProxies;
use super::error::ApiError;
use super::respond::RequestId;
use crate::clock;
use crate::domain::Act;
use crate::secret::Secret;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header;
use axum::http::request::Parts;
use shared::key::KeyId;
use std::convert::Infallible;
use std::net::SocketAddr;

/// Proof that the request carries a management token, and what an audit record
/// says of it.
#[derive(Debug)]
pub(super) struct Manager(Act);

/// Says that a path is open to all.
pub(super) struct Anyone(());

/// Proof that the request may read the metrics.
#[derive(Debug)]
pub(super) struct MetricsReader(());

/// What decides who may call.
#[derive(Debug)]
pub struct Access {
    pub management: ManagementTokens,
    pub metrics: MetricsTokens,
    pub proxies: TrustedProxies,
}

/// `METRICS_TOKEN`: none, where all may read the metrics; one; or two during a rotation.
#[derive(Debug)]
pub struct MetricsTokens(Vec<Secret>);

/// `MANAGEMENT_TOKEN`: one, or two during a rotation.
#[derive(Debug)]
pub struct ManagementTokens(Vec<Secret>);

impl Manager {
    pub(super) fn act(&self) -> &Act {
        &self.0
    }
}

impl ManagementTokens {
    pub fn new(tokens: Vec<Secret>) -> Self {
        Self(tokens)
    }

    /// The actor's name in audit records: it tells two tokens apart and tells neither.
    fn actor(&self, given: &str) -> Option<String> {
        find(&self.0, given).map(|token| format!("management:{}", KeyId::of(token.reveal().as_bytes())))
    }
}

impl MetricsTokens {
    pub fn new(tokens: Vec<Secret>) -> Self {
        Self(tokens)
    }

    fn admit(&self, given: Option<&str>) -> bool {
        self.0.is_empty() || given.is_some_and(|given| find(&self.0, given).is_some())
    }
}

/// All are compared, whichever matches, so that time does not tell which.
fn find<'a>(tokens: &'a [Secret], given: &str) -> Option<&'a Secret> {
    tokens.iter().fold(None, |found, token| if token.matches(given) { Some(token) } else { found })
}

impl FromRequestParts<Api> for Manager {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let given = bearer(parts).ok_or_else(ApiError::unauthorized)?;
        let actor = api.access.management.actor(given).ok_or_else(ApiError::unauthorized)?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        Ok(Self(Act {
            actor,
            at: clock::now(),
            client: peer.map(|peer| api.access.proxies.client(peer, &parts.headers)),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0),
        }))
    }
}

impl FromRequestParts<Api> for MetricsReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let is_admitted = api.access.metrics.admit(bearer(parts));
        is_admitted.then_some(Self(())).ok_or_else(ApiError::metrics_unauthorized)
    }
}

impl FromRequestParts<Api> for Anyone {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &Api) -> Result<Self, Infallible> {
        Ok(Self(()))
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
