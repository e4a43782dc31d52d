//! What still needs which key, and so which one may go. Only ids are told, never keys.

mod advice;

use super::Result;
use crate::store::credentials::{self, SealCount};
use crate::store::sinks::{self, SecretCount};
use crate::store::tokens::{self, TagCount};
use crate::store::{Store, outbox};
use serde::Serialize;
use shared::id::UnixMs;
use shared::key::KeyId;

/// Ids of the keys in this process's configuration, the first of each first.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub encryption: Vec<KeyId>,
    pub snapshot_signing: Vec<KeyId>,
    pub edge_credential: Vec<KeyId>,
    pub token_tag: Vec<KeyId>,
    pub edge_ingest: Vec<KeyId>,
    pub management: Vec<KeyId>,
}

/// What the database says of keys, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub seals: Vec<SealCount>,
    pub sink_secrets: Vec<SecretCount>,
    pub tags: Vec<TagCount>,
    /// Changes not published yet.
    pub pending: u64,
    pub now: UnixMs,
}

/// The manifest that is in KV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InKv {
    SignedBy(KeyId),
    Missing,
    /// KV does not answer, or what it has is no manifest: in words.
    Unknown(String),
}

/// One of the variables that list keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindStanding {
    pub name: &'static str,
    pub keys: Vec<KeyStanding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyStanding {
    /// None stands for whichever key made what was made before ids were kept.
    pub id: Option<String>,
    pub rank: Rank,
    /// How many things need it.
    pub needed_by: u64,
    pub verdict: Verdict,
    /// The reason, and what to do.
    pub advice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// It signs, seals or tags.
    First,
    /// It is accepted.
    Listed,
    NotListed,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Keep,
    Removable,
    /// Something needs a key that is not there.
    Problem,
}

impl Tally {
    pub async fn read(store: &Store, now: UnixMs) -> Result<Self> {
        let mut tx = store.read().await?;
        Ok(Self {
            seals: credentials::count_by_keys(&mut tx).await?,
            sink_secrets: sinks::count_by_key(&mut tx).await?,
            tags: tokens::count_valid_by_tag_key(&mut tx, now).await?,
            pending: outbox::backlog(&mut tx).await?.pending,
            now,
        })
    }

    pub fn standings(&self, listed: &Listed, in_kv: &InKv) -> Vec<KindStanding> {
        vec![
            advice::encryption(self, listed),
            advice::edge_credential(self, &listed.edge_credential),
            advice::token_tag(self, &listed.token_tag),
            advice::snapshot_signing(&listed.snapshot_signing, in_kv),
            advice::edge_ingest(&listed.edge_ingest),
            advice::management(&listed.management),
        ]
    }
}
