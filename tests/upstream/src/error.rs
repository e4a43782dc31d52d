//! What goes wrong on purpose or by the client's mistake, in each provider's own words. Status
//! decides the provider's name for the error, so a fault and a mistake look alike.

use axum::Json;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// Whose wire format an exchange is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    OpenAi,
    Anthropic,
    Gemini,
}

/// Paths below `/v1` that are `OpenAI`'s whatever headers come with them.
const OPENAI_PATHS: [&str; 5] = ["/v1/chat/", "/v1/responses", "/v1/embeddings", "/v1/audio/", "/v1/files"];

impl Api {
    /// All three have paths below `/v1`. For those they share, headers decide: a version is
    /// Anthropic's, which requires it, and a key of Google's is Gemini's.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        if OPENAI_PATHS.iter().any(|prefix| path.starts_with(prefix)) {
            Self::OpenAi
        } else if path.starts_with("/v1/messages") {
            Self::Anthropic
        } else if path.starts_with("/v1beta")
            || path.ends_with(":generateContent")
            || path.ends_with(":streamGenerateContent")
        {
            Self::Gemini
        } else if headers.contains_key("anthropic-version") {
            Self::Anthropic
        } else if headers.contains_key("x-goog-api-key") {
            Self::Gemini
        } else {
            Self::OpenAi
        }
    }
}

#[derive(Debug)]
pub(crate) enum Problem {
    MissingCredential,
    /// Anthropic only.
    MissingVersion,
    InvalidJson(String),
    InvalidRequest(String),
    BodyTooLarge,
    NotFound(Method, String),
    MethodNotAllowed(Method, String),
    Fault(StatusCode),
}

impl Problem {
    pub(crate) fn into_response(self, api: Api) -> Response {
        (self.status(api), Json(self.body(api))).into_response()
    }

    pub(crate) fn body(&self, api: Api) -> Value {
        let status = self.status(api);
        let message = self.message(api);
        match api {
            Api::OpenAi => openai(status, &message),
            Api::Anthropic => anthropic(status, &message),
            Api::Gemini => gemini(status, &message),
        }
    }

    fn status(&self, api: Api) -> StatusCode {
        match self {
            Self::MissingCredential if api == Api::Gemini => StatusCode::FORBIDDEN,
            Self::MissingCredential => StatusCode::UNAUTHORIZED,
            Self::MissingVersion | Self::InvalidJson(_) | Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotFound(..) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(..) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Fault(status) => *status,
        }
    }

    fn message(&self, api: Api) -> String {
        match (self, api) {
            (Self::MissingCredential, Api::OpenAi) => {
                "You didn't provide an API key. You need to provide your API key in an Authorization header \
                 using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
                    .to_owned()
            }
            (Self::MissingCredential, Api::Anthropic) => "x-api-key header is required".to_owned(),
            (Self::MissingCredential, Api::Gemini) => {
                "Method doesn't allow unregistered callers (callers without established identity). Please use \
                 API Key or other form of API consumer identity to call this API."
                    .to_owned()
            }
            (Self::MissingVersion, _) => "anthropic-version: header is required".to_owned(),
            (Self::InvalidJson(detail), Api::OpenAi) => {
                format!("We could not parse the JSON body of your request: {detail}")
            }
            (Self::InvalidJson(detail), Api::Anthropic) => format!("The request body is not valid JSON: {detail}"),
            (Self::InvalidJson(detail), Api::Gemini) => format!("Invalid JSON payload received. {detail}"),
            (Self::InvalidRequest(detail), _) => detail.clone(),
            (Self::BodyTooLarge, _) => "Request exceeds the maximum size".to_owned(),
            (Self::NotFound(method, path), Api::OpenAi) => format!("Invalid URL ({method} {path})"),
            (Self::NotFound(..), _) => "Not Found".to_owned(),
            (Self::MethodNotAllowed(method, path), Api::OpenAi) => {
                format!("Not allowed to {method} on {path} (HINT: Perhaps you meant to use a different HTTP method?)")
            }
            (Self::MethodNotAllowed(..), _) => "Method Not Allowed".to_owned(),
            (Self::Fault(status), _) => format!("The example upstream was asked for status {}", status.as_u16()),
        }
    }
}

fn openai(status: StatusCode, message: &str) -> Value {
    let (kind, code) = match status.as_u16() {
        405 => ("invalid_request_error", Some("method_not_supported")),
        408 => ("server_error", Some("Timeout")),
        429 => ("requests", Some("rate_limit_exceeded")),
        503 => ("service_unavailable_error", Some("server_is_overloaded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

fn anthropic(status: StatusCode, message: &str) -> Value {
    let kind = match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

fn gemini(status: StatusCode, message: &str) -> Value {
    let name = match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        405 | 501 => "UNIMPLEMENTED",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        503 | 529 => "UNAVAILABLE",
        408 | 504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    };
    json!({"error": {"code": status.as_u16(), "message": message, "status": name}})
}
