//! What is wrong with a policy, told before it is stored.

use super::Policy;
use super::endpoint::EndpointRule;
use super::parameter::ParameterRule;
use crate::header;
use thiserror::Error;

/// Of one list of a policy.
const MAX_RULES: usize = 100;
/// All of it, as JSON: an isolate holds those of many projects.
const MAX_POLICY_LEN: usize = 16 * 1024;
const MAX_NAME_LEN: usize = 100;
const MAX_ORIGIN_LEN: usize = 300;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct PolicyError {
    /// Such as `parameters[2]`.
    pub field: String,
    pub problem: String,
}

impl Policy {
    pub fn validate(&self) -> Result<(), PolicyError> {
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        each("endpoints", endpoints, |rule: &EndpointRule| {
            rule.validate().map_err(|error| error.to_string())
        })?;
        each("parameters", &self.parameters, |rule: &ParameterRule| {
            rule.validate().map_err(|error| error.to_string())
        })?;
        each("origins", self.origins.as_deref().unwrap_or_default(), |origin| checked_origin(origin))?;
        each("required_headers", &self.required_headers, |name| checked_required(name))?;
        let forwarded = self.forwarded_headers.as_deref().unwrap_or_default();
        each("forwarded_headers", forwarded, |name| checked_forwarded(name))?;
        each("networks", self.networks.as_deref().unwrap_or_default(), |_| Ok(()))?;
        each("countries", self.countries.as_deref().unwrap_or_default(), |code| checked_country(code))?;
        let length = serde_json::to_vec(self).map_or(usize::MAX, |text| text.len());
        if length > MAX_POLICY_LEN {
            return Err(error(
                "",
                format!("it has {length} bytes as JSON; at most {MAX_POLICY_LEN} are allowed"),
            ));
        }
        Ok(())
    }
}

fn each<T>(field: &str, items: &[T], check: impl Fn(&T) -> Result<(), String>) -> Result<(), PolicyError> {
    if items.len() > MAX_RULES {
        return Err(error(field, format!("at most {MAX_RULES} are allowed")));
    }
    let problem = |(at, item)| check(item).err().map(|problem| error(&format!("{field}[{at}]"), problem));
    items.iter().enumerate().find_map(problem).map_or(Ok(()), Err)
}

fn error(field: &str, problem: String) -> PolicyError {
    PolicyError { field: field.to_owned(), problem }
}

fn checked_origin(origin: &str) -> Result<(), String> {
    let is_origin = || {
        let (scheme, host) = origin.split_once("://")?;
        let is_scheme = !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        let is_host = !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"*.-_:[]".contains(&b));
        (is_scheme && is_host && origin.len() <= MAX_ORIGIN_LEN).then_some(())
    };
    if origin == "*" || is_origin().is_some() {
        return Ok(());
    }
    Err("an origin as browsers send it, without a path: https://app.example.com, http://localhost:3000, \
         https://*.example.com, or * for any"
        .to_owned())
}

fn is_name(name: &str, extra: &[u8]) -> bool {
    (1..=MAX_NAME_LEN).contains(&name.len())
        && name.bytes().all(|b| {
            b.is_ascii_lowercase()
                || b.is_ascii_digit()
                || b"!#$%&'+-.^_`|~".contains(&b)
                || extra.contains(&b)
        })
}

fn checked_required(name: &str) -> Result<(), String> {
    if is_name(name, b"") { Ok(()) } else { Err("a header's name in lower case".to_owned()) }
}

fn checked_forwarded(name: &str) -> Result<(), String> {
    if header::CREDENTIALS.contains(&name) || header::HOP_BY_HOP.contains(&name) {
        return Err(format!("{name} never goes upstream as the client sent it"));
    }
    if is_name(name, b"*") {
        Ok(())
    } else {
        Err("a header's name in lower case, `*` for any characters".to_owned())
    }
}

/// Cloudflare has T1 for the Tor network.
fn checked_country(code: &str) -> Result<(), String> {
    let is_code = matches!(code.as_bytes(), [first, second]
        if first.is_ascii_uppercase() && (second.is_ascii_uppercase() || second.is_ascii_digit()));
    if is_code { Ok(()) } else { Err("a country's two letters, in upper case: DE".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Carried;
    use serde_json::{Value, json};

    fn validated(policy: Value) -> Result<(), String> {
        let policy: Policy = serde_json::from_value(policy).map_err(|error| error.to_string())?;
        policy.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn all_there_is_to_say_is_accepted() {
        let policy = json!({
            "endpoints": [{"methods": ["POST"], "path": "/v1/chat/completions"}],
            "parameters": [{"endpoints": ["/v1/**"], "path": "model", "allow": ["gpt-4o*"]}],
            "origins": ["https://app.example.com", "http://localhost:3000", "https://*.example.com", "*"],
            "required_headers": ["x-team"],
            "forwarded_headers": ["anthropic-*"],
            "max_body_bytes": 100_000,
            "networks": ["10.0.0.0/8", "2001:db8::/32"],
            "countries": ["DE", "T1"],
        });
        assert_eq!(validated(policy.clone()), Ok(()));
        let policy: Policy = serde_json::from_value(policy).unwrap();
        let carried = serde_json::to_string(&Carried::from(policy.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Carried>(&carried).unwrap(), Carried::Policy(policy));
        assert_eq!(validated(json!({})), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let long = vec!["https://a.example"; 101];
        for (policy, start) in [
            (json!({"origins": ["https://a.example/path"]}), "origins[0]: an origin"),
            (json!({"origins": ["a.example"]}), "origins[0]: an origin"),
            (json!({"origins": ["https://A.example"]}), "origins[0]: an origin"),
            (json!({"origins": long}), "origins: at most 100"),
            (json!({"required_headers": ["X-Team"]}), "required_headers[0]: a header's name"),
            (json!({"forwarded_headers": ["x-api-key"]}), "forwarded_headers[0]: x-api-key never"),
            (json!({"countries": ["de"]}), "countries[0]: a country's"),
            (json!({"endpoints": [{"methods": ["POST"], "path": "v1"}]}), "endpoints[0]: a path pattern"),
            (json!({"parameters": [{"endpoints": ["/**"], "path": "a"}]}), "parameters[0]: the rule asks"),
            (
                json!({"parameters": vec![json!({"endpoints": ["/**"], "path": "a", "deny": vec!["x".repeat(190); 9]}); 10]}),
                ": it has ",
            ),
        ] {
            let problem = validated(policy).unwrap_err();
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn what_is_no_policy_is_carried_as_that() {
        for text in [r#"{"origin": []}"#, r#"{"networks": ["10.0.0.0/99"]}"#, "7"] {
            assert!(
                matches!(serde_json::from_str::<Carried>(text).unwrap(), Carried::Unreadable(_)),
                "{text}"
            );
        }
    }
}
