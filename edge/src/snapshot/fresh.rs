//! Tokens created so recently that the manifest may not have them yet.

use super::{Halt, LiveProject};
use shared::id::UnixMs;
use shared::snapshot::fresh::{Fresh, MAX_AGE_MS};
use shared::snapshot::record::TokenRecord;
use shared::token::Token;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use uuid::Uuid;

/// As many as are created in a few minutes by a busy organization. More than
/// that start anew: a read of KV each.
const MAX_REMEMBERED: usize = 4_096;

#[derive(Clone, Debug)]
pub struct Created {
    pub record: TokenRecord,
    pub project: Rc<LiveProject>,
}

/// Those that this isolate has asked KV for and found.
#[derive(Debug, Default)]
pub struct FreshTokens(RefCell<HashMap<Uuid, Created>>);

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
        if let Some(created) = self.0.borrow().get(&token.id()) {
            return Ok(Some(created.clone()));
        }
        if now.saturating_sub(issued_at) < MAX_AGE_MS { Err(Halt::Fresh(token.id())) } else { Ok(None) }
    }

    pub fn remember(&self, fresh: Fresh) {
        let mut tokens = self.0.borrow_mut();
        if tokens.len() >= MAX_REMEMBERED {
            tokens.clear();
        }
        tokens.insert(
            fresh.record.id(),
            Created { record: fresh.record, project: LiveProject::new(fresh.project) },
        );
    }
}
