//! What a caller may do: rules as data, and the one place that applies them.
//!
//! A provider, a project and a token each may have a [`Policy`]. All that apply
//! are applied, one after another; nothing is merged, so that what is narrowed
//! anywhere counts at once.

pub mod body;
pub mod endpoint;
pub mod glob;
pub mod parameter;

pub use endpoint::{EndpointRule, MAX_PATTERN_LEN, PatternError, Verdict, judge, matches};
pub use parameter::ParameterRule;
