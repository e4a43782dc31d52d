//! The parameter rules of all policies that a request is to be judged by.

use super::body::{Reader, Violation};
use super::form::Form;
use super::parameter::{ParameterRule, Scalar};
use super::request::{Code, Denial};
use super::{Owner, Policy};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;
use std::io;

/// The parameter that a path may name.
const MODEL: &str = "model";

/// A rule, and whose it is.
#[derive(Clone, Debug)]
pub struct Ruled<'a> {
    pub rule: &'a ParameterRule,
    pub owner: Owner,
    /// Its place in its policy.
    pub number: usize,
    /// The body must have it.
    pub is_required: bool,
}

/// Those that apply to one endpoint.
#[derive(Debug)]
pub struct Parameters<'a> {
    rules: Vec<Ruled<'a>>,
}

/// A request's body.
#[derive(Debug)]
pub enum Body<'a, R> {
    Whole(&'a [u8]),
    /// Too large to be in memory at once.
    Read(R),
}

impl<'a> Ruled<'a> {
    pub fn new(owner: Owner, number: usize, rule: &'a ParameterRule) -> Self {
        Self { rule, owner, number, is_required: rule.required }
    }
}

impl<'a> Parameters<'a> {
    pub fn of(policies: impl IntoIterator<Item = (Owner, &'a Policy)>, endpoint: &str) -> Self {
        let ruled = policies.into_iter().flat_map(|(owner, policy)| {
            let rules = policy.parameters.iter().enumerate();
            rules.map(move |(number, rule)| Ruled::new(owner, number, rule))
        });
        Self { rules: ruled.filter(|ruled| ruled.rule.applies(endpoint)).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Judges the model that the path names. It need not be in the body then.
    pub fn check_path(&mut self, endpoint: &str) -> Result<(), Denial> {
        if self.is_empty() {
            return Ok(());
        }
        let Some(model) = model_in_path(endpoint) else { return Ok(()) };
        for ruled in self.rules.iter_mut().filter(|ruled| ruled.rule.path == MODEL) {
            if !ruled.rule.forbidden
                && let Err(problem) = ruled.rule.check(Scalar::String(&model))
            {
                return Err(denial(ruled, &problem));
            }
            ruled.is_required = false;
        }
        Ok(())
    }

    /// Judges what the head says of the body: it must be one that can be read.
    pub fn check_encoding(&self, content_encoding: Option<&str>) -> Result<(), Denial> {
        let is_encoded = content_encoding
            .is_some_and(|coding| !coding.split(',').all(|coding| matches!(coding.trim(), "" | "identity")));
        match self.rules.first() {
            Some(ruled) if is_encoded => {
                let what = "The body is compressed, and a rule must read it: send it as it is";
                Err(Denial::new(Code::EncodedBody, ruled.owner, place(ruled), what))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// `content_type` matters only where it says that the body is a form.
    pub fn check<R: io::Read>(&self, content_type: Option<&str>, body: Body<'_, R>) -> Result<(), Denial> {
        if self.is_empty() {
            return Ok(());
        }
        self.read(content_type, body).map_err(|violation| match violation {
            Violation::Parameter { rule, problem } => denial(&self.rules[rule], &problem),
            Violation::Invalid(problem) => {
                let ruled = &self.rules[0];
                Denial::new(Code::InvalidBody, ruled.owner, place(ruled), &problem)
            }
        })
    }

    fn read<R: io::Read>(&self, content_type: Option<&str>, body: Body<'_, R>) -> Result<(), Violation> {
        if let Some(form) = content_type.and_then(|content_type| Form::new(&self.rules, content_type)) {
            return match body {
                Body::Whole(body) => form?.check(body),
                Body::Read(body) => form?.check(body),
            };
        }
        let reader = Reader::new(&self.rules)?;
        match body {
            Body::Whole([]) => match reader.required() {
                Some(rule) => Err(super::body::violation(rule, "is required")),
                None => Ok(()),
            },
            Body::Whole(body) => reader.check(body),
            Body::Read(body) => reader.check_read(body),
        }
    }
}

fn place(ruled: &Ruled<'_>) -> String {
    format!("parameters[{}]", ruled.number)
}

fn denial(ruled: &Ruled<'_>, problem: &str) -> Denial {
    let path = &ruled.rule.path;
    let what = format!("The parameter {path} {problem}");
    let denial = Denial::new(Code::ParamNotAllowed, ruled.owner, place(ruled), &what);
    Denial { param: Some(path.clone()), ..denial }
}

/// The model that a path names, as Gemini's and Azure's do:
/// `/v1beta/models/{model}:generateContent`, `/openai/deployments/{model}/...`.
pub fn model_in_path(endpoint: &str) -> Option<Cow<'_, str>> {
    let (_, model, _) = around_model(endpoint)?;
    Some(percent_decode_str(model).decode_utf8_lossy())
}

/// The path with another model in the place of the one that it names.
pub fn with_model_in_path(endpoint: &str, model: &str) -> Option<String> {
    let (before, _, after) = around_model(endpoint)?;
    Some(format!("{before}{}{after}", utf8_percent_encode(model, IN_SEGMENT)))
}

/// All but what a segment may hold as it is (RFC 3986, 3.3); a colon ends a model.
const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What precedes the model, itself, and what follows.
fn around_model(endpoint: &str) -> Option<(&str, &str, &str)> {
    let is_list =
        |segment: &str| matches!(segment, "models" | "tunedModels" | "deployments" | "engines" | "model");
    let mut from = 0;
    for segment in endpoint.split('/') {
        from += segment.len() + 1;
        if is_list(segment) {
            break;
        }
    }
    let (before, rest) = endpoint.split_at_checked(from)?;
    let segment = rest.split('/').next().filter(|segment| !segment.is_empty())?;
    let is_verb = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic());
    let model = match segment.rsplit_once(':') {
        Some((model, verb)) if is_verb(verb) => model,
        Some(_) | None => segment,
    };
    Some((before, model, rest.get(model.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(parameters: &Value) -> Policy {
        serde_json::from_value(json!({ "parameters": parameters })).unwrap()
    }

    fn check(
        policies: &[(Owner, &Policy)],
        endpoint: &str,
        content_type: &str,
        body: &str,
    ) -> Result<(), Denial> {
        let mut parameters = Parameters::of(policies.iter().copied(), endpoint);
        parameters.check_path(endpoint)?;
        parameters.check(Some(content_type), Body::<&[u8]>::Whole(body.as_bytes()))
    }

    #[test]
    fn each_owner_is_asked_and_named() {
        let project = policy(&json!([{"endpoints": ["/v1/**"], "path": "n", "max": 9}]));
        let token = policy(&json!([
            {"endpoints": ["/v2/**"], "path": "n", "max": 1},
            {"endpoints": ["/v1/**"], "path": "n", "max": 5},
        ]));
        let policies = [(Owner::Project, &project), (Owner::Token, &token)];
        let check = |body: &str| check(&policies, "/v1/chat/completions", "application/json", body);
        assert_eq!(check(r#"{"n":5}"#), Ok(()));
        let denial = check(r#"{"n":6}"#).unwrap_err();
        assert_eq!(
            (denial.code, denial.owner, denial.rule.as_str()),
            (Code::ParamNotAllowed, Owner::Token, "parameters[1]")
        );
        assert_eq!(denial.param.as_deref(), Some("n"));
        assert_eq!(
            denial.message,
            "The parameter n must be a number of at most 5 (`parameters[1]` of the token's policy)."
        );
        assert_eq!(check(r#"{"n":10}"#).unwrap_err().owner, Owner::Project);
        assert_eq!(check("").map_err(|denial| denial.code), Ok(()));
        assert_eq!(check("{").unwrap_err().code, Code::InvalidBody);
    }

    #[test]
    fn a_model_in_the_path_is_judged_as_one_in_the_body() {
        let policy = policy(
            &json!([{"endpoints": ["/**"], "path": "model", "allow": ["gemini-2.5-flash*", "ft:*"], "required": true}]),
        );
        for (endpoint, body, is_allowed) in [
            ("/v1beta/models/gemini-2.5-flash:generateContent", "{}", true),
            ("/v1beta/models/gemini-2.5-pro:generateContent", "{}", false),
            ("/v1beta/models/gemini-2.5%2Dflash:generateContent", "{}", true),
            ("/v1beta/models/gemini-2.5-flash:generateContent", r#"{"model":"gemini-2.5-pro"}"#, false),
            ("/openai/deployments/gpt-4o/chat/completions", "{}", false),
            ("/v1/models/ft:gpt-4o:us::x1", "", true),
            ("/v1/models", "", false),
            ("/v1/chat/completions", r#"{"model":"gemini-2.5-flash-lite"}"#, true),
        ] {
            let outcome = check(&[(Owner::Provider, &policy)], endpoint, "application/json", body);
            assert_eq!(outcome.is_ok(), is_allowed, "{endpoint} {body}");
        }
    }

    #[test]
    fn a_path_can_be_given_another_model() {
        let with = |path| with_model_in_path(path, "a b/c:d");
        assert_eq!(
            with("/v1beta/models/x:generateContent").as_deref(),
            Some("/v1beta/models/a%20b%2Fc%3Ad:generateContent")
        );
        assert_eq!(
            with("/openai/deployments/x/chat/completions").as_deref(),
            Some("/openai/deployments/a%20b%2Fc%3Ad/chat/completions")
        );
        assert_eq!(with("/v1/chat/completions"), None);
        assert_eq!(with("/v1/models"), None);
        assert_eq!(with("/v1/models/"), None);
    }

    #[test]
    fn a_body_that_is_encoded_cannot_be_read() {
        let policy = policy(&json!([{"endpoints": ["/v1/a"], "path": "model", "required": true}]));
        let of = |endpoint| Parameters::of([(Owner::Project, &policy)], endpoint);
        assert_eq!(of("/v1/a").check_encoding(Some("gzip")).unwrap_err().code, Code::EncodedBody);
        assert_eq!(of("/v1/a").check_encoding(Some("identity, br")).unwrap_err().code, Code::EncodedBody);
        assert_eq!(of("/v1/a").check_encoding(Some("identity")), Ok(()));
        assert_eq!(of("/v1/b").check_encoding(Some("gzip")), Ok(()));
    }
}
