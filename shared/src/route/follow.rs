//! Which route a request takes, what its targets would be sent, and whether they may be.

use super::Route;
use crate::asked::{Edit, edited};
use crate::policy::parameters::{Body, with_model_in_path};
use crate::policy::{Denial, Facts, Owner, check_head};
use crate::provider::{Api, Provider};
use crate::snapshot::config::CarriedRoute;
use serde_json::Value;
use std::borrow::Cow;
use thiserror::Error;

/// Why a request, or one of its targets, is not asked; for who sent it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unroutable {
    #[error("The body is compressed, and a route must read it: send it as it is.")]
    EncodedBody,
    #[error("The gateway does not understand one of the project's routes.")]
    Unreadable,
    #[error(
        "The body names its model twice or is no whole JSON, so that a route cannot write another there."
    )]
    Ambiguous,
    #[error("The route leads to a provider with another API.")]
    AnotherApi,
    #[error("None of the route's targets can be asked.")]
    NoTarget,
    #[error("{}", .0.message)]
    Denied(Denial),
}

impl From<Denial> for Unroutable {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

/// Judges what the head says of a body that a route must read.
pub fn check_encoding(content_encoding: Option<&str>) -> Result<(), Unroutable> {
    match content_encoding {
        None | Some("identity") => Ok(()),
        Some(_) => Err(Unroutable::EncodedBody),
    }
}

/// The first that matches.
pub fn find<'r>(routes: &'r [CarriedRoute], model: &str) -> Result<Option<&'r Route>, Unroutable> {
    for route in routes {
        match route {
            CarriedRoute::Route(route) if route.matches(model) => return Ok(Some(route)),
            CarriedRoute::Route(_) => {}
            // It might have been for this model.
            CarriedRoute::Unreadable(_) => return Err(Unroutable::Unreadable),
        }
    }
    Ok(None)
}

/// What writes a target's model into a body in which another was `asked` for, at its
/// place there. None where the path names it, or where none was.
pub fn edit_of_model(
    model: Option<&str>,
    asked: &str,
    place: Option<(usize, usize)>,
    endpoint: &str,
) -> Result<Option<Edit>, Unroutable> {
    let Some(model) = model else { return Ok(None) };
    match place {
        Some((from, to)) => Ok(Some(Edit { from, to, text: Value::from(model).to_string() })),
        None if asked.is_empty() || with_model_in_path(endpoint, model).is_some() => Ok(None),
        None => Err(Unroutable::Ambiguous),
    }
}

/// The path with a target's model in it, if it names one.
pub fn path_of_model<'p>(model: Option<&str>, path: &'p str) -> Cow<'p, str> {
    model.and_then(|model| with_model_in_path(path, model)).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// A request as a target would get it.
#[expect(missing_debug_implementations, reason = "facts have none")]
#[derive(Clone, Copy)]
pub struct Sent<'a> {
    /// The endpoint with the target's model in it.
    pub facts: &'a Facts<'a>,
    pub content_type: Option<&'a str>,
    /// As it came, and what is written anew in it.
    pub body: &'a [u8],
    pub edits: &'a [Edit],
}

impl Sent<'_> {
    /// Whether the target's provider takes it; `api` is that of the provider that was named.
    pub fn check(&self, provider: &Provider, api: Api) -> Result<(), Unroutable> {
        if provider.api != api {
            return Err(Unroutable::AnotherApi);
        }
        provider.check_endpoint(self.facts.method, self.facts.endpoint)?;
        let policy = provider.policy.iter().map(|policy| (Owner::Provider, policy));
        if let Some(parameters) = check_head(policy, self.facts)? {
            let body = edited(self.body, self.edits);
            parameters.check(self.content_type, Body::<&[u8]>::Whole(&body))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::place_of_model;
    use crate::policy::Code;
    use crate::provider::{Auth, Timeouts};
    use serde_json::json;

    fn route(name: &str, models: &[&str]) -> CarriedRoute {
        serde_json::from_value(json!({"name": name, "match": models, "targets": [{"provider": "a"}]}))
            .unwrap()
    }

    #[test]
    fn the_first_route_that_matches_counts_and_none_is_guessed() {
        let routes = [route("a", &["gpt-4*"]), CarriedRoute::Unreadable(json!(7)), route("b", &["*"])];
        let found = |routes, model| find(routes, model).map(|found| found.map(|route| route.name.clone()));
        assert_eq!(found(&routes, "gpt-4o"), Ok(Some("a".into())));
        assert_eq!(found(&routes, "o1"), Err(Unroutable::Unreadable));
        assert_eq!(found(&routes[2..], ""), Ok(Some("b".into())));
        assert_eq!(found(&routes[..1], "o1"), Ok(None));
    }

    #[test]
    fn a_compressed_body_cannot_be_routed() {
        assert_eq!((check_encoding(None), check_encoding(Some("identity"))), (Ok(()), Ok(())));
        assert_eq!(check_encoding(Some("gzip")), Err(Unroutable::EncodedBody));
    }

    #[test]
    fn a_model_is_written_where_it_is_certain_to_be_read() {
        let edit = |body: &str, asked, endpoint| {
            edit_of_model(Some("b\"1"), asked, place_of_model(body.as_bytes()), endpoint)
        };
        let chat = "/v1/chat/completions";
        let written = edit(r#"{"model":"a"}"#, "a", chat).unwrap().unwrap();
        assert_eq!((written.from, written.to, written.text.as_str()), (9, 12, r#""b\"1""#));
        for body in [r#"{"model":"b","model":"a"}"#, r#"{"model":"a"} {"#, r#"{"model":"a""#] {
            assert_eq!(edit(body, "a", chat), Err(Unroutable::Ambiguous), "{body}");
        }
        assert_eq!(edit("{}", "", chat), Ok(None));
        assert_eq!(edit("{}", "a", "/v1beta/models/a:generateContent"), Ok(None));
        assert_eq!(edit_of_model(None, "a", None, chat), Ok(None));
    }

    #[test]
    fn a_provider_judges_what_it_would_be_sent() {
        let policy = json!({"parameters": [{"endpoints": ["/**"], "path": "model", "allow": ["b*"]}]});
        let rule = json!({"methods": ["POST"], "path": "/v1*/models/b:*"});
        let any = json!({"methods": ["POST"], "path": "/v1/chat/completions"});
        let provider = Provider {
            name: "a".into(),
            base_url: "https://a.example".into(),
            auth: Auth { header: "x".into(), prefix: String::new() },
            api: Api::OpenAi,
            allowed_endpoints: serde_json::from_value(json!([rule, any])).unwrap(),
            default_headers: std::collections::BTreeMap::new(),
            allowed_headers: Vec::new(),
            timeouts: Timeouts::default(),
            policy: Some(serde_json::from_value(policy).unwrap()),
        };
        let code = |path: &str, body: &str, model: Option<&str>, api| {
            let edit = edit_of_model(model, "a", place_of_model(body.as_bytes()), path).unwrap_or_default();
            let path = path_of_model(model, path);
            let facts = Facts {
                method: "POST",
                endpoint: &path,
                header: &|_| None,
                client: None,
                country: None,
                body_length: None,
            };
            let edits = edit.as_slice();
            let sent = Sent { facts: &facts, content_type: None, body: body.as_bytes(), edits };
            sent.check(&provider, api).map_err(|unroutable| match unroutable {
                Unroutable::Denied(denial) => denial.code.as_str(),
                Unroutable::AnotherApi => "another",
                _ => "-",
            })
        };
        let not_allowed = Err(Code::ParamNotAllowed.as_str());
        let chat = |body, model| code("/v1/chat/completions", body, model, Api::OpenAi);
        assert_eq!(chat(r#"{"model":"a"}"#, None), not_allowed);
        assert_eq!(chat(r#"{"model":"a"}"#, Some("b\"1")), Ok(()));
        assert_eq!(chat(r#"{"model":"b"}"#, Some("c")), not_allowed);
        assert_eq!(chat(r#"{"model":"b","model":"b"}"#, Some("b")), Err(Code::InvalidBody.as_str()));
        assert_eq!(code("/v1beta/models/a:x", "{}", Some("b"), Api::OpenAi), Ok(()));
        assert_eq!(
            code("/v1beta/models/b:x", "{}", Some("a"), Api::OpenAi),
            Err(Code::EndpointNotAllowed.as_str())
        );
        assert_eq!(code("/v1beta/models/b:x", "{}", None, Api::Gemini), Err("another"));
    }
}
