//! The snapshot as an isolate goes by it: a verified manifest, over immutable
//! objects that are loaded when they are needed and may be thrown out again.
//! A look-up that needs one that is not in memory says which; loading it is
//! the caller's work.

pub mod fresh;
pub mod holder;
pub mod objects;
pub mod project;
pub mod shelf;

use crate::refusal::Refusal;
use objects::{Object, Objects};
use project::LiveProject;
use shared::id::UnixMs;
use shared::snapshot::Hash;
use shared::snapshot::config::{Project, Providers};
use shared::snapshot::index::Index;
use shared::snapshot::manifest::{Base, Delta, Manifest};
use shared::snapshot::record::{ProjectNumber, TokenRecord};
use shared::snapshot::table::Table;
use shared::token::Token;
use std::cell::{OnceCell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use uuid::Uuid;

/// More than these stand in for one another only if nothing could be loaded
/// for hours; each keeps its delta in memory.
const MAX_BEFORE: usize = 32;

/// Why a decision stopped.
#[derive(Debug)]
pub enum Halt {
    Refuse(Refusal),
    /// This object must be loaded first.
    Load(Object),
    /// The token may have been created a moment ago: `fresh/<id>` would tell.
    Fresh(Uuid),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}

impl From<Object> for Halt {
    fn from(object: Object) -> Self {
        Self::Load(object)
    }
}

/// A token's record, and where it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub record: TokenRecord,
    /// It had to be looked up in its shard.
    is_from_shard: bool,
}

#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    created_at: UnixMs,
    base: Option<Base>,
    tokens: Table,
    projects: Vec<Rc<LiveProject>>,
    providers: Option<Rc<Providers>>,
    objects: Rc<Objects>,
    /// Those of the base: each request needs them, so they are not thrown out
    /// while this snapshot is in force.
    base_index: OnceCell<Rc<Index>>,
    base_providers: OnceCell<Rc<Providers>>,
    /// The last one with another base, if it was made after this one's base was
    /// compiled. Then what it says, under this one's delta, is what this one's
    /// base says: it can stand in for an object, and nothing is out of date.
    before: RefCell<Option<Rc<Self>>>,
    /// Objects that could not be loaded, for which `before` stands in.
    given_up: RefCell<HashSet<Hash>>,
}

impl Snapshot {
    /// The one after `earlier`.
    pub fn new(manifest: Manifest, earlier: Option<&Rc<Self>>, objects: Rc<Objects>) -> Self {
        let Manifest { deployment_id: _, version, created_at, base, delta } = manifest;
        let Delta { tokens, projects, providers } = delta;
        let with_same_base = earlier.filter(|earlier| earlier.base == base);
        Self {
            version,
            created_at,
            base,
            tokens: Table::from(&tokens),
            projects: live(projects, earlier),
            providers: providers.map(Rc::new),
            objects,
            base_index: with_same_base.map(|earlier| earlier.base_index.clone()).unwrap_or_default(),
            base_providers: with_same_base.map(|earlier| earlier.base_providers.clone()).unwrap_or_default(),
            before: RefCell::new(earlier.and_then(|earlier| earlier.before_of(base))),
            given_up: RefCell::default(),
        }
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn created_at(&self) -> UnixMs {
        self.created_at
    }

    pub fn age_secs(&self, now: UnixMs) -> u64 {
        now.saturating_sub(self.created_at) / 1000
    }

    /// Where what this snapshot names is held.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    pub fn token(&self, id: Uuid) -> Result<Option<Found>, Object> {
        if let Some(record) = self.tokens.find(id) {
            return Ok(Some(Found { record, is_from_shard: false }));
        }
        let Some(base) = self.base else { return Ok(None) };
        let Some(index) = self.index(base) else {
            return self.instead_of(Object::Index(base.index), |before| before.token(id));
        };
        let Some(hash) = index.shard_of(id) else { return Ok(None) };
        if let Some(record) = self.objects.record(id, hash) {
            return Ok(Some(Found { record, is_from_shard: false }));
        }
        match self.objects.shard(hash) {
            Some(shard) => Ok(shard.find(id).map(|record| Found { record, is_from_shard: true })),
            None => self.instead_of(Object::Shard(hash), |before| before.token(id)),
        }
    }

    /// From now on what was found for `token` needs its shard no more. Only for
    /// who has the secret: made-up ones must not push others out.
    pub fn remember(&self, found: &Found, token: &Token) {
        if !found.is_from_shard || !found.record.is_of(token) {
            return;
        }
        if let Some(shard) = self.shard_of(token.id()) {
            self.objects.remember(found.record, shard);
        }
    }

    /// The shard in which a look-up of `id` finds it.
    fn shard_of(&self, id: Uuid) -> Option<Hash> {
        let before = || self.before.borrow().clone()?.shard_of(id);
        let base = self.base?;
        let Some(index) = self.index(base) else { return before() };
        let hash = index.shard_of(id)?;
        if !self.objects.holds(Object::Shard(hash)) {
            return before();
        }
        Some(hash)
    }

    pub fn project(&self, number: ProjectNumber) -> Result<Option<Rc<LiveProject>>, Object> {
        if let Some(project) = project::find(&self.projects, number) {
            return Ok(Some(project.clone()));
        }
        let Some(base) = self.base else { return Ok(None) };
        let Some(index) = self.index(base) else {
            return self.instead_of(Object::Index(base.index), |before| before.project(number));
        };
        let Some(hash) = index.slice_of(number) else { return Ok(None) };
        match self.objects.slice(hash) {
            Some(slice) => Ok(project::find(&slice, number).cloned()),
            None => self.instead_of(Object::Projects(hash), |before| before.project(number)),
        }
    }

    pub fn providers(&self) -> Result<Rc<Providers>, Object> {
        if let Some(providers) = self.providers.as_ref().or_else(|| self.base_providers.get()) {
            return Ok(providers.clone());
        }
        let Some(base) = self.base else { return Ok(Rc::default()) };
        let Some(index) = self.index(base) else {
            return self.instead_of(Object::Index(base.index), Self::providers);
        };
        match self.objects.providers(index.providers()) {
            Some(providers) => Ok(self.base_providers.get_or_init(|| providers).clone()),
            None => self.instead_of(Object::Providers(index.providers()), Self::providers),
        }
    }

    /// `object` cannot be loaded: from now on the snapshot before the one that
    /// asked for it stands in. False if nothing can. A newer manifest tries anew.
    pub fn give_up(&self, object: Object) -> bool {
        let before = self.before.borrow().clone();
        if !self.names(object) || self.given_up.borrow().contains(&object.hash()) {
            // One further back asked. If none does any more, another request was here meanwhile.
            return before.is_none_or(|before| before.give_up(object));
        }
        let Some(before) = before else { return false };
        self.given_up.borrow_mut().insert(object.hash());
        // It would ask for the same.
        !before.names(object) || before.give_up(object)
    }

    fn names(&self, object: Object) -> bool {
        let in_index =
            |found: &dyn Fn(&Index) -> bool| self.base_index.get().is_some_and(|index| found(index));
        match object {
            Object::Index(hash) => self.base.is_some_and(|base| base.index == hash),
            Object::Shard(hash) => in_index(&|index| index.shards().any(|shard| shard.hash == hash)),
            Object::Projects(hash) => in_index(&|index| index.slices().any(|slice| slice.hash == hash)),
            Object::Providers(hash) => in_index(&|index| index.providers() == hash),
        }
    }

    fn index(&self, base: Base) -> Option<&Index> {
        if let Some(index) = self.base_index.get() {
            return Some(index);
        }
        let index = self.objects.index(base.index)?;
        Some(self.base_index.get_or_init(|| index))
    }

    /// Asks the one before, where that stands in for `object`.
    fn instead_of<T>(
        &self,
        object: Object,
        ask: impl FnOnce(&Self) -> Result<T, Object>,
    ) -> Result<T, Object> {
        if !self.given_up.borrow().contains(&object.hash()) {
            return Err(object);
        }
        let before = self.before.borrow().clone();
        before.map_or(Err(object), |before| ask(&before))
    }

    /// What stands before the snapshot over `base`, which follows this one.
    fn before_of(self: &Rc<Self>, base: Option<Base>) -> Option<Rc<Self>> {
        if base == self.base {
            return self.before.borrow().clone();
        }
        // One that was used and needed no stand-in needs none any more.
        let was_used = self.base.is_none() || self.base_index.get().is_some();
        if was_used && self.given_up.borrow().is_empty() {
            self.before.take();
        }
        // Older than the new base, it would not know all that is in there.
        let base = base.filter(|base| self.created_at >= base.compiled_at);
        base.filter(|_| self.count_before() < MAX_BEFORE).map(|_| self.clone())
    }

    fn count_before(&self) -> usize {
        self.before.borrow().as_ref().map_or(0, |before| 1 + before.count_before())
    }
}

/// Projects that did not change keep the credentials that are open.
fn live(projects: Vec<Project>, earlier: Option<&Rc<Snapshot>>) -> Vec<Rc<LiveProject>> {
    let earlier = earlier.map_or(&[][..], |earlier| &earlier.projects);
    let keep = |project: &Project| {
        let known = project::find(earlier, project.number)?;
        known.is(project).then(|| known.clone())
    };
    projects.into_iter().map(|project| keep(&project).unwrap_or_else(|| LiveProject::new(project))).collect()
}

#[cfg(test)]
mod tests;
