//! Projects and providers, as JSON: rarely loaded, often looked at, and what
//! an older edge does not know in them it must refuse rather than ignore.

use super::record::{ProfileNumber, ProjectNumber};
use crate::id::UnixMs;
use crate::policy::Carried;
use crate::provider::Provider;
use crate::route::Route;
use crate::sealed::Sealed;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use uuid::Uuid;

/// Largest slice of projects, in bytes; one project alone may exceed it.
pub const MAX_SLICE_LEN: usize = 256 * 1024;

/// The age in seconds beyond which a snapshot counts as stale (`on_stale`).
pub const DEFAULT_MAX_SNAPSHOT_AGE: u64 = 24 * 60 * 60;

/// What to do with a snapshot older than the project's `max_snapshot_age`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStale {
    #[default]
    Serve,
    Deny,
}

/// How the usage of a stream is learned whose client did not ask for it,
/// where the API tells it only to who asks (`OpenAI`'s `stream_options`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamUsage {
    /// The edge asks; the client gets the extra last chunk.
    #[default]
    Ask,
    /// The edge asks, and takes that chunk out again.
    AskAndStrip,
    /// The request goes as it is; usage is estimated.
    Leave,
}

/// That the bodies of a project's requests and answers are kept with its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Patterns of what is taken out before; see [`crate::redaction`].
    pub redact: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Project {
    pub number: ProjectNumber,
    pub id: Uuid,
    pub is_active: bool,
    /// Tokens issued earlier are revoked; 0 = all are valid.
    pub tokens_valid_from: UnixMs,
    /// The provider behind `/v1/...`.
    pub default_provider: String,
    pub on_stale: OnStale,
    /// Seconds.
    pub max_snapshot_age: u64,
    #[serde(default)]
    pub stream_usage: StreamUsage,
    /// `None` = off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Carried>,
    /// What tokens have of their own, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<Profile>,
    /// The first that matches counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<CarriedRoute>,
    /// The active ones only.
    pub credentials: Vec<Credential>,
}

/// A route as it travels. One that this version does not understand may match
/// any model: then it is not known where a request should go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CarriedRoute {
    Route(Route),
    Unreadable(serde_json::Value),
}

impl CarriedRoute {
    /// What was stored as JSON, whatever it is.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::Unreadable(text.into()))
    }
}

/// A policy that many tokens of a project may share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Within the project; 0 is none's.
    pub number: ProfileNumber,
    pub policy: Carried,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    pub id: Uuid,
    pub provider: String,
    /// Share among the credentials of equal priority; at least 1.
    pub weight: u32,
    /// The lowest goes first.
    pub priority: u32,
    pub sealed: Sealed,
}

/// Projects sorted by number, as one immutable object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSlice {
    pub projects: Vec<Project>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Providers {
    pub providers: Vec<Provider>,
}

impl ProjectSlice {
    pub fn find(&self, number: ProjectNumber) -> Option<&Project> {
        let at = self.projects.binary_search_by_key(&number, |project| project.number).ok()?;
        Some(&self.projects[at])
    }
}

impl Providers {
    pub fn find(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }
}

#[derive(Debug, Error)]
#[error("not a configuration object of version 1: {0}")]
pub struct ConfigError(#[from] serde_json::Error);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<T> {
    /// Always 1 in this module.
    version: One,
    content: T,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct One;

impl TryFrom<u32> for One {
    type Error = &'static str;

    fn try_from(version: u32) -> Result<Self, Self::Error> {
        if version == 1 { Ok(Self) } else { Err("a version other than 1") }
    }
}

impl From<One> for u32 {
    fn from(_: One) -> Self {
        1
    }
}

/// The wire form of a [`Project`], [`ProjectSlice`] or [`Providers`].
pub fn encode<T: Serialize>(content: &T) -> Result<Vec<u8>, ConfigError> {
    Ok(serde_json::to_vec(&Versioned { version: One, content })?)
}

pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ConfigError> {
    Ok(serde_json::from_slice::<Versioned<T>>(bytes)?.content)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::policy::{EndpointRule, Policy};
    use crate::provider::{Api, Auth, Timeouts};

    pub(crate) fn project(number: ProjectNumber) -> Project {
        Project {
            number,
            id: Uuid::from_bytes([7; 16]),
            is_active: true,
            tokens_valid_from: 0,
            default_provider: "openai".into(),
            on_stale: OnStale::Serve,
            max_snapshot_age: DEFAULT_MAX_SNAPSHOT_AGE,
            stream_usage: StreamUsage::AskAndStrip,
            capture: Some(Capture { redact: vec!["[0-9]{16}".into()] }),
            policy: None,
            profiles: Vec::new(),
            routes: Vec::new(),
            credentials: vec![Credential {
                id: Uuid::from_bytes([8; 16]),
                provider: "openai".into(),
                weight: 1,
                priority: 0,
                sealed: Sealed::from("v1.0011223344556677.AAAA".to_owned()),
            }],
        }
    }

    fn providers() -> Providers {
        Providers {
            providers: vec![Provider {
                name: "openai".into(),
                base_url: "https://api.openai.com".into(),
                auth: Auth { header: "authorization".into(), prefix: "Bearer ".into() },
                api: Api::OpenAi,
                allowed_endpoints: vec![EndpointRule {
                    methods: vec!["POST".into()],
                    path: "/v1/chat/completions".into(),
                }],
                default_headers: [("x-from".to_owned(), "latchkey".to_owned())].into(),
                allowed_headers: vec!["openai-project".into()],
                timeouts: Timeouts::default(),
                policy: None,
            }],
        }
    }

    /// Frozen: edges read what other versions wrote.
    #[test]
    fn golden() {
        let slice = ProjectSlice { projects: vec![project(3), project(9)] };
        let bytes = encode(&slice).unwrap();
        crate::golden::assert("projects.json", &bytes);
        assert_eq!(decode::<ProjectSlice>(&bytes).unwrap(), slice);

        let bytes = encode(&providers()).unwrap();
        crate::golden::assert("providers.json", &bytes);
        assert_eq!(decode::<Providers>(&bytes).unwrap(), providers());
    }

    #[test]
    fn finds_a_project_by_number() {
        let slice = ProjectSlice { projects: vec![project(3), project(9)] };
        assert_eq!(slice.find(9).map(|found| found.number), Some(9));
        assert!(slice.find(4).is_none());
    }

    #[test]
    fn a_policy_that_is_not_understood_spoils_nothing_else() {
        let policy = Some(Policy { max_body_bytes: Some(7), ..Policy::default() }.into());
        let project = Project { policy, ..project(1) };
        let text = String::from_utf8(encode(&project).unwrap()).unwrap();
        assert_eq!(decode::<Project>(text.as_bytes()).unwrap(), project);
        let text = text.replace("max_body_bytes", "max_body_kilobytes");
        let damaged = decode::<Project>(text.as_bytes()).unwrap();
        assert!(matches!(damaged.policy, Some(Carried::Unreadable(_))));
    }

    /// A rule that this edge would not enforce must not be dropped silently.
    #[test]
    fn unknown_fields_and_versions_are_refused() {
        let text = String::from_utf8(encode(&project(1)).unwrap()).unwrap();
        assert!(decode::<Project>(text.as_bytes()).is_ok());
        assert!(decode::<Project>(text.replace("\"number\"", "\"limits\":1,\"number\"").as_bytes()).is_err());
        assert!(decode::<Project>(text.replace("\"version\":1", "\"version\":2").as_bytes()).is_err());
    }
}
