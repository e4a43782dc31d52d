//! An event as it is shown: by the API, and to sinks.

use crate::domain::events as domain;
use crate::money::NanoDollars;
use crate::timestamp::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// One request, whatever its end.
#[derive(Debug, Serialize, ToSchema)]
pub struct Event {
    /// The request's, as its answer had it in `x-latchkey-request-id`.
    id: Uuid,
    isolate_id: Uuid,
    seq: i64,
    /// How many requests it stands for: more than one only where they were refused
    /// before it was known whose they are.
    requests: i64,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    first_byte_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    ended_at: Timestamp,
    project_id: Option<Uuid>,
    token_id: Option<Uuid>,
    provider: Option<String>,
    method: String,
    endpoint: String,
    model_requested: Option<String>,
    /// As the provider answered.
    model: Option<String>,
    status: i64,
    error_code: Option<String>,
    /// Calls of an upstream.
    #[schema(value_type = Vec<Object>)]
    attempts: Value,
    bytes_in: i64,
    bytes_out: i64,
    input_tokens: Option<i64>,
    output_tokens: Option<i64>,
    cached_input_tokens: Option<i64>,
    reasoning_tokens: Option<i64>,
    /// `reported`, `estimated` or `none`.
    usage_source: String,
    /// `complete`, `truncated`, `aborted` or `refused`.
    completion: String,
    snapshot_version: Option<i64>,
    colo: Option<String>,
    country: Option<String>,
    /// US dollars, exact; null when the price is not known.
    #[schema(example = "0.0123")]
    cost_usd: Option<String>,
    /// There only if asked for.
    #[serde(flatten)]
    bodies: Option<Bodies>,
}

/// As they passed, but for what was redacted; null where they were not captured.
#[derive(Debug, Serialize, ToSchema)]
pub struct Bodies {
    request_body: Option<String>,
    /// Only its beginning is there.
    request_body_cut: bool,
    response_body: Option<String>,
    response_body_cut: bool,
}

impl Event {
    pub fn new(listed: domain::Listed, with_bodies: bool) -> Self {
        let domain::Listed { event: row, bodies } = listed;
        let at = |at: i64| Timestamp(at.cast_unsigned());
        Self {
            id: row.id,
            isolate_id: row.isolate_id,
            seq: row.seq,
            requests: row.requests,
            started_at: at(row.started_at),
            first_byte_at: row.first_byte_at.map(at),
            ended_at: at(row.ended_at),
            project_id: row.project_id,
            token_id: row.token_id,
            provider: row.provider,
            method: row.method,
            endpoint: row.endpoint,
            model_requested: row.model_requested,
            model: row.model,
            status: row.status,
            error_code: row.error_code,
            attempts: serde_json::from_str(&row.attempts).unwrap_or_default(),
            bytes_in: row.bytes_in,
            bytes_out: row.bytes_out,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            cached_input_tokens: row.cached_input_tokens,
            reasoning_tokens: row.reasoning_tokens,
            usage_source: row.usage_source,
            completion: row.completion,
            snapshot_version: row.snapshot_version,
            colo: row.colo,
            country: row.country,
            cost_usd: row.cost.map(|cost| NanoDollars(cost).to_string()),
            bodies: with_bodies.then(|| bodies.into()),
        }
    }
}

impl From<Option<domain::BodyRow>> for Bodies {
    fn from(row: Option<domain::BodyRow>) -> Self {
        let (request, response) = match row {
            Some(row) => ((row.request, row.request_is_cut), (row.response, row.response_is_cut)),
            None => Default::default(),
        };
        Self {
            request_body: request.0,
            request_body_cut: request.1,
            response_body: response.0,
            response_body_cut: response.1,
        }
    }
}
