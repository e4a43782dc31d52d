//! Reads variables and remembers what was wrong with them.

use shared::key::KeyRing;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// All that is missing or wrong, each with its variable. Never a value: it may be a secret.
#[derive(Debug)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not usable:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        write!(f, "\n`latchkey keygen` prints all keys; the README describes every variable")
    }
}

impl std::error::Error for ConfigError {}

pub(super) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, problems: Vec::new() }
    }

    pub(super) fn problem(&mut self, name: &str, what: &str) {
        self.problems.push(format!("{name}: {what}"));
    }

    /// A variable; empty counts as unset.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn required(&mut self, name: &str) -> Option<String> {
        let text = self.text(name);
        if text.is_none() {
            self.problem(name, "is required");
        }
        text
    }

    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, default: &str, expected: &str) -> Option<T> {
        let value = self.text(name).as_deref().unwrap_or(default).parse().ok();
        if value.is_none() {
            self.problem(name, &format!("must be {expected}"));
        }
        value
    }

    pub(super) fn seconds(&mut self, name: &str, default: &str, least: u64) -> Option<Duration> {
        let seconds = self.parsed(name, default, "a number of seconds").filter(|&seconds: &u64| {
            let is_usable = (least..=86_400).contains(&seconds);
            if !is_usable {
                self.problems.push(format!("{name}: must be from {least} to 86400 seconds"));
            }
            is_usable
        });
        seconds.map(Duration::from_secs)
    }

    pub(super) fn keys(&mut self, name: &str) -> Option<KeyRing> {
        let text = self.required(name)?;
        match KeyRing::from_base64_list(&text) {
            Ok(keys) => Some(keys),
            Err(error) => {
                self.problem(name, &format!("{error}; `latchkey keygen` prints one that fits"));
                None
            }
        }
    }

    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(ConfigError(self.problems)),
        }
    }
}
