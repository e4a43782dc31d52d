//! Where a request wants to go: provider, path and query, once and for all
//! checked for tricks by which two parties might read one path differently.

use crate::refusal::{Code, Refusal};
use percent_encoding::percent_decode_str;
use shared::path::{self, ProviderName, split_provider};
use shared::token;

/// A path and query that are safe to judge and to append to a base URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Target<'a> {
    pub provider: ProviderName<'a>,
    /// Begins with a slash; what the allow-list judges.
    pub path: &'a str,
    /// Without what must not go upstream; empty, or begins with `?`.
    pub query: String,
}

/// Query parameters that carry keys or change the method; never forwarded.
const WITHHELD_PARAMETERS: [&str; 5] =
    ["key", "access_token", "_method", "x-http-method", "x-http-method-override"];

impl<'a> Target<'a> {
    pub fn parse(path_and_query: &'a str) -> Result<Self, Refusal> {
        let (whole, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        path::check(whole).map_err(|why| Refusal::new(Code::InvalidPath, why))?;
        let query = forwarded_query(query)?;
        let (provider, path) = split_provider(whole);
        Ok(Self { provider, path, query })
    }
}

fn forwarded_query(query: &str) -> Result<String, Refusal> {
    let mut forwarded = String::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        if percent_decode_str(parameter).decode_utf8_lossy().contains(token::PREFIX) {
            return Err(Refusal::new(
                Code::KeyInQuery,
                "A key in the URL ends up in logs. Send it in a header, e.g. `Authorization: Bearer <token>`; \
                 if this one was real, revoke it.",
            ));
        }
        let name = parameter.split('=').next().unwrap_or(parameter);
        let name = percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase();
        if !WITHHELD_PARAMETERS.contains(&name.as_str()) {
            forwarded.push(if forwarded.is_empty() { '?' } else { '&' });
            forwarded.push_str(parameter);
        }
    }
    Ok(forwarded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_segment_names_the_provider_unless_it_is_v1() {
        let target = Target::parse("/openai/v1/chat/completions?a=1").unwrap();
        assert_eq!(target.provider, ProviderName::Named("openai"));
        assert_eq!((target.path, target.query.as_str()), ("/v1/chat/completions", "?a=1"));
        let target = Target::parse("/v1/models").unwrap();
        assert_eq!((target.provider, target.path), (ProviderName::Default, "/v1/models"));
        assert_eq!(Target::parse("/").unwrap().provider, ProviderName::Named(""));
    }

    #[test]
    fn paths_that_two_parties_could_read_differently_are_refused() {
        for path in [
            "/openai/v1/../files",
            "/openai/./v1",
            "/openai/v1/%2e%2e/files",
            "/openai/v1/.%2E/files",
            "/openai/v1/..;x/files",
            "/openai/v1%2ffiles",
            "/openai/v1%5Cfiles",
            "/openai/v1\\files",
            "/openai//v1",
            "//openai/v1",
            "/openai/v1/%00",
            "/openai/v1/%0d%0a",
            "/openai/v1/a b",
            "/openai/v1/\u{e9}",
        ] {
            assert_eq!(Target::parse(path).unwrap_err().code, Code::InvalidPath, "{path}");
        }
        assert!(Target::parse("/openai/v1/models/a..b/c.d/...").is_ok());
    }

    #[test]
    fn a_query_that_looks_like_a_path_stays_a_query() {
        let target = Target::parse("/openai/v1/models?/../../v1/files").unwrap();
        assert_eq!((target.path, target.query.as_str()), ("/v1/models", "?/../../v1/files"));
    }

    #[test]
    fn keys_and_method_overrides_are_not_forwarded() {
        let query =
            |text: &str| Target::parse(&format!("/openai/v1/models?{text}")).map(|target| target.query);
        assert_eq!(query("alt=sse&key=AIza&%6Bey=x&access_token=y&_method=DELETE&b").unwrap(), "?alt=sse&b");
        assert_eq!(query("key=x").unwrap(), "");
        for text in
            ["key=sk-lk-abc", "other=sk-lk-abc", "key=%73k-lk-abc", "sk-lk-abc", "a=Bearer%20sk-lk-abc"]
        {
            assert_eq!(query(text).unwrap_err().code, Code::KeyInQuery, "{text}");
        }
    }
}
