//! Where requests for a model go: routes over several targets, as data.

mod follow;

pub use follow::{Sent, Unroutable, check_encoding, edit_of_model, find, path_of_model};

use crate::policy::glob;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use thiserror::Error;

pub const MAX_ROUTES: usize = 100;
const MAX_NAME_LEN: usize = 100;
const MAX_PATTERNS: usize = 20;
const MAX_MODEL_LEN: usize = 200;
const MAX_TARGETS: usize = 16;
const MAX_WEIGHT: u32 = 1_000_000;
const MAX_ATTEMPTS: u32 = 10;
/// A day. Milliseconds.
const MAX_MS: u32 = 24 * 60 * 60 * 1000;

/// What a project has instead of one provider, for the models that it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Unique within the project.
    pub name: String,
    /// Models as clients ask for them, `*` for any characters.
    #[serde(rename = "match")]
    pub models: Vec<String>,
    #[serde(default)]
    pub strategy: Strategy,
    #[serde(default)]
    pub resume: Resume,
    pub targets: Vec<Target>,
    #[serde(default)]
    pub retry: Retry,
    #[serde(default)]
    pub timeouts: RouteTimeouts,
}

/// In which order targets are tried. Those that are known to be unwell go last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Lowest priority number first; among equals, in proportion to weights.
    #[default]
    Priority,
    /// In proportion to weights, whatever the priority.
    Weighted,
    /// One after another.
    RoundRobin,
    /// The one whose last failure is longest ago.
    LeastRecentlyFailing,
}

/// What happens to a stream that breaks off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// The client gets an error.
    #[default]
    Off,
    /// The next target is asked, and goes on if it begins with exactly what the
    /// client has already.
    Verified,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub provider: String,
    /// As the provider calls it; left out, as the client does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default = "one")]
    pub weight: u32,
    /// The lowest goes first.
    #[serde(default)]
    pub priority: u32,
    /// It is asked again what was too long for another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub larger_context: bool,
}

fn one() -> u32 {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// How often a provider is asked at most, the first time included.
    pub attempts: u32,
    /// Since the request came, or a stream broke off; after that none is asked again.
    pub budget_ms: u32,
    /// Also after a connection that broke before it answered, which the edge cannot
    /// tell from one that never was: the provider may have done its work, and charge for it.
    pub after_reset: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 3, budget_ms: 20_000, after_reset: true }
    }
}

/// In milliseconds; what is left out is as the target's provider says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteTimeouts {
    /// Until the answer's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    /// From then until the first part of a stream. Left out, `idle_ms` counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u32>,
    /// Between two parts of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u32>,
    /// For all attempts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_ms: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct RouteError {
    pub field: String,
    pub problem: String,
}

impl Route {
    pub fn matches(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| glob::matches(pattern, model))
    }

    /// Whether it can be followed, as far as it can be told without the providers.
    pub fn validate(&self) -> Result<(), RouteError> {
        let is_text =
            |text: &String, max| (1..=max).contains(&text.len()) && !text.contains(char::is_control);
        require(is_text(&self.name, MAX_NAME_LEN), "name", "must have 1 to 100 characters")?;
        let are_patterns = self.models.iter().all(|pattern| is_text(pattern, MAX_MODEL_LEN));
        require(
            (1..=MAX_PATTERNS).contains(&self.models.len()) && are_patterns,
            "match",
            "must have 1 to 20 patterns of 1 to 200 characters",
        )?;
        require((1..=MAX_TARGETS).contains(&self.targets.len()), "targets", "must be 1 to 16")?;
        let mut seen = HashSet::new();
        for (at, target) in self.targets.iter().enumerate() {
            let field = |name: &str| format!("targets[{at}].{name}");
            let is_model = target.model.as_ref().is_none_or(|model| is_text(model, MAX_MODEL_LEN));
            require(is_model, &field("model"), "must have 1 to 200 characters")?;
            require((1..=MAX_WEIGHT).contains(&target.weight), &field("weight"), "must be 1 to 1000000")?;
            let is_new = seen.insert((&target.provider, &target.model));
            require(is_new, &format!("targets[{at}]"), "is there twice: give it more weight instead")?;
        }
        let Retry { attempts, budget_ms, after_reset: _ } = self.retry;
        require((1..=MAX_ATTEMPTS).contains(&attempts), "retry.attempts", "must be 1 to 10")?;
        let may_resume = self.resume == Resume::Off || attempts > 1;
        require(may_resume, "resume", "needs retry.attempts of 2 at least: another is asked to go on")?;
        require(budget_ms <= MAX_MS, "retry.budget_ms", "must be at most a day")?;
        let RouteTimeouts { first_byte_ms, first_token_ms, idle_ms, total_ms } = self.timeouts;
        for (field, ms) in [
            ("timeouts.first_byte_ms", first_byte_ms),
            ("timeouts.first_token_ms", first_token_ms),
            ("timeouts.idle_ms", idle_ms),
            ("timeouts.total_ms", total_ms),
        ] {
            require(ms.is_none_or(|ms| (1..=MAX_MS).contains(&ms)), field, "must be 1 to a day")?;
        }
        Ok(())
    }
}

fn require(is_met: bool, field: &str, problem: &str) -> Result<(), RouteError> {
    if is_met { Ok(()) } else { Err(RouteError { field: field.to_owned(), problem: problem.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn route(changes: &Value) -> Value {
        let mut route = json!({
            "name": "fast", "match": ["fast", "gpt-4o-mini*"], "strategy": "priority", "resume": "off",
            "targets": [
                {"provider": "openai", "model": "gpt-4o-mini", "weight": 1, "priority": 0},
                {"provider": "groq", "model": "llama-3.3-70b", "priority": 1, "larger_context": true},
            ],
            "retry": {"attempts": 2, "budget_ms": 20000, "after_reset": true},
            "timeouts": {"first_byte_ms": 15000, "first_token_ms": 15000, "idle_ms": 15000, "total_ms": 600_000},
        });
        for (name, value) in changes.as_object().unwrap() {
            route[name] = value.clone();
        }
        route
    }

    #[test]
    fn is_what_it_is_documented_to_be() {
        let route: Route = serde_json::from_value(route(&json!({}))).unwrap();
        assert_eq!(route.validate(), Ok(()));
        assert!(route.matches("fast") && route.matches("gpt-4o-mini-2024") && !route.matches("faster"));
        let least = json!({"name": "a", "match": ["a"], "targets": [{"provider": "openai"}]});
        let least: Route = serde_json::from_value(least).unwrap();
        assert_eq!((least.targets[0].weight, least.retry.attempts), (1, 3));
        assert_eq!(least.validate(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (changes, field) in [
            (json!({"name": ""}), "name"),
            (json!({"match": []}), "match"),
            (json!({"targets": []}), "targets"),
            (json!({"targets": [{"provider": "a", "weight": 0}]}), "targets[0].weight"),
            (json!({"targets": [{"provider": "a", "model": ""}]}), "targets[0].model"),
            (json!({"targets": [{"provider": "a"}, {"provider": "a"}]}), "targets[1]"),
            (json!({"retry": {"attempts": 0}}), "retry.attempts"),
            (json!({"resume": "verified", "retry": {"attempts": 1}}), "resume"),
            (json!({"timeouts": {"idle_ms": 0}}), "timeouts.idle_ms"),
        ] {
            let route: Route = serde_json::from_value(route(&changes)).unwrap();
            assert_eq!(route.validate().unwrap_err().field, field);
        }
        assert!(serde_json::from_value::<Route>(route(&json!({"unknown": 1}))).is_err());
    }
}
