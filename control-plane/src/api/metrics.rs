//! `/metrics`

use super::Api;
use super::auth::MetricsReader;
use super::error::{ApiError, ErrorBody, Result};
use crate::metrics::CONTENT_TYPE;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

/// Numbers for Prometheus. Open to all, unless `METRICS_TOKEN` is set.
#[utoipa::path(get, path = "/metrics", tag = "service", security((), ("metrics_token" = [])),
    responses((status = 200, description = "Prometheus' text format", content_type = "text/plain"),
        (status = 401, description = "`METRICS_TOKEN` is set, and the request is without it", body = ErrorBody)))]
pub(super) async fn metrics(_: MetricsReader, State(api): State<Api>) -> Result<impl IntoResponse> {
    let text = api.scraper.scrape().await.map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
