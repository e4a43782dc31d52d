//! The snapshot: everything the edge needs to decide on a request.
//!
//! One mutable object, the signed [`manifest`], names an [`index`], which names
//! immutable objects by the SHA-256 of their content: [`shard`]s of token
//! records, slices of [`config::Project`]s, and the providers. The manifest's
//! delta bridges the time until a change has become part of them. So a change
//! costs the same write, however many tokens there are.

pub mod config;
pub mod fresh;
mod guide;
pub mod index;
pub mod manifest;
pub mod record;
pub mod shard;
pub mod signed;
pub mod table;

use sha2::{Digest, Sha256};
use std::fmt;
use uuid::Uuid;

/// The KV key of the manifest.
pub const MANIFEST_KEY: &str = "manifest/v1";

/// The SHA-256 of an immutable object, by which it is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    pub fn matches(&self, content: &[u8]) -> bool {
        Self::of(content) == *self
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

pub fn index_key(hash: Hash) -> String {
    format!("index/{hash}")
}

pub fn shard_key(hash: Hash) -> String {
    format!("shard/{hash}")
}

pub fn project_key(hash: Hash) -> String {
    format!("project/{hash}")
}

pub fn providers_key(hash: Hash) -> String {
    format!("providers/{hash}")
}

pub fn fresh_key(token_id: Uuid) -> String {
    format!("fresh/{token_id}")
}
