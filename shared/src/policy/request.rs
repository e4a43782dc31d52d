//! What policies say of a request before its body is read.

use super::endpoint::{self, Verdict};
use super::parameters::Body;
use super::{Carried, Owner, Parameters, Policy, glob};
use core::net::IpAddr;
use std::io;

/// Why a request is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    EndpointNotAllowed,
    MethodNotAllowed,
    OriginNotAllowed,
    NetworkNotAllowed,
    CountryNotAllowed,
    HeaderRequired,
    BodyTooLarge,
    ParamNotAllowed,
    InvalidBody,
    EncodedBody,
    /// The policy itself cannot be read.
    SnapshotUnavailable,
}

impl Code {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndpointNotAllowed => "endpoint_not_allowed",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::NetworkNotAllowed => "network_not_allowed",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::HeaderRequired => "header_required",
            Self::BodyTooLarge => "body_too_large",
            Self::ParamNotAllowed => "param_not_allowed",
            Self::InvalidBody => "invalid_body",
            Self::EncodedBody => "encoded_body",
            Self::SnapshotUnavailable => "snapshot_unavailable",
        }
    }

    /// Of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::HeaderRequired | Self::ParamNotAllowed | Self::InvalidBody => 400,
            Self::EndpointNotAllowed
            | Self::OriginNotAllowed
            | Self::NetworkNotAllowed
            | Self::CountryNotAllowed => 403,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLarge => 413,
            Self::EncodedBody => 415,
            Self::SnapshotUnavailable => 503,
        }
    }
}

/// A request that a policy does not let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub code: Code,
    /// Whose policy it was.
    pub owner: Owner,
    /// Which of its rules: `origins`, `parameters[2]`.
    pub rule: String,
    /// For who sent the request; it names the rule.
    pub message: String,
    /// The methods that are allowed, where another one was used.
    pub allow: Option<String>,
    /// The path of the parameter that it was about.
    pub param: Option<String>,
}

impl Denial {
    pub(super) fn new(code: Code, owner: Owner, rule: impl Into<String>, what: &str) -> Self {
        let rule = rule.into();
        let message = format!("{what} (`{rule}` of the {owner}'s policy).");
        Self { code, owner, rule, message, allow: None, param: None }
    }
}

/// What is known of a request without its body.
#[expect(missing_debug_implementations, reason = "it has a function")]
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub method: &'a str,
    /// The path that the provider sees.
    pub endpoint: &'a str,
    /// The value of a header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    pub client: Option<IpAddr>,
    pub country: Option<&'a str>,
    /// As declared.
    pub body_length: Option<u64>,
}

impl Carried {
    /// The policy, if it is one; else everything is denied.
    pub fn read(&self, owner: Owner) -> Result<&Policy, Denial> {
        match self {
            Self::Policy(policy) => Ok(policy),
            Self::Unreadable(_) => {
                let what = "The gateway does not understand the policy, and so lets nothing pass";
                Err(Denial::new(Code::SnapshotUnavailable, owner, "all", what))
            }
        }
    }
}

impl Policy {
    pub fn check(&self, owner: Owner, facts: &Facts<'_>) -> Result<(), Denial> {
        let denied = |code, rule: &str, what: &str| Err(Denial::new(code, owner, rule, what));
        if let Some(networks) = &self.networks {
            let is_within =
                |client: IpAddr| networks.iter().any(|network| network.contains(&client.to_canonical()));
            if !facts.client.is_some_and(is_within) {
                return denied(
                    Code::NetworkNotAllowed,
                    "networks",
                    "Requests from this address are not allowed",
                );
            }
        }
        if let Some(countries) = &self.countries {
            let is_among = |country: &str| countries.iter().any(|allowed| allowed == country);
            if !facts.country.is_some_and(is_among) {
                return denied(
                    Code::CountryNotAllowed,
                    "countries",
                    "Requests from this country are not allowed",
                );
            }
        }
        if let (Some(origins), Some(origin)) = (&self.origins, (facts.header)("origin"))
            && !allows_origin(origins, origin)
        {
            return denied(
                Code::OriginNotAllowed,
                "origins",
                "Requests from pages of this origin are not allowed",
            );
        }
        if let Some(endpoints) = &self.endpoints {
            check_endpoint(endpoints, owner, facts)?;
        }
        if let Some(name) = self.required_headers.iter().find(|name| (facts.header)(name).is_none()) {
            let what = format!("The header {name} is required");
            return denied(Code::HeaderRequired, "required_headers", &what);
        }
        match (self.max_body_bytes, facts.body_length) {
            (Some(max), Some(length)) if length > max => Err(self.body_too_large(owner, max)),
            _ => Ok(()),
        }
    }

    /// For a body that turns out to have more than `max_body_bytes`.
    pub fn body_too_large(&self, owner: Owner, max: u64) -> Denial {
        let what = format!("The request's body may have at most {max} bytes");
        Denial::new(Code::BodyTooLarge, owner, "max_body_bytes", &what)
    }

    /// Whether a header of the client's goes upstream, as far as this policy is asked.
    pub fn forwards(&self, name: &str) -> bool {
        let is_forwarded = |names: &Vec<String>| names.iter().any(|pattern| glob::matches(pattern, name));
        self.forwarded_headers.as_ref().is_none_or(is_forwarded) || ABOUT_THE_BODY.contains(&name)
    }
}

/// Judges what is known without the body, by all policies, in their order; the rules
/// that must read the body then, if any must.
pub fn check_head<'a>(
    policies: impl Iterator<Item = (Owner, &'a Carried)>,
    facts: &Facts<'_>,
) -> Result<Option<Parameters<'a>>, Denial> {
    let mut read = Vec::new();
    for (owner, carried) in policies {
        let policy = carried.read(owner)?;
        policy.check(owner, facts)?;
        read.push((owner, policy));
    }
    let mut parameters = Parameters::of(read, facts.endpoint);
    parameters.check_path(facts.endpoint)?;
    if parameters.is_empty() || !has_body(facts.method) {
        return Ok(None);
    }
    parameters.check_encoding((facts.header)("content-encoding"))?;
    Ok(Some(parameters))
}

/// Judges what the body holds, by all policies together; those that can be read, which
/// after the head are all.
pub fn check_body<'a, R: io::Read>(
    policies: impl Iterator<Item = (Owner, &'a Carried)>,
    endpoint: &str,
    content_type: Option<&str>,
    body: Body<'_, R>,
) -> Result<(), Denial> {
    let readable = policies.filter_map(|(owner, carried)| Some((owner, carried.read(owner).ok()?)));
    let mut parameters = Parameters::of(readable, endpoint);
    parameters.check_path(endpoint)?;
    parameters.check(content_type, body)
}

/// Whether requests with this method have a body that means something.
pub fn has_body(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS")
}

/// Without these a body cannot be read.
const ABOUT_THE_BODY: [&str; 4] = ["accept", "content-encoding", "content-length", "content-type"];

pub fn allows_origin(origins: &[String], origin: &str) -> bool {
    origins.iter().any(|pattern| glob::matches(pattern, origin))
}

fn check_endpoint(rules: &[endpoint::EndpointRule], owner: Owner, facts: &Facts<'_>) -> Result<(), Denial> {
    let (method, path) = (facts.method, facts.endpoint);
    match endpoint::judge(rules, method, path) {
        Verdict::Allowed => Ok(()),
        Verdict::EndpointNotAllowed => {
            let what = format!("The endpoint {path} is not allowed");
            Err(Denial::new(Code::EndpointNotAllowed, owner, "endpoints", &what))
        }
        Verdict::MethodNotAllowed(methods) => {
            let allow = methods.join(", ");
            let what = format!("The method {method} is not allowed here, but {allow}");
            let denial = Denial::new(Code::MethodNotAllowed, owner, "endpoints", &what);
            Err(Denial { allow: Some(allow), ..denial })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn denied(
        policy: Value,
        headers: &[(&str, &'static str)],
        client: &str,
        country: Option<&str>,
    ) -> Option<(Code, String)> {
        let policy: Policy = serde_json::from_value(policy).unwrap();
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let facts = Facts {
            method: "POST",
            endpoint: "/v1/chat/completions",
            header: &header,
            client: client.parse().ok(),
            country,
            body_length: Some(1_000),
        };
        policy.check(Owner::Project, &facts).err().map(|denial| (denial.code, denial.message))
    }

    #[test]
    fn each_limit_denies_what_is_beyond_it_and_nothing_else() {
        let code = |policy: Value, headers: &[(&str, &'static str)], client: &str, country| {
            denied(policy, headers, client, country).map(|(code, _)| code)
        };
        let networks = json!({"networks": ["10.1.0.0/16", "2001:db8::/32"]});
        assert_eq!(code(networks.clone(), &[], "10.1.2.3", None), None);
        assert_eq!(code(networks.clone(), &[], "::ffff:10.1.2.3", None), None);
        assert_eq!(code(networks.clone(), &[], "2001:db8::1", None), None);
        for client in ["10.2.0.1", "2001:db9::1", "nobody"] {
            assert_eq!(code(networks.clone(), &[], client, None), Some(Code::NetworkNotAllowed), "{client}");
        }
        let countries = json!({"countries": ["DE"]});
        assert_eq!(code(countries.clone(), &[], "", Some("DE")), None);
        assert_eq!(code(countries.clone(), &[], "", Some("FR")), Some(Code::CountryNotAllowed));
        assert_eq!(code(countries, &[], "", None), Some(Code::CountryNotAllowed));
        let origins = json!({"origins": ["https://*.example.com"]});
        assert_eq!(code(origins.clone(), &[], "", None), None);
        assert_eq!(code(origins.clone(), &[("origin", "https://a.example.com")], "", None), None);
        assert_eq!(code(origins.clone(), &[("origin", "null")], "", None), Some(Code::OriginNotAllowed));
        assert_eq!(
            code(origins, &[("origin", "https://example.com")], "", None),
            Some(Code::OriginNotAllowed)
        );
        let required = json!({"required_headers": ["x-team"]});
        assert_eq!(code(required.clone(), &[("x-team", "")], "", None), None);
        assert_eq!(code(required, &[], "", None), Some(Code::HeaderRequired));
        assert_eq!(code(json!({"max_body_bytes": 1_000}), &[], "", None), None);
        assert_eq!(code(json!({"max_body_bytes": 999}), &[], "", None), Some(Code::BodyTooLarge));
        assert_eq!(code(json!({"endpoints": []}), &[], "", None), Some(Code::EndpointNotAllowed));
        assert_eq!(code(json!({}), &[], "", None), None);
    }

    #[test]
    fn a_refusal_names_its_rule() {
        let policy = json!({"endpoints": [{"methods": ["GET"], "path": "/v1/**"}]});
        let (code, message) = denied(policy, &[], "", None).unwrap();
        assert_eq!(code, Code::MethodNotAllowed);
        assert_eq!(
            message,
            "The method POST is not allowed here, but GET (`endpoints` of the project's policy)."
        );
    }

    #[test]
    fn headers_that_tell_of_the_body_pass_always() {
        let policy: Policy = serde_json::from_value(json!({"forwarded_headers": ["anthropic-*"]})).unwrap();
        for (name, passes) in [("anthropic-beta", true), ("content-type", true), ("x-other", false)] {
            assert_eq!(policy.forwards(name), passes, "{name}");
        }
        assert!(Policy::default().forwards("x-other"));
    }
}
