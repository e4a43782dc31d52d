//! Who may call. Handlers get a [`Manager`] only from here.

use super::Api;
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
        // All are compared, whichever matches, so that time does not tell which.
        let found =
            self.0.iter().fold(None, |found, token| if token.matches(given) { Some(token) } else { found });
        found.map(|token| format!("management:{}", KeyId::of(token.reveal().as_bytes())))
    }
}

impl FromRequestParts<Api> for Manager {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let given = bearer(parts).ok_or_else(ApiError::unauthorized)?;
        let actor = api.tokens.actor(given).ok_or_else(ApiError::unauthorized)?;
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        Ok(Self(Act {
            actor,
            at: clock::now(),
            client: peer.map(|peer| api.proxies.client(peer, &parts.headers)),
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0),
        }))
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
