//! Many tokens and projects, each known by its number: for tests and benchmarks
//! at the size that Latchkey is made for.

pub mod by_hand;
pub mod database;

use crate::soak::dice::Dice;
use crate::{fixture, keys};
use shared::id::{self, UnixMs};
use shared::provider::{Api, Provider};
use shared::sealed::{Binding, Sealed};
use shared::snapshot::config::{Credential, DEFAULT_MAX_SNAPSHOT_AGE, OnStale, Project, StreamUsage};
use shared::snapshot::record::TokenRecord;
use shared::token::Token;
use uuid::Uuid;

/// From one token to the next.
const GAP_MS: UnixMs = 1_000;
/// The newest is so old: none is looked for as a fresh one.
const NEWEST_MS: UnixMs = 10 * 60 * 1_000;
/// The one provider.
pub const PROVIDER: &str = "crowd";

/// The same numbers give the same tokens, in any order and without a list of them.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// When token 0 was issued.
    start: UnixMs,
    pub tokens: u64,
    pub projects: u32,
    /// Of each project.
    pub credentials: u32,
}

impl Crowd {
    /// Issued one after another, until ten minutes ago.
    pub fn new(tokens: u64, projects: u32, credentials: u32) -> Self {
        Self { start: fixture::now() - NEWEST_MS - tokens * GAP_MS, tokens, projects, credentials }
    }

    pub fn token(&self, number: u64) -> Token {
        self.nth(number, 0)
    }

    /// In the midst of the others, but nobody's.
    pub fn unknown(&self, number: u64) -> Token {
        self.nth(number, 1)
    }

    /// As a client sends it.
    pub fn text(&self, number: u64) -> String {
        fixture::text(&self.token(number))
    }

    pub fn record(&self, number: u64) -> TokenRecord {
        fixture::record(&self.token(number), self.project_of(number), None, false)
    }

    pub fn issued_at(&self, number: u64) -> UnixMs {
        self.start + number * GAP_MS
    }

    /// Numbers of projects begin at 1.
    pub fn project_of(&self, token: u64) -> u32 {
        1 + u32::try_from(token % u64::from(self.projects)).unwrap()
    }

    pub fn project_id(number: u32) -> Uuid {
        let mut random = [0; 10];
        random[6..].copy_from_slice(&number.to_be_bytes());
        id::new(1, &random)
    }

    pub fn project(&self, number: u32, provider: &Provider) -> Project {
        let credential = |at| {
            let id = Self::credential_id(number, at);
            let binding = Self::binding(number, id, provider);
            let nonce = id.as_bytes()[4..].try_into().unwrap();
            let sealed =
                Sealed::seal(fixture::UPSTREAM_KEY, binding, &keys::credential_keys(), nonce).unwrap();
            Credential { id, provider: provider.name.clone(), weight: 1, priority: 0, sealed }
        };
        Project {
            number,
            id: Self::project_id(number),
            is_active: true,
            tokens_valid_from: 0,
            default_provider: provider.name.clone(),
            on_stale: OnStale::Serve,
            max_snapshot_age: DEFAULT_MAX_SNAPSHOT_AGE,
            stream_usage: StreamUsage::default(),
            capture: None,
            policy: None,
            profiles: Vec::new(),
            routes: Vec::new(),
            credentials: (0..self.credentials).map(credential).collect(),
        }
    }

    fn credential_id(project: u32, at: u32) -> Uuid {
        let mut random = [0; 10];
        random[2..6].copy_from_slice(&at.to_be_bytes());
        random[6..].copy_from_slice(&project.to_be_bytes());
        id::new(2, &random)
    }

    fn binding(project: u32, credential_id: Uuid, provider: &Provider) -> Binding<'_> {
        Binding {
            deployment_id: keys::DEPLOYMENT,
            project_id: Self::project_id(project),
            credential_id,
            provider: &provider.name,
            origin: provider.origin(),
        }
    }

    fn nth(&self, number: u64, kind: u64) -> Token {
        let mut dice = Dice::new(2 * number + kind);
        let mut random = [0; 10];
        random[..8].copy_from_slice(&dice.roll().to_be_bytes());
        random[8..].copy_from_slice(&dice.roll().to_be_bytes()[..2]);
        let mut secret = [0; 20];
        for part in secret.chunks_mut(8) {
            part.copy_from_slice(&dice.roll().to_be_bytes()[..part.len()]);
        }
        Token::new(id::new(self.issued_at(number), &random), secret)
    }
}

/// At `upstream`.
pub fn provider(upstream: &str) -> Provider {
    fixture::provider(PROVIDER, Api::OpenAi, "authorization", "Bearer ", upstream)
}
