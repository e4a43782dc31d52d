//! What a caller may do: rules as data, and the one place that applies them.
//!
//! A provider, a project and a token each may have a [`Policy`]. All that apply
//! are applied, one after another; nothing is merged, so that what is narrowed
//! anywhere counts at once.

pub mod body;
pub mod endpoint;
pub mod form;
pub mod glob;
pub mod parameter;
pub mod parameters;
pub mod request;
mod validate;

pub use endpoint::{EndpointRule, MAX_PATTERN_LEN, PatternError, Verdict, judge, matches};
pub use parameter::ParameterRule;
pub use parameters::Parameters;
pub use request::{Code, Denial, Facts, check_body, check_head, has_body};
pub use validate::PolicyError;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A limit that is left out limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What may be called, of what the provider allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<EndpointRule>>,
    /// What a body may hold, and which model a path may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterRule>,
    /// From where browsers may call: `https://app.example.com`, with `*` for any
    /// characters. A request without an `Origin` is no browser's, and passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    /// Names of headers, in lower case, that a request must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_headers: Vec<String>,
    /// Names of headers that go upstream, in lower case, with `*` for any
    /// characters; those that tell what the body is go always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded_headers: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// From where clients may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<IpNet>>,
    /// ISO 3166-1 alpha-2, in upper case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countries: Option<Vec<String>>,
}

/// Whose a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    Provider,
    Project,
    Token,
}

/// A policy as it travels. What this version does not understand as one must
/// not be dropped: it denies, and only what it is the policy of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Carried {
    Policy(Policy),
    Unreadable(serde_json::Value),
}

impl From<Policy> for Carried {
    fn from(policy: Policy) -> Self {
        Self::Policy(policy)
    }
}

impl Carried {
    /// What was stored as JSON, whatever it is.
    pub fn parse(text: &str) -> Self {
        match serde_json::from_str(text) {
            // Null would travel as no policy at all.
            Ok(Self::Unreadable(serde_json::Value::Null)) | Err(_) => Self::Unreadable(text.into()),
            Ok(carried) => carried,
        }
    }
}

impl Policy {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Provider => "provider",
            Self::Project => "project",
            Self::Token => "token",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_carried_whatever_it_is() {
        assert!(matches!(Carried::parse(r#"{"max_body_bytes":5}"#), Carried::Policy(_)));
        for text in ["", "{", "7", "null", r#"{"max_body_kilobytes":5}"#] {
            let carried = Carried::parse(text);
            assert!(matches!(carried, Carried::Unreadable(_)), "{text}");
            let wire = serde_json::to_string(&Some(carried)).unwrap();
            let read = serde_json::from_str::<Option<Carried>>(&wire).unwrap();
            assert!(matches!(read, Some(Carried::Unreadable(_))), "{text}");
        }
    }
}
