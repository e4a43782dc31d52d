//! Policies, as providers, projects and tokens have them.

use super::error::Result;
use super::providers::EndpointRule;
use crate::domain as rules;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::policy;
use utoipa::ToSchema;

/// What a caller may do. What is left out, or null, limits nothing. The policies of the provider, the project and
/// the token are applied one after another: what any of them refuses is refused. At most 16 KB, and 100 entries in
/// a list. See docs/policy.md.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "endpoints": [{ "methods": ["POST"], "path": "/v1/chat/completions" }],
    "parameters": [
        { "endpoints": ["/v1/chat/completions"], "path": "model", "allow": ["gpt-4o-mini*"], "required": true },
        { "endpoints": ["/v1/**"], "path": "max_tokens", "max": 4096.0 }
    ],
    "origins": ["https://app.example.com"],
    "max_body_bytes": 100_000,
    "networks": ["192.0.2.0/24"],
    "countries": ["DE", "FR"]
}))]
pub(super) struct Policy {
    /// What may be called, of what the provider allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    endpoints: Option<Vec<EndpointRule>>,
    /// What bodies may hold, and which models paths may name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    parameters: Option<Vec<ParameterRule>>,
    /// From where browsers may call, `*` for any characters. A request without an `Origin` is no browser's, and passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100, example = json!(["https://app.example.com", "https://*.example.com"]))]
    origins: Option<Vec<String>>,
    /// Names of headers, in lower case, that a request must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100, example = json!(["x-team"]))]
    required_headers: Option<Vec<String>>,
    /// Names of headers that go to the provider, in lower case, `*` for any characters. Those that say what the body
    /// is go always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100, example = json!(["anthropic-*"]))]
    forwarded_headers: Option<Vec<String>>,
    /// Of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 100_000)]
    max_body_bytes: Option<u64>,
    /// From where clients may call: IPv4 and IPv6, with a length each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100, example = json!(["192.0.2.0/24", "2001:db8::/32"]))]
    networks: Option<Vec<String>>,
    /// From where clients may call: ISO 3166-1 alpha-2, in upper case; `T1` is the Tor network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100, example = json!(["DE"]))]
    countries: Option<Vec<String>>,
}

/// What a body may hold at one path, at some endpoints. A value of null counts as none.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterRule {
    /// Patterns of paths, as of endpoints; at least one.
    #[schema(min_items = 1, example = json!(["/v1/chat/completions"]))]
    endpoints: Vec<String>,
    /// Names separated by dots; `[]` after a name stands for each element, and for a value that is no
    /// array: `model`, `tools[].function.name`.
    #[schema(example = "model")]
    path: String,
    /// Patterns, `*` for any characters, one of which the value must be like: a string, or a number or boolean as
    /// JSON writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100, example = json!(["gpt-4o-mini*"]))]
    allow: Option<Vec<String>>,
    /// Patterns that it must not be like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 100)]
    deny: Option<Vec<String>>,
    /// It must be a number, and not less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    /// It must be a number, and not more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    /// It must be there.
    #[serde(default, skip_serializing_if = "is_false")]
    required: bool,
    /// It must not be there; stands alone.
    #[serde(default, skip_serializing_if = "is_false")]
    forbidden: bool,
}

/// A policy as it is stored; what this version cannot read is shown as it is, and lets nothing pass.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Stored {
    Policy(Box<Policy>),
    Unreadable(Value),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Policy {
    pub(super) fn read(self) -> Result<policy::Policy> {
        let Self {
            endpoints,
            parameters,
            origins,
            required_headers,
            forwarded_headers,
            max_body_bytes,
            networks,
            countries,
        } = self;
        let network = |(at, text): (usize, String)| {
            let what = "a network and its length: 192.0.2.0/24, 2001:db8::/32, 192.0.2.7/32 for one address";
            text.parse().map_err(|_| rules::Error::InvalidPolicy(format!("policy.networks[{at}]: {what}")))
        };
        Ok(policy::Policy {
            endpoints: endpoints.map(|rules| rules.into_iter().map(Into::into).collect()),
            parameters: parameters.unwrap_or_default().into_iter().map(Into::into).collect(),
            origins,
            required_headers: required_headers.unwrap_or_default(),
            forwarded_headers,
            max_body_bytes,
            networks: networks
                .map(|networks| {
                    networks.into_iter().enumerate().map(network).collect::<std::result::Result<_, _>>()
                })
                .transpose()?,
            countries,
        })
    }
}

impl From<policy::Policy> for Policy {
    fn from(policy: policy::Policy) -> Self {
        let policy::Policy {
            endpoints,
            parameters,
            origins,
            required_headers,
            forwarded_headers,
            max_body_bytes,
            networks,
            countries,
        } = policy;
        Self {
            endpoints: endpoints.map(|rules| rules.into_iter().map(Into::into).collect()),
            parameters: some(parameters).map(|rules| rules.into_iter().map(Into::into).collect()),
            origins,
            required_headers: some(required_headers),
            forwarded_headers,
            max_body_bytes,
            networks: networks
                .map(|networks| networks.into_iter().map(|network| network.to_string()).collect()),
            countries,
        }
    }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

impl From<ParameterRule> for policy::ParameterRule {
    fn from(rule: ParameterRule) -> Self {
        let ParameterRule { endpoints, path, allow, deny, min, max, required, forbidden } = rule;
        Self { endpoints, path, allow, deny: deny.unwrap_or_default(), min, max, required, forbidden }
    }
}

impl From<policy::ParameterRule> for ParameterRule {
    fn from(rule: policy::ParameterRule) -> Self {
        let policy::ParameterRule { endpoints, path, allow, deny, min, max, required, forbidden } = rule;
        Self { endpoints, path, allow, deny: some(deny), min, max, required, forbidden }
    }
}

impl From<policy::Carried> for Stored {
    fn from(carried: policy::Carried) -> Self {
        match carried {
            policy::Carried::Policy(policy) => Self::Policy(Box::new(policy.into())),
            policy::Carried::Unreadable(value) => Self::Unreadable(value),
        }
    }
}
