//! Who is asked: which of a route's targets, with which of the project's
//! credentials, and who next when that one fails. Without a route there is one
//! target, the named provider.
//!
//! Nothing here does I/O, looks at a clock or rolls dice. [`attempts::Attempts`]
//! leads one request from candidate to candidate; [`standings::Standings`] is what
//! an isolate knows about them.

pub mod attempts;
pub mod breaker;
pub mod error_kind;
pub mod happened;
pub mod key;
pub mod order;
pub mod signs;
pub mod standings;
pub mod strategy;
pub mod turns;

mod chance;

#[cfg(test)]
mod testing;

use key::Key;

/// A target with one of the credentials that it can be asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place among the targets that have candidates.
    pub target: usize,
    /// Its place among the project's credentials.
    pub credential: usize,
    pub target_priority: u32,
    pub target_weight: u32,
    pub larger_context: bool,
    pub credential_priority: u32,
    pub credential_weight: u32,
    pub key: Key,
}
