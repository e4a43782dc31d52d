//! Errors as the caller reads them: one shape for all.

use crate::domain;
use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Two messages: what the caller may read, and what the log keeps.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub inside: Option<String>,
}

pub(super) type Result<T> = std::result::Result<T, ApiError>;

#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Serialize, ToSchema)]
struct ErrorDetail {
    /// `invalid_request`, `unauthorized`, `not_found`, `method_not_allowed`, `timeout`, `conflict`,
    /// `gone`, `body_too_large`, `unsupported_media_type`, `not_supported`, `invalid_policy`, `invalid_route`,
    /// `sink_refused`, `sink_unavailable`, `internal` or `unavailable`.
    #[schema(example = "invalid_request")]
    code: &'static str,
    message: String,
    /// Name it when you ask for help: the log has it too.
    request_id: Uuid,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), inside: None }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    pub(super) fn unauthorized() -> Self {
        let message = "a management token is needed: `Authorization: Bearer <MANAGEMENT_TOKEN>`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn metrics_unauthorized() -> Self {
        let message = "the metrics' token is needed: `Authorization: Bearer <METRICS_TOKEN>`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(super) fn internal(inside: impl Into<String>) -> Self {
        let message = "something went wrong here; the log has more under this request id";
        let error = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message);
        Self { inside: Some(inside.into()), ..error }
    }

    pub(super) fn unavailable(message: &str, inside: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        Self { inside: Some(inside.into()), ..error }
    }

    pub(super) fn body(&self, request_id: Uuid) -> ErrorBody {
        ErrorBody { error: ErrorDetail { code: self.code, message: self.message.clone(), request_id } }
    }
}

/// Hands the error to [`super::respond`], which knows the request's id.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<domain::Error> for ApiError {
    fn from(error: domain::Error) -> Self {
        use domain::Error;
        let message = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            Error::Invalid { .. } => Self::invalid(message),
            Error::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", message),
            Error::Gone(_) => Self::new(StatusCode::GONE, "gone", message),
            Error::SinkRefused(_) => Self::new(StatusCode::BAD_GATEWAY, "sink_refused", message),
            Error::SinkUnavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "sink_unavailable", message)
            }
            Error::NotSupported(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "not_supported", message),
            Error::InvalidPolicy(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_policy", message),
            Error::InvalidRoute(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_route", message),
            Error::Internal(inside) => Self::internal(inside),
        }
    }
}

pub(super) async fn unknown_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path; see /openapi.json")
}

pub(super) async fn unknown_method(method: Method, path: MatchedPath) -> ApiError {
    let message = if method == Method::DELETE && path.as_str() == "/manage/projects/{id}" {
        "a project is not deleted, so that its history stays; deactivate it: PATCH {\"is_active\": false}"
            .to_owned()
    } else {
        format!("this path does not take {method}; `Allow` says what it takes")
    };
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
