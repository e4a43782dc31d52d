//! Tokens created so recently that the manifest may not have them yet.

use super::Halt;
use super::project::LiveProject;
use super::shelf::{Shelf, ShelfStats};
use shared::id::UnixMs;
use shared::snapshot::fresh::{Fresh, MAX_AGE_MS};
use shared::snapshot::record::TokenRecord;
use shared::token::Token;
use std::cell::RefCell;
use std::rc::Rc;
use uuid::Uuid;

/// About 1,000 tokens whose projects have ten credentials. Those beyond that
/// cost a read of KV each, until the manifest has them.
const BUDGET: usize = 4 * 1024 * 1024;

#[derive(Clone, Debug)]
pub struct Created {
    pub record: TokenRecord,
    pub project: Rc<LiveProject>,
}

/// Those that this isolate has asked KV for and found.
#[derive(Debug)]
pub struct FreshTokens(RefCell<Shelf<Uuid, Created>>);

impl FreshTokens {
    /// `token`, if it is remembered; `Halt::Fresh` if KV should be asked.
    ///
    /// A manifest made well after a token either has it or knows that it is
    /// gone: then what is remembered of it no longer counts.
    pub fn find(
        &self,
        token: &Token,
        manifest_created_at: UnixMs,
        now: UnixMs,
    ) -> Result<Option<Created>, Halt> {
        let Some(issued_at) = token.issued_at() else { return Ok(None) };
        if manifest_created_at >= issued_at.saturating_add(MAX_AGE_MS) {
            return Ok(None);
        }
        if let Some(created) = self.0.borrow_mut().get(&token.id()) {
            return Ok(Some(created.clone()));
        }
        if now.saturating_sub(issued_at) < MAX_AGE_MS { Err(Halt::Fresh(token.id())) } else { Ok(None) }
    }

    pub fn remember(&self, fresh: Fresh) {
        let mut tokens = self.0.borrow_mut();
        let known = tokens.values().find(|created| created.project.is(&fresh.project));
        let project = match known {
            Some(created) => created.project.clone(),
            None => LiveProject::new(fresh.project),
        };
        // A project is shared, but counted each time: others may be thrown out first.
        let bytes = size_of::<Created>() + project.footprint();
        tokens.put(fresh.record.id(), Created { record: fresh.record, project }, bytes);
    }

    pub fn stats(&self) -> ShelfStats {
        self.0.borrow().stats()
    }
}

impl Default for FreshTokens {
    fn default() -> Self {
        Self(RefCell::new(Shelf::new(BUDGET)))
    }
}
