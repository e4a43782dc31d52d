//! The kinds of sinks there are.

use super::{Sink, file, helicone, lunary, webhook};
use crate::secret::Secret;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

pub const KINDS: [Kind; 4] = [file::KIND, webhook::KIND, lunary::KIND, helicone::KIND];

/// What is to be known of a kind before one of it is opened.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    pub secret: Secrecy,
    /// Events in one delivery, unless the sink says otherwise, and at most.
    pub batch_size: u32,
    pub max_batch_size: u32,
    /// Says in words what is wrong with its settings.
    pub open: fn(Opening<'_>) -> Result<Arc<dyn Sink>, String>,
}

/// Whether a kind has a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    None,
    Needed,
}

/// What a sink is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// As the API took them, an object.
    pub settings: &'a Value,
    /// There where the kind needs one.
    pub secret: Option<&'a Secret>,
    pub surroundings: &'a Surroundings,
}

/// What the operator lets sinks do.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `SINK_FILE_DIR`: files may be written there; nowhere if it is not set.
    pub file_dir: Option<PathBuf>,
    /// `ALLOW_PRIVATE_UPSTREAMS`
    pub allow_private: bool,
}

impl Kind {
    pub fn find(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name == name)
    }
}

impl Opening<'_> {
    /// What is wrong is named by its field; its value is not repeated, for it may be a misplaced key.
    pub(super) fn settings<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_path_to_error::deserialize(self.settings).map_err(|error| {
            let text = error.inner().to_string();
            let names_a_field = text.starts_with("unknown field") || text.starts_with("missing field");
            match text.rsplit_once("expected ") {
                Some((_, expected)) if !names_a_field => format!("{}: expected {expected}", error.path()),
                _ => text,
            }
        })
    }

    /// The secret of a kind that needs one.
    pub(super) fn secret(&self) -> Result<Secret, String> {
        self.secret.cloned().ok_or_else(|| "secret: is required".to_owned())
    }
}
