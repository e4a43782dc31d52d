//! Which methods and paths a caller may use.
//!
//! In a pattern `*` stands for any characters within a segment, and a segment
//! `**` for any number of whole segments, none included. Everything not named
//! is denied.

use super::glob;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest pattern accepted, so that a match costs little whatever is stored.
pub const MAX_PATTERN_LEN: usize = 512;

/// One line of an allow-list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointRule {
    /// Upper-case HTTP methods; at least one.
    pub methods: Vec<String>,
    /// A path pattern, relative to the provider's `base_url`.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    #[error("a path pattern starts with /")]
    NotAbsolute,
    #[error("a path pattern has at most {MAX_PATTERN_LEN} characters")]
    TooLong,
    #[error(
        "a path pattern has no empty, `.` or `..` segment, no backslash, query, fragment, space or control character"
    )]
    Unreachable,
    #[error("`**` must be a whole segment")]
    PartialDoubleStar,
    #[error("a rule names at least one method, each of upper-case letters")]
    Methods,
}

/// What an allow-list says of one request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// The path is known, but only with these methods.
    MethodNotAllowed(Vec<String>),
    EndpointNotAllowed,
}

impl EndpointRule {
    pub fn validate(&self) -> Result<(), PatternError> {
        let methods_ok = !self.methods.is_empty()
            && self
                .methods
                .iter()
                .all(|m| !m.is_empty() && m.len() <= 16 && m.bytes().all(|b| b.is_ascii_uppercase()));
        if !methods_ok {
            return Err(PatternError::Methods);
        }
        validate_pattern(&self.path)
    }
}

/// Judges a request by an allow-list.
pub fn judge(rules: &[EndpointRule], method: &str, path: &str) -> Verdict {
    let mut other_methods: Vec<String> = Vec::new();
    for rule in rules.iter().filter(|rule| matches(&rule.path, path)) {
        if rule.methods.iter().any(|allowed| allowed == method) {
            return Verdict::Allowed;
        }
        other_methods.extend(rule.methods.iter().cloned());
    }
    if other_methods.is_empty() {
        return Verdict::EndpointNotAllowed;
    }
    other_methods.sort_unstable();
    other_methods.dedup();
    Verdict::MethodNotAllowed(other_methods)
}

/// Whether `path` matches `pattern`; linear but for one retry per star.
pub fn matches(pattern: &str, path: &str) -> bool {
    let (Some(pattern), Some(path)) = (pattern.strip_prefix('/'), path.strip_prefix('/')) else {
        return false;
    };
    let (mut pattern, mut path) = (Some(pattern), Some(path));
    // Where to go on after the last `**`, should what follows it not match here.
    let mut retry: Option<(Option<&str>, &str)> = None;
    loop {
        let (segment, rest) = split(pattern);
        match (segment, path) {
            (Some("**"), Some(remaining)) => {
                retry = Some((rest, remaining));
                pattern = rest;
                if pattern.is_none() {
                    return true;
                }
                continue;
            }
            (Some("**"), None) => {
                pattern = rest;
                continue;
            }
            (None, None) => return true,
            (Some(segment), Some(_)) => {
                let (first, remaining) = split(path);
                if first.is_some_and(|first| glob::matches(segment, first)) {
                    (pattern, path) = (rest, remaining);
                    continue;
                }
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
        // The last `**` takes one more segment.
        let Some((after, from)) = retry else { return false };
        let (_, Some(shorter)) = split(Some(from)) else {
            // Nothing is left for what follows `**`, unless that is nothing.
            return matches_nothing(after);
        };
        retry = Some((after, shorter));
        (pattern, path) = (after, Some(shorter));
    }
}

fn split(path: Option<&str>) -> (Option<&str>, Option<&str>) {
    match path {
        None => (None, None),
        Some(path) => match path.split_once('/') {
            Some((first, rest)) => (Some(first), Some(rest)),
            None => (Some(path), None),
        },
    }
}

fn matches_nothing(pattern: Option<&str>) -> bool {
    pattern.is_none_or(|pattern| pattern.split('/').all(|segment| segment == "**"))
}

pub(super) fn validate_pattern(pattern: &str) -> Result<(), PatternError> {
    if pattern.len() > MAX_PATTERN_LEN {
        return Err(PatternError::TooLong);
    }
    let segments = pattern.strip_prefix('/').ok_or(PatternError::NotAbsolute)?;
    for segment in segments.split('/') {
        if segment != "**" && segment.contains("**") {
            return Err(PatternError::PartialDoubleStar);
        }
        let reachable = !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'?' | b'#'));
        if !reachable {
            return Err(PatternError::Unreachable);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn star_stays_within_a_segment_and_double_star_crosses() {
        for (pattern, path, expected) in [
            ("/v1/chat/completions", "/v1/chat/completions", true),
            ("/v1/chat/completions", "/v1/chat/completions/", false),
            ("/v1/chat/completions", "/v1/chat", false),
            ("/v1/models/*", "/v1/models/gpt-4o", true),
            ("/v1/models/*", "/v1/models", false),
            ("/v1/models/*", "/v1/models/a/b", false),
            ("/v1/models/**", "/v1/models", true),
            ("/v1/models/**", "/v1/models/a/b", true),
            ("/v1/models/**", "/v1/modelsx", false),
            ("/v1beta/models/*:generateContent", "/v1beta/models/gemini-2.5:generateContent", true),
            ("/v1beta/models/*:generateContent", "/v1beta/models/x/y:generateContent", false),
            ("/**/completions", "/v1/chat/completions", true),
            ("/**/completions", "/completions", true),
            ("/**/completions", "/v1/completions/x", false),
            ("/**/a/**/b", "/x/a/y/a/b/c/b", true),
            ("/**/a/**/b", "/x/b/a", false),
            ("/**", "/", true),
            ("/a/**/**", "/a", true),
            ("/**/b/*", "/b/b/c", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_known_path_with_another_method_names_those_that_are_allowed() {
        let rule = |methods: &[&str], path: &str| EndpointRule {
            methods: methods.iter().map(ToString::to_string).collect(),
            path: path.into(),
        };
        let rules = [rule(&["POST"], "/a"), rule(&["GET", "POST"], "/*")];
        assert_eq!(judge(&rules, "GET", "/a"), Verdict::Allowed);
        assert_eq!(judge(&rules, "PUT", "/a"), Verdict::MethodNotAllowed(vec!["GET".into(), "POST".into()]));
        assert_eq!(judge(&rules, "GET", "/a/b"), Verdict::EndpointNotAllowed);
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for (path, error) in [
            ("v1", PatternError::NotAbsolute),
            ("/v1//x", PatternError::Unreachable),
            ("/v1/../x", PatternError::Unreachable),
            ("/v1?x", PatternError::Unreachable),
            ("/v1\\x", PatternError::Unreachable),
            ("/v1/a**", PatternError::PartialDoubleStar),
        ] {
            assert_eq!(validate_pattern(path), Err(error), "{path}");
        }
    }

    /// The same meaning, written the slow and obvious way.
    fn naive(pattern: &[&str], path: &[&str]) -> bool {
        match pattern {
            [] => path.is_empty(),
            ["**", rest @ ..] => (0..=path.len()).any(|n| naive(rest, &path[n..])),
            [first, rest @ ..] => {
                path.first().is_some_and(|segment| glob::matches(first, segment)) && naive(rest, &path[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_matcher(pattern in "(/(a|b|\\*|\\*\\*|a\\*)){1,5}", path in "(/(a|b|ab)){1,6}") {
            let segments = |text: &'_ str| text[1..].split('/').map(str::to_owned).collect::<Vec<_>>();
            let (p, t) = (segments(&pattern), segments(&path));
            let p: Vec<&str> = p.iter().map(String::as_str).collect();
            let t: Vec<&str> = t.iter().map(String::as_str).collect();
            prop_assert_eq!(matches(&pattern, &path), naive(&p, &t));
        }

        #[test]
        fn never_panics(pattern in ".{0,40}", path in ".{0,40}") {
            let _ = matches(&pattern, &path);
            let _ = validate_pattern(&pattern);
        }
    }
}
