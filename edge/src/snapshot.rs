//! The snapshot as an isolate holds it: a verified manifest and those of its
//! objects that were needed so far. A look-up that needs another one says
//! which; loading it is the runtime's work.

pub mod fresh;
pub mod holder;

use crate::refusal::Refusal;
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::provider::Provider;
use shared::sealed::Binding;
use shared::snapshot::config::{self, ConfigError, Project, ProjectSlice, Providers};
use shared::snapshot::manifest::Manifest;
use shared::snapshot::record::{ProjectNumber, TokenRecord};
use shared::snapshot::shard::{Shard, ShardError};
use shared::snapshot::{Hash, project_key, providers_key, shard_key};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

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

/// An immutable object that the manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    Shard(Hash),
    Projects(Hash),
    Providers(Hash),
}

impl Object {
    pub fn key(self) -> String {
        match self {
            Self::Shard(hash) => shard_key(hash),
            Self::Projects(hash) => project_key(hash),
            Self::Providers(hash) => providers_key(hash),
        }
    }

    fn hash(self) -> Hash {
        match self {
            Self::Shard(hash) | Self::Projects(hash) | Self::Providers(hash) => hash,
        }
    }
}

#[derive(Debug, Error)]
pub enum ObjectError {
    #[error("the content of {0} does not have the hash that names it")]
    Hash(String),
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

#[derive(Debug)]
pub struct Snapshot {
    manifest: Manifest,
    delta_projects: Vec<Rc<LiveProject>>,
    loaded: RefCell<Loaded>,
    /// The last one with another base, if it was made after this one's base was
    /// compiled. Then what it says, under this one's delta, is what this one's
    /// base says: it can stand in for an object, and nothing is out of date.
    before: RefCell<Option<Rc<Self>>>,
    /// Objects that could not be loaded, for which `before` stands in.
    given_up: RefCell<HashSet<Hash>>,
}

#[derive(Debug, Default)]
struct Loaded {
    shards: HashMap<Hash, Rc<Shard>>,
    slices: HashMap<Hash, Rc<[Rc<LiveProject>]>>,
    providers: Option<(Option<Hash>, Rc<Providers>)>,
}

impl Snapshot {
    /// Takes over what `earlier` had loaded and this manifest still names.
    pub fn new(mut manifest: Manifest, earlier: Option<&Rc<Self>>) -> Self {
        let delta_projects = manifest.delta.projects.drain(..).map(LiveProject::new).collect();
        let mut loaded = earlier.map(|earlier| earlier.still_named(&manifest)).unwrap_or_default();
        let before = earlier.and_then(|earlier| earlier.before_of(&manifest));
        if let Some(providers) = manifest.delta.providers.take() {
            loaded.providers = Some((None, Rc::new(providers)));
        }
        Self {
            manifest,
            delta_projects,
            loaded: RefCell::new(loaded),
            before: RefCell::new(before),
            given_up: RefCell::default(),
        }
    }

    pub fn version(&self) -> u64 {
        self.manifest.version
    }

    pub fn created_at(&self) -> UnixMs {
        self.manifest.created_at
    }

    pub fn age_secs(&self, now: UnixMs) -> u64 {
        now.saturating_sub(self.manifest.created_at) / 1000
    }

    pub fn token(&self, id: Uuid) -> Result<Option<TokenRecord>, Object> {
        if let Some(record) = self.manifest.delta.token(id) {
            return Ok(Some(record));
        }
        let Some(hash) = self.manifest.base.shard_of(id) else { return Ok(None) };
        if let Some(shard) = self.loaded.borrow().shards.get(&hash) {
            return Ok(shard.find(id));
        }
        match self.stand_in(hash) {
            Some(before) => before.token(id),
            None => Err(Object::Shard(hash)),
        }
    }

    pub fn project(&self, number: ProjectNumber) -> Result<Option<Rc<LiveProject>>, Object> {
        if let Some(project) = find_project(&self.delta_projects, number) {
            return Ok(Some(project));
        }
        let Some(hash) = self.manifest.base.slice_of(number) else { return Ok(None) };
        if let Some(slice) = self.loaded.borrow().slices.get(&hash) {
            return Ok(find_project(slice, number));
        }
        match self.stand_in(hash) {
            Some(before) => before.project(number),
            None => Err(Object::Projects(hash)),
        }
    }

    pub fn providers(&self) -> Result<Rc<Providers>, Object> {
        if let Some((_, providers)) = &self.loaded.borrow().providers {
            return Ok(providers.clone());
        }
        let Some(hash) = self.manifest.base.providers else { return Ok(Rc::default()) };
        match self.stand_in(hash) {
            Some(before) => before.providers(),
            None => Err(Object::Providers(hash)),
        }
    }

    /// `object` cannot be loaded: from now on the snapshot before this one
    /// stands in for it, if there is one. A newer manifest tries anew.
    pub fn give_up(&self, object: Object) -> bool {
        let Some(before) = self.before.borrow().clone() else { return false };
        let is_new = self.names(object) && self.given_up.borrow_mut().insert(object.hash());
        // Given up already: then it was the one before that asked for it, which
        // may name it too; or another request has been here meanwhile.
        is_new || !before.names(object) || before.give_up(object)
    }

    fn names(&self, object: Object) -> bool {
        let base = &self.manifest.base;
        match object {
            Object::Shard(hash) => base.shards.iter().any(|shard| shard.hash == hash),
            Object::Projects(hash) => base.projects.iter().any(|slice| slice.hash == hash),
            Object::Providers(hash) => base.providers == Some(hash),
        }
    }

    fn stand_in(&self, hash: Hash) -> Option<Rc<Self>> {
        if self.given_up.borrow().contains(&hash) { self.before.borrow().clone() } else { None }
    }

    /// What stands before the snapshot of `manifest`, which follows this one.
    fn before_of(self: &Rc<Self>, manifest: &Manifest) -> Option<Rc<Self>> {
        if manifest.base == self.manifest.base {
            return self.before.borrow().clone();
        }
        // One that needed no stand-in needs none any more.
        if self.given_up.borrow().is_empty() {
            self.before.take();
        }
        // Older than the new base, it would not know all that is in there.
        (self.created_at() >= manifest.base.compiled_at).then(|| self.clone())
    }

    /// Takes an object that a look-up asked for, once its content is verified.
    pub fn insert(&self, object: Object, content: Vec<u8>) -> Result<(), ObjectError> {
        if !object.hash().matches(&content) {
            return Err(ObjectError::Hash(object.key()));
        }
        // The one that asked may be the one that stands in, and both may name it.
        let before = self.before.borrow().clone();
        if let Some(before) = before.filter(|before| before.names(object)) {
            before.insert(object, content.clone())?;
        }
        if !self.names(object) {
            return Ok(());
        }
        let mut loaded = self.loaded.borrow_mut();
        match object {
            Object::Shard(hash) => {
                loaded.shards.insert(hash, Rc::new(Shard::from_bytes(content)?));
            }
            Object::Projects(hash) => {
                let slice: ProjectSlice = config::decode(&content)?;
                let projects = slice.projects.into_iter().map(LiveProject::new).collect();
                loaded.slices.insert(hash, projects);
            }
            Object::Providers(hash) => {
                loaded.providers = Some((Some(hash), Rc::new(config::decode(&content)?)));
            }
        }
        Ok(())
    }

    fn still_named(&self, manifest: &Manifest) -> Loaded {
        let loaded = self.loaded.borrow();
        let base = &manifest.base;
        Loaded {
            shards: base
                .shards
                .iter()
                .filter_map(|shard| Some((shard.hash, loaded.shards.get(&shard.hash)?.clone())))
                .collect(),
            slices: base
                .projects
                .iter()
                .filter_map(|slice| Some((slice.hash, loaded.slices.get(&slice.hash)?.clone())))
                .collect(),
            // From a delta they have no hash, and the next manifest may have others.
            providers: loaded
                .providers
                .as_ref()
                .filter(|(hash, _)| hash.is_some() && *hash == base.providers)
                .cloned(),
        }
    }
}

fn find_project(projects: &[Rc<LiveProject>], number: ProjectNumber) -> Option<Rc<LiveProject>> {
    let at = projects.binary_search_by_key(&number, |project| project.number).ok()?;
    Some(projects[at].clone())
}

/// A project with the credentials that were opened so far.
pub struct LiveProject {
    project: Project,
    opened: RefCell<Vec<Option<Opened>>>,
}

/// Good for one origin only: a provider's may change while its project does not.
struct Opened {
    origin: String,
    key: Zeroizing<String>,
}

impl LiveProject {
    pub fn new(project: Project) -> Rc<Self> {
        Rc::new(Self { project, opened: RefCell::default() })
    }

    /// The plain key of credential `index`, or `None` if it does not open.
    pub fn open(
        &self,
        index: usize,
        provider: &Provider,
        deployment_id: &str,
        keys: &KeyRing,
    ) -> Option<Zeroizing<String>> {
        let credential = self.project.credentials.get(index)?;
        let origin = provider.origin();
        let mut opened = self.opened.borrow_mut();
        opened.resize_with(self.project.credentials.len(), || None);
        if let Some(known) = opened[index].as_ref().filter(|known| known.origin == origin) {
            return Some(known.key.clone());
        }
        let binding = Binding {
            deployment_id,
            project_id: self.project.id,
            credential_id: credential.id,
            provider: &credential.provider,
            origin,
        };
        let key = credential.sealed.open(binding, keys).ok()?;
        opened[index] = Some(Opened { origin: origin.to_owned(), key: key.clone() });
        Some(key)
    }
}

impl Deref for LiveProject {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl fmt::Debug for LiveProject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveProject({})", self.project.id)
    }
}
