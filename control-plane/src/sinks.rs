//! Where events go besides the database.
//!
//! A sink is one file with a [`Kind`], which names its settings and opens it, and
//! a line in [`KINDS`]. It is given events from the database, in the order in
//! which they were counted, from the position where it is: so a sink that is away
//! holds up neither the log nor the counting. What it is given it may be given
//! again: each sink has every event at least once.

mod api;
pub mod attempt;
pub mod claim;
pub mod feed;
pub mod file;
pub mod helicone;
pub mod http;
pub mod kind;
pub mod lag;
mod lines;
pub mod lunary;
pub mod open;
pub mod runner;
pub mod supervisor;
pub mod webhook;

use crate::domain::events::Listed;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use thiserror::Error;

pub use kind::{KINDS, Kind, Opening, Secrecy};

pub type Delivered<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// Takes events to somewhere else.
pub trait Sink: Debug + Send + Sync {
    /// Returns once the other side has all of them.
    fn deliver<'a>(&'a self, events: &'a [Listed]) -> Delivered<'a>;
}

/// Why it does not have them all. No message contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SinkError {
    /// Whatever it was given, it would not have taken it now.
    #[error("{message}")]
    Unavailable { message: String, retry_after: Option<Duration> },
    /// At least one of these it will never take.
    #[error("{0}")]
    Refused(String),
}

impl SinkError {
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), retry_after: None }
    }
}

/// Of a reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// A reason as it is kept: `PostgreSQL` takes no NUL.
pub fn kept(reason: &str) -> String {
    reason.replace('\0', "\u{fffd}").chars().take(MAX_REASON).collect()
}
