//! Rules on what a JSON body holds.

use super::endpoint::{self, PatternError};
use super::glob;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest path to a value, in names.
pub const MAX_DEPTH: usize = 8;
pub const MAX_PATH_LEN: usize = 200;
pub const MAX_GLOBS: usize = 100;
pub const MAX_GLOB_LEN: usize = 200;

/// What a body may hold at one path, at some endpoints. A value of null counts
/// as none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterRule {
    /// Path patterns of endpoints, as of [`super::EndpointRule`]; at least one.
    pub endpoints: Vec<String>,
    /// Names separated by dots, such as `stream_options.include_usage`; `[]` after
    /// a name stands for each element, and for a value that is no array: `models[]`,
    /// `tools[].type`.
    pub path: String,
    /// Patterns, one of which the value must be like: a string, or a number or
    /// boolean as JSON writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Patterns that it must not be like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// It must be a number, and not less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Nor more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// It must be there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// It must not be there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub forbidden: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParameterError {
    #[error("endpoints: at least one path pattern is required, such as /v1/chat/completions")]
    NoEndpoint,
    #[error("endpoints: {0}")]
    Endpoint(#[from] PatternError),
    #[error(
        "path: names separated by dots, `[]` after a name for each element, at most {MAX_DEPTH} names and \
         {MAX_PATH_LEN} characters"
    )]
    Path,
    #[error("allow, deny: at most {MAX_GLOBS} patterns of 1 to {MAX_GLOB_LEN} characters")]
    Globs,
    #[error("min, max: finite numbers, min not above max")]
    Range,
    #[error("the rule asks for nothing: it needs allow, deny, min, max, required or forbidden")]
    Empty,
    #[error("forbidden stands alone: no other condition can hold beside it")]
    Contradiction,
}

/// A step of a path: into an object's member, or into each element of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    Member(&'a str),
    Each,
}

/// A value, as far as rules ask for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar<'a> {
    String(&'a str),
    /// Of 64 bits, exactly: not every one is an `f64`.
    Integer(i128),
    Number(f64),
    Bool(bool),
    /// An object or an array.
    Other,
}

impl ParameterRule {
    pub fn validate(&self) -> Result<(), ParameterError> {
        if self.endpoints.is_empty() {
            return Err(ParameterError::NoEndpoint);
        }
        for pattern in &self.endpoints {
            endpoint::validate_pattern(pattern)?;
        }
        self.steps().ok_or(ParameterError::Path)?;
        let globs = || self.allow.iter().flatten().chain(&self.deny);
        let is_glob = |glob: &String| (1..=MAX_GLOB_LEN).contains(&glob.len());
        if globs().count() > MAX_GLOBS || !globs().all(is_glob) {
            return Err(ParameterError::Globs);
        }
        let is_finite = self.min.into_iter().chain(self.max).all(f64::is_finite);
        if !is_finite || self.min.zip(self.max).is_some_and(|(min, max)| min > max) {
            return Err(ParameterError::Range);
        }
        let has_condition =
            self.allow.is_some() || !self.deny.is_empty() || self.min.is_some() || self.max.is_some();
        match (self.forbidden, has_condition || self.required) {
            (true, true) => Err(ParameterError::Contradiction),
            (false, false) => Err(ParameterError::Empty),
            (true, false) | (false, true) => Ok(()),
        }
    }

    pub fn applies(&self, endpoint: &str) -> bool {
        self.endpoints.iter().any(|pattern| endpoint::matches(pattern, endpoint))
    }

    /// None where the path is none.
    pub fn steps(&self) -> Option<Vec<Step<'_>>> {
        let mut steps = Vec::new();
        for name in self.path.split('.') {
            let (name, is_each) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
            let is_name = !name.is_empty() && !name.contains(['[', ']']) && !name.contains(char::is_control);
            if !is_name {
                return None;
            }
            steps.push(Step::Member(name));
            if is_each {
                steps.push(Step::Each);
            }
        }
        (steps.len() <= MAX_DEPTH && self.path.len() <= MAX_PATH_LEN).then_some(steps)
    }

    /// Whether a value that is there is as the rule wants it; else, in words,
    /// what it must be.
    pub fn check(&self, value: Scalar<'_>) -> Result<(), String> {
        if self.forbidden {
            return Err("is not allowed".to_owned());
        }
        if self.min.is_some() || self.max.is_some() {
            self.check_range(value)?;
        }
        if self.allow.is_none() && self.deny.is_empty() {
            return Ok(());
        }
        let text = match value {
            Scalar::String(text) => text,
            Scalar::Integer(number) => &number.to_string(),
            Scalar::Number(number) => &number.to_string(),
            Scalar::Bool(true) => "true",
            Scalar::Bool(false) => "false",
            Scalar::Other => return Err("must be a string, a number or a boolean".to_owned()),
        };
        let is_like = |globs: &[String]| globs.iter().any(|pattern| glob::matches(pattern, text));
        match &self.allow {
            Some(allow) if !is_like(allow) => Err(format!("must be one of: {}", allow.join(", "))),
            Some(_) | None if is_like(&self.deny) => Err("has a value that is not allowed".to_owned()),
            Some(_) | None => Ok(()),
        }
    }

    fn check_range(&self, value: Scalar<'_>) -> Result<(), String> {
        let number = match value {
            #[expect(clippy::cast_precision_loss, reason = "a limit is not that exact")]
            Scalar::Integer(number) => Some(number as f64),
            Scalar::Number(number) => Some(number),
            Scalar::String(_) | Scalar::Bool(_) | Scalar::Other => None,
        };
        let is_within = |number: f64| {
            self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
        };
        if number.is_some_and(is_within) {
            return Ok(());
        }
        Err(match (self.min, self.max) {
            (Some(min), Some(max)) => format!("must be a number from {min} to {max}"),
            (Some(min), None) => format!("must be a number of at least {min}"),
            (None, Some(max)) => format!("must be a number of at most {max}"),
            (None, None) => "must be a number".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> ParameterRule {
        ParameterRule { endpoints: vec!["/**".into()], path: "a".into(), ..ParameterRule::default() }
    }

    fn range(min: Option<f64>, max: Option<f64>) -> ParameterRule {
        ParameterRule { min, max, ..rule() }
    }

    #[test]
    fn paths_are_names_and_elements() {
        let steps =
            |path: &str| ParameterRule { path: path.into(), ..rule() }.steps().map(|steps| steps.len());
        assert_eq!(steps("model"), Some(1));
        assert_eq!(steps("tools[].function.name"), Some(4));
        for bad in ["", ".", "a.", "[]", "a[0]", "a[][]", "a.[]", "a\n", &"a.".repeat(9), &"a".repeat(201)] {
            assert_eq!(steps(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_could_never_be_meant_is_refused() {
        let allow = |globs: &[&str]| Some(globs.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (rule, error) in [
            (rule(), ParameterError::Empty),
            (ParameterRule { endpoints: vec![], required: true, ..rule() }, ParameterError::NoEndpoint),
            (ParameterRule { required: true, forbidden: true, ..rule() }, ParameterError::Contradiction),
            (ParameterRule { allow: allow(&[""]), ..rule() }, ParameterError::Globs),
            (ParameterRule { allow: allow(&["a"; 101]), ..rule() }, ParameterError::Globs),
            (range(Some(2.0), Some(1.0)), ParameterError::Range),
            (range(Some(f64::NAN), None), ParameterError::Range),
            (ParameterRule { path: "a..b".into(), required: true, ..rule() }, ParameterError::Path),
        ] {
            assert_eq!(rule.validate(), Err(error), "{rule:?}");
        }
        assert_eq!(ParameterRule { allow: Some(vec![]), ..rule() }.validate(), Ok(()));
        assert_eq!(range(Some(1.0), Some(1.0)).validate(), Ok(()));
    }

    #[test]
    fn a_value_is_judged_as_what_it_is() {
        let allow = |globs: &[&str]| ParameterRule {
            allow: Some(globs.iter().map(ToString::to_string).collect()),
            ..rule()
        };
        let is_ok = |rule: &ParameterRule, value| rule.check(value).is_ok();
        assert!(is_ok(&allow(&["gpt-4o*"]), Scalar::String("gpt-4o-mini")));
        assert!(!is_ok(&allow(&["gpt-4o*"]), Scalar::String("o1")));
        assert!(is_ok(&allow(&["1", "true"]), Scalar::Number(1.0)));
        assert!(is_ok(&allow(&["9007199254740993"]), Scalar::Integer((1 << 53) + 1)));
        assert!(!is_ok(&allow(&["9007199254740993"]), Scalar::Integer(1 << 53)));
        assert!(is_ok(&range(Some(1.0), Some(4096.0)), Scalar::Integer(4096)));
        assert!(!is_ok(&range(Some(1.0), Some(4096.0)), Scalar::Integer(4097)));
        assert!(is_ok(&allow(&["1", "true"]), Scalar::Bool(true)));
        assert!(!is_ok(&allow(&["*"]), Scalar::Other));
        assert!(!is_ok(&allow(&[]), Scalar::String("")));
        assert!(is_ok(&range(Some(1.0), Some(4096.0)), Scalar::Number(4096.0)));
        for value in [Scalar::Number(4096.5), Scalar::Number(0.0), Scalar::String("7"), Scalar::Other] {
            assert!(!is_ok(&range(Some(1.0), Some(4096.0)), value), "{value:?}");
        }
        let deny = ParameterRule { deny: vec!["*-pro".into()], ..rule() };
        assert!(is_ok(&deny, Scalar::String("o1")) && !is_ok(&deny, Scalar::String("o1-pro")));
    }
}
