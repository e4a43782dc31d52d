//! What an isolate holds of the snapshot's immutable objects, whichever
//! manifests name them: their name is the hash of their content, so nothing
//! here is ever out of date.

use super::project::LiveProject;
use super::shelf::{Shelf, ShelfStats};
use serde::Serialize;
use shared::snapshot::config::{self, ConfigError, ProjectSlice, Providers};
use shared::snapshot::index::{Index, IndexError};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::{Shard, ShardError};
use shared::snapshot::table::Table;
use shared::snapshot::{Hash, index_key, project_key, providers_key, shard_key};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use thiserror::Error;
use uuid::Uuid;

const MIB: usize = 1024 * 1024;

/// An immutable object that a manifest, or the index it names, names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    Index(Hash),
    Shard(Hash),
    Projects(Hash),
    Providers(Hash),
}

impl Object {
    pub fn key(self) -> String {
        match self {
            Self::Index(hash) => index_key(hash),
            Self::Shard(hash) => shard_key(hash),
            Self::Projects(hash) => project_key(hash),
            Self::Providers(hash) => providers_key(hash),
        }
    }

    pub fn hash(self) -> Hash {
        match self {
            Self::Index(hash) | Self::Shard(hash) | Self::Projects(hash) | Self::Providers(hash) => hash,
        }
    }

    pub fn verify(self, content: Vec<u8>) -> Result<Verified, ObjectError> {
        let hash = Hash::of(&content);
        self.verify_hashed(content, hash)
    }

    /// `hash` is the SHA-256 of `content`, whoever computed it.
    pub fn verify_hashed(self, content: Vec<u8>, hash: Hash) -> Result<Verified, ObjectError> {
        if self.hash() == hash { Ok(Verified { object: self, content }) } else { Err(ObjectError::Hash) }
    }
}

/// Content that has the hash by which its object is named.
pub struct Verified {
    object: Object,
    content: Vec<u8>,
}

impl Verified {
    pub fn object(&self) -> Object {
        self.object
    }

    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verified({:?})", self.object)
    }
}

#[derive(Debug, Error)]
pub enum ObjectError {
    #[error("its content does not have the hash that names it")]
    Hash,
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Bytes that each kind may take. Together with the manifest, the fresh tokens
/// and what the allocator loses, which is a third of it when shards of all
/// sizes come and go for long, an isolate stays below 64 MB.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub indexes: usize,
    pub shards: usize,
    pub slices: usize,
    pub providers: usize,
    pub records: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            // That of ten million tokens has 400 KB. The current one and the one before are in use anyway.
            indexes: MIB,
            // About 60, of 1,800 tokens each. A token that was used once needs its shard no more.
            shards: 6 * MIB,
            // About 6,000 projects with ten credentials each.
            slices: 22 * MIB,
            providers: MIB,
            // About 34,000 tokens, wherever in the snapshot they are.
            records: 6 * MIB,
        }
    }
}

/// A token's record, and the shard it is in.
#[derive(Clone, Copy, Debug)]
struct Seen {
    record: TokenRecord,
    shard: Hash,
}

/// Each kind is bounded for itself, least recently used out. What was handed
/// out stays good when it is thrown out here.
#[derive(Debug)]
pub struct Objects {
    indexes: RefCell<Shelf<Hash, Rc<Index>>>,
    shards: RefCell<Shelf<Hash, Rc<Table>>>,
    slices: RefCell<Shelf<Hash, Rc<[Rc<LiveProject>]>>>,
    providers: RefCell<Shelf<Hash, Rc<Providers>>>,
    records: RefCell<Shelf<Uuid, Seen>>,
}

/// For tests and for whoever watches an isolate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub indexes: ShelfStats,
    pub shards: ShelfStats,
    pub slices: ShelfStats,
    pub providers: ShelfStats,
    pub records: ShelfStats,
}

impl Objects {
    pub fn new(budget: Budget) -> Self {
        Self {
            indexes: RefCell::new(Shelf::new(budget.indexes)),
            shards: RefCell::new(Shelf::new(budget.shards)),
            slices: RefCell::new(Shelf::new(budget.slices)),
            providers: RefCell::new(Shelf::new(budget.providers)),
            records: RefCell::new(Shelf::new(budget.records)),
        }
    }

    /// A malformed one changes nothing.
    pub fn insert(&self, Verified { object, content }: Verified) -> Result<(), ObjectError> {
        match object {
            Object::Index(hash) => {
                let index = Index::from_bytes(content)?;
                let bytes = index.footprint();
                self.indexes.borrow_mut().put(hash, Rc::new(index), bytes);
            }
            Object::Shard(hash) => {
                let table = Table::from(&Shard::from_bytes(content)?);
                let bytes = table.footprint();
                self.shards.borrow_mut().put(hash, Rc::new(table), bytes);
            }
            Object::Projects(hash) => {
                let slice: ProjectSlice = config::decode(&content)?;
                let projects: Rc<[_]> = slice.projects.into_iter().map(LiveProject::new).collect();
                let bytes = projects.iter().map(|project| project.footprint()).sum();
                self.slices.borrow_mut().put(hash, projects, bytes);
            }
            Object::Providers(hash) => {
                let providers = Rc::new(config::decode(&content)?);
                // Strings and a little more: about what they take as JSON.
                self.providers.borrow_mut().put(hash, providers, 2 * content.len());
            }
        }
        Ok(())
    }

    /// Whether it is in memory.
    pub fn holds(&self, object: Object) -> bool {
        match object {
            Object::Index(hash) => self.indexes.borrow().holds(&hash),
            Object::Shard(hash) => self.shards.borrow().holds(&hash),
            Object::Projects(hash) => self.slices.borrow().holds(&hash),
            Object::Providers(hash) => self.providers.borrow().holds(&hash),
        }
    }

    pub fn stats(&self) -> Stats {
        Stats {
            indexes: self.indexes.borrow().stats(),
            shards: self.shards.borrow().stats(),
            slices: self.slices.borrow().stats(),
            providers: self.providers.borrow().stats(),
            records: self.records.borrow().stats(),
        }
    }

    pub(super) fn index(&self, hash: Hash) -> Option<Rc<Index>> {
        self.indexes.borrow_mut().get(&hash).cloned()
    }

    pub(super) fn shard(&self, hash: Hash) -> Option<Rc<Table>> {
        self.shards.borrow_mut().get(&hash).cloned()
    }

    pub(super) fn slice(&self, hash: Hash) -> Option<Rc<[Rc<LiveProject>]>> {
        self.slices.borrow_mut().get(&hash).cloned()
    }

    pub(super) fn providers(&self, hash: Hash) -> Option<Rc<Providers>> {
        self.providers.borrow_mut().get(&hash).cloned()
    }

    /// The record of token `id` in `shard`, if it was remembered from there.
    pub(super) fn record(&self, id: Uuid, shard: Hash) -> Option<TokenRecord> {
        self.records.borrow_mut().get_if(&id, |seen| seen.shard == shard).map(|seen| seen.record)
    }

    pub(super) fn remember(&self, record: TokenRecord, shard: Hash) {
        self.records.borrow_mut().put(record.id(), Seen { record, shard }, size_of::<Seen>());
    }
}

impl Default for Objects {
    fn default() -> Self {
        Self::new(Budget::default())
    }
}
