//! What one client did, and what it therefore knows.

use super::known::Known;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A project that this client alone changes, or the one that all share and none changes.
#[derive(Debug)]
pub struct Project {
    pub id: String,
    pub name: Known<String>,
    pub is_active: Known<bool>,
    pub credentials: Vec<Credential>,
    pub is_shared: bool,
}

#[derive(Debug)]
pub struct Credential {
    pub id: String,
    pub is_there: Known<bool>,
}

/// A token whose creation was acknowledged.
#[derive(Debug)]
pub struct Token {
    pub id: Uuid,
    pub text: String,
    /// Its place in [`Ledger::projects`].
    pub project: usize,
    pub name: Known<String>,
    pub is_valid: Known<bool>,
    /// The answer said that it works everywhere.
    pub is_replicated: bool,
    /// The edge said so, and must go on saying it.
    pub was_refused: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub projects: Vec<Project>,
    pub tokens: Vec<Token>,
    /// Providers of this client's own, and what may be their default header.
    pub providers: Vec<(String, Known<String>)>,
    pub tally: Tally,
    /// When the last token that was given a short life has ended.
    pub withered: Option<Instant>,
    pub violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Changes that a control plane may have made.
    pub made: usize,
    pub acknowledged: usize,
    /// Requests at the edge meanwhile.
    pub asked: usize,
}

impl Project {
    pub fn new(id: String, name: String, credential_id: String, is_shared: bool) -> Self {
        let credential = Credential { id: credential_id, is_there: Known::new(true) };
        Self {
            id,
            name: Known::new(name),
            is_active: Known::new(true),
            credentials: vec![credential],
            is_shared,
        }
    }
}

impl Token {
    /// One that nothing was done about.
    pub fn is_surely_valid(&self) -> bool {
        self.is_valid.is(&true)
    }

    pub fn is_surely_invalid(&self) -> bool {
        self.is_valid.is(&false)
    }
}

impl Ledger {
    /// After all tokens of a project were revoked.
    pub fn all_revoked(&mut self, project: usize, is_acknowledged: bool) {
        for token in self.tokens.iter_mut().filter(|token| token.project == project) {
            token.is_valid.asked(false, is_acknowledged || token.is_surely_invalid());
        }
    }

    pub fn withers_in(&mut self, life: Duration) {
        self.withered = self.withered.max(Some(Instant::now() + life));
    }

    pub fn violation(&mut self, text: String) {
        self.violations.push(text);
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, Self { made, acknowledged, asked }: Self) {
        self.made += made;
        self.acknowledged += acknowledged;
        self.asked += asked;
    }
}
