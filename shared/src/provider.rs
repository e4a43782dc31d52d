//! A provider: where its API is, how it takes its key, what may be called.

use crate::policy::{Carried, Code, Denial, EndpointRule, Owner, Verdict, judge};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whose API a provider speaks: it decides the shape of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    #[serde(rename = "openai")]
    OpenAi,
    Anthropic,
    Gemini,
}

/// As the edge needs it. The control plane validates before it publishes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    pub name: String,
    /// Scheme, host, optional port and optional path prefix; no slash at the end.
    pub base_url: String,
    pub auth: Auth,
    pub api: Api,
    pub allowed_endpoints: Vec<EndpointRule>,
    /// Set on every request to the upstream, in place of the client's.
    pub default_headers: BTreeMap<String, String>,
    /// Of [`crate::header::ACCOUNT_SELECTORS`], those that a client may send.
    pub allowed_headers: Vec<String>,
    pub timeouts: Timeouts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Carried>,
}

/// The header in which the provider expects its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub header: String,
    /// Precedes the key, its space included: `"Bearer "`.
    #[serde(default)]
    pub prefix: String,
}

/// In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// Until the upstream's response headers.
    pub first_byte_ms: u32,
    /// Between two pieces of an answer.
    pub idle_ms: u32,
    /// For the whole, from the request on.
    pub total_ms: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { first_byte_ms: 60_000, idle_ms: 60_000, total_ms: 600_000 }
    }
}

impl Provider {
    pub fn origin(&self) -> &str {
        origin(&self.base_url)
    }

    /// Whether `allowed_endpoints` has it; policies are asked after that.
    pub fn check_endpoint(&self, method: &str, path: &str) -> Result<(), Denial> {
        let denial = |code, message, allow| {
            let rule = "allowed_endpoints".to_owned();
            Err(Denial { code, owner: Owner::Provider, rule, message, allow, param: None })
        };
        match judge(&self.allowed_endpoints, method, path) {
            Verdict::Allowed => Ok(()),
            Verdict::EndpointNotAllowed => {
                let message = format!("The endpoint {path} is not allowed for provider {}.", self.name);
                denial(Code::EndpointNotAllowed, message, None)
            }
            Verdict::MethodNotAllowed(methods) => {
                let allow = methods.join(", ");
                let message = format!("The method {method} is not allowed here; allowed: {allow}.");
                denial(Code::MethodNotAllowed, message, Some(allow))
            }
        }
    }
}

/// Scheme, host and port of a normalized URL: all before its path.
pub fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find('/').map_or(url.len(), |at| authority + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_is_all_before_the_path() {
        assert_eq!(origin("https://api.groq.com/openai"), "https://api.groq.com");
        assert_eq!(origin("http://127.0.0.1:9000"), "http://127.0.0.1:9000");
    }
}
