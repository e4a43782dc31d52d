//! Why something was not done.

use crate::chance::NoRandom;
use crate::sinks::SinkError;
use crate::store;
use crate::vault::VaultError;
use std::borrow::Cow;
use thiserror::Error;

/// All but `Internal` are for the caller to read.
#[derive(Debug, Error)]
pub enum Error {
    #[error("there is no {0} with this id")]
    NotFound(&'static str),
    #[error("{field}: {reason}")]
    Invalid { field: &'static str, reason: Cow<'static, str> },
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Gone(&'static str),
    /// It will never take this.
    #[error("the sink refused it: {0}")]
    SinkRefused(String),
    #[error("the sink did not take it: {0}")]
    SinkUnavailable(String),
    #[error("{0} is not supported yet, so it is refused rather than stored without effect")]
    NotSupported(&'static str),
    /// Names the field.
    #[error("{0}")]
    InvalidPolicy(String),
    /// Names the field.
    #[error("{0}")]
    InvalidRoute(String),
    /// For the log only.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { field, reason: reason.into() }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Internal(format!("database: {error}"))
    }
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        Self::Internal(format!("vault: {error}"))
    }
}

impl From<NoRandom> for Error {
    fn from(error: NoRandom) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<SinkError> for Error {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Refused(message) => Self::SinkRefused(message),
            SinkError::Unavailable { message, .. } => Self::SinkUnavailable(message),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Internal(format!("stored JSON: {error}"))
    }
}
