//! Every way in which the edge refuses a request, and how it says so: the one
//! mapping from a code to a status and to each API's own error shape.

use serde_json::{Value, json};
use shared::policy::{self, Denial};
use shared::provider::Api;
use shared::route::Unroutable;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    MissingToken,
    MalformedToken,
    InvalidToken,
    TokenExpired,
    TokenRevoked,
    ConflictingCredentials,
    KeyInQuery,
    ProjectInactive,
    UnknownProvider,
    /// What the caller may not do.
    Denied(policy::Code),
    UpgradeNotSupported,
    InvalidPath,
    SnapshotUnavailable,
    UpstreamUnavailable,
    UpstreamError,
    UpstreamTimeout,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    /// For who sent the request: what is wrong and what to do. No secrets.
    pub message: Cow<'static, str>,
    /// The methods that are allowed, for 405.
    pub allow: Option<String>,
    /// The parameter that it is about.
    pub param: Option<String>,
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        let Denial { code, owner: _, rule: _, message, allow, param } = denial;
        Self { code: Code::Denied(code), message: message.into(), allow, param }
    }
}

impl From<Unroutable> for Refusal {
    fn from(unroutable: Unroutable) -> Self {
        let code = match unroutable {
            Unroutable::Denied(denial) => return denial.into(),
            Unroutable::EncodedBody => Code::Denied(policy::Code::EncodedBody),
            Unroutable::Ambiguous => Code::Denied(policy::Code::InvalidBody),
            Unroutable::Unreadable => Code::SnapshotUnavailable,
            Unroutable::AnotherApi | Unroutable::NoTarget => Code::UpstreamUnavailable,
        };
        Self::new(code, unroutable.to_string())
    }
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), allow: None, param: None }
    }

    /// Seconds after which another try may succeed.
    pub fn retry_after(&self) -> Option<u32> {
        match self.code {
            Code::SnapshotUnavailable | Code::Denied(policy::Code::SnapshotUnavailable) => Some(5),
            Code::UpstreamUnavailable => Some(30),
            _ => None,
        }
    }

    /// The body, as `api`'s own SDKs expect an error.
    pub fn body(&self, api: Api) -> String {
        let status = self.code.status();
        let message = &self.message;
        let body: Value = match api {
            Api::OpenAi => json!({"error": {
                "message": message,
                "type": openai_type(status),
                "param": self.param,
                "code": self.code.as_str(),
            }}),
            Api::Anthropic => json!({"type": "error", "error": {
                "type": anthropic_type(status),
                "message": message,
            }}),
            Api::Gemini => json!({"error": {
                "code": status,
                "message": message,
                "status": gemini_status(status),
            }}),
        };
        body.to_string()
    }
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingToken => "missing_token",
            Self::MalformedToken => "malformed_token",
            Self::InvalidToken => "invalid_token",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
            Self::ConflictingCredentials => "conflicting_credentials",
            Self::KeyInQuery => "key_in_query",
            Self::ProjectInactive => "project_inactive",
            Self::UnknownProvider => "unknown_provider",
            Self::Denied(code) => code.as_str(),
            Self::UpgradeNotSupported => "upgrade_not_supported",
            Self::InvalidPath => "invalid_path",
            Self::SnapshotUnavailable => "snapshot_unavailable",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    pub fn status(self) -> u16 {
        match self {
            Self::ConflictingCredentials | Self::KeyInQuery | Self::InvalidPath => 400,
            Self::MissingToken
            | Self::MalformedToken
            | Self::InvalidToken
            | Self::TokenExpired
            | Self::TokenRevoked => 401,
            Self::Denied(code) => code.status(),
            Self::ProjectInactive => 403,
            Self::UnknownProvider => 404,
            Self::UpgradeNotSupported => 501,
            Self::UpstreamError => 502,
            Self::SnapshotUnavailable | Self::UpstreamUnavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// <https://docs.anthropic.com/en/api/errors>
fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        503 => "overloaded_error",
        504 => "timeout_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// <https://cloud.google.com/apis/design/errors>
fn gemini_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        501 => "UNIMPLEMENTED",
        502 | 503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_api_gets_its_own_shape() {
        let refusal = Refusal::new(Code::TokenExpired, "The token has expired.");
        let body = |api| serde_json::from_str::<Value>(&refusal.body(api)).unwrap();
        assert_eq!(
            body(Api::OpenAi),
            json!({"error": {"message": "The token has expired.", "type": "authentication_error",
                "param": null, "code": "token_expired"}})
        );
        assert_eq!(
            body(Api::Anthropic),
            json!({"type": "error", "error": {"type": "authentication_error", "message": "The token has expired."}})
        );
        assert_eq!(
            body(Api::Gemini),
            json!({"error": {"code": 401, "message": "The token has expired.", "status": "UNAUTHENTICATED"}})
        );
    }
}
