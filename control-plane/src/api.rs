//! The management API. This page holds the route table and the middleware order.
//!
//! A handler parses, calls one function of the domain, and encodes. Each takes
//! a [`auth::Manager`], of which only a request with a right management token
//! gets one, or [`auth::Anyone`], which says that it needs none; what the edge
//! calls takes an [`edge::SignedCall`].

mod audit;
mod auth;
mod client;
mod credentials;
mod dead_letters;
mod edge;
mod error;
mod events;
mod extract;
mod health;
mod list;
mod metrics;
mod policy;
mod policy_check;
mod prices;
mod projects;
mod providers;
mod respond;
mod routes;
mod serve;
mod sinks;
mod snapshot;
mod tokens;
mod trace;
mod usage;

pub use auth::{Access, ManagementTokens, MetricsTokens};
pub use axum::Router;
pub use client::TrustedProxies;
pub use serve::serve;

use crate::domain::Domain;
use crate::events::Ingest;
use crate::metrics::{Metrics, Scraper};
use crate::store::Store;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use shared::header::CALL_SIGNATURE;
use std::sync::Arc;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// 1 MB: the largest body read.
const MAX_BODY: usize = 1024 * 1024;

/// What handlers work with.
#[derive(Clone, Debug)]
pub struct Api {
    domain: Domain,
    access: Arc<Access>,
    ingest: Arc<Ingest>,
    scraper: Arc<Scraper>,
    openapi: Arc<str>,
}

/// The whole service.
pub fn router(domain: Domain, access: Access, ingest: Arc<Ingest>, metrics: &Arc<Metrics>) -> Router {
    let (router, document) = routes().split_for_parts();
    // A document made of strings and numbers can always be written.
    let openapi = document.to_json().unwrap_or_default().into();
    let scraper = Arc::new(Scraper::new(Arc::clone(metrics), domain.clone(), Arc::clone(&ingest)));
    let api = Api { domain, access: Arc::new(access), ingest, scraper, openapi };
    router
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::unknown_method)
        .with_state(api)
        // Innermost first: the body is limited before anything reads it; the
        // outermost gives the request its id, bounds its time, logs and counts it, and
        // turns every error, also those of the layers below, into one shape.
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(metrics.http.clone(), respond::respond))
}

fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::get, projects::patch))
        .routes(routes!(projects::revoke_tokens))
        .routes(routes!(credentials::list, credentials::create))
        .routes(routes!(credentials::patch, credentials::delete))
        .routes(routes!(routes::list, routes::create))
        .routes(routes!(routes::get, routes::put, routes::delete))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::get, tokens::patch, tokens::revoke))
        .routes(routes!(providers::list))
        .routes(routes!(providers::get, providers::put, providers::delete))
        .routes(routes!(policy_check::check))
        .routes(routes!(snapshot::status))
        .routes(routes!(snapshot::publish))
        .routes(routes!(audit::list))
        .routes(routes!(usage::list))
        .routes(routes!(events::list))
        .routes(routes!(events::status))
        .routes(routes!(events::gaps))
        .routes(routes!(events::set_aside))
        .routes(routes!(events::erase))
        .routes(routes!(prices::list, prices::create))
        .routes(routes!(prices::delete))
        .routes(routes!(sinks::list, sinks::create))
        .routes(routes!(sinks::get, sinks::patch, sinks::delete))
        .routes(routes!(sinks::test))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::get, dead_letters::discard))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(edge::events))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::metrics))
        .routes(routes!(openapi))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Latchkey management API", description = "Projects, withering tokens, provider keys, providers, usage."),
    components(schemas(error::ErrorBody)),
    security(("management_token" = [])),
    modifiers(&Schemes)
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("management_token", token);
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("metrics_token", token);
        let signature = ApiKeyValue::with_description(
            CALL_SIGNATURE,
            "With `x-latchkey-time` and `x-latchkey-nonce`: HMAC-SHA256 with `EDGE_INGEST_KEY`.",
        );
        components.add_security_scheme("edge_signature", SecurityScheme::ApiKey(ApiKey::Header(signature)));
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "service", security(()),
    responses((status = 200, description = "OpenAPI", content_type = "application/json")))]
async fn openapi(_: auth::Anyone, State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], api.openapi.to_string())
}

impl Api {
    fn store(&self) -> &Store {
        &self.domain.store
    }
}

#[cfg(test)]
mod tests;
