//! What an isolate holds of the snapshot, natively and without a runtime.

use crate::world::World;
use edge::snapshot::Snapshot;
use edge::snapshot::holder::{Holder, Refused};
use edge::snapshot::objects::{Object, ObjectError, Objects};
use latchkey_tests::{fixture, keys};
use shared::snapshot::config::{Project, Providers};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::signed::SnapshotVerifier;
use std::rc::Rc;

#[derive(Default)]
pub(crate) struct Isolate(Holder);

impl Isolate {
    /// One that has loaded all objects but the one at `lacking`.
    pub(crate) fn warm(world: &World, lacking: Option<usize>) -> Self {
        let mut isolate = Self::default();
        isolate.read(&fixture::encode(&world.manifest(1))).unwrap();
        for (at, stored) in world.objects.iter().enumerate() {
            if Some(at) != lacking {
                isolate.insert(stored.object, &stored.content).unwrap();
            }
        }
        isolate
    }

    pub(crate) fn read(&mut self, manifest: &[u8]) -> Result<(), Refused> {
        let verifier = SnapshotVerifier::from(&keys::signer());
        self.0.check_read(manifest, &verifier, keys::DEPLOYMENT, fixture::now())
    }

    pub(crate) fn insert(&self, object: Object, content: &[u8]) -> Result<(), ObjectError> {
        insert(self.objects(), object, content)
    }

    pub(crate) fn objects(&self) -> &Rc<Objects> {
        self.0.objects()
    }

    /// From the location's Cache API, in KV's place.
    pub(crate) fn read_copy(&mut self, manifest: &[u8]) -> Result<bool, Refused> {
        let verifier = SnapshotVerifier::from(&keys::signer());
        self.0.copy_read(manifest, &verifier, keys::DEPLOYMENT, fixture::now())
    }

    pub(crate) fn snapshot(&self) -> Option<Rc<Snapshot>> {
        self.0.current()
    }

    pub(crate) fn answers(&self) -> Answers {
        Answers::of(&self.snapshot().unwrap())
    }
}

/// Takes what was read under the name of `object`.
pub(crate) fn insert(objects: &Objects, object: Object, content: &[u8]) -> Result<(), ObjectError> {
    objects.insert(object.verify(content.to_vec())?)
}

/// What a snapshot says of everything that a world is asked for: or which
/// object it lacks to say it.
#[derive(Debug, PartialEq)]
pub(crate) struct Answers {
    pub(crate) tokens: Vec<Result<Option<TokenRecord>, Object>>,
    pub(crate) projects: Vec<Result<Option<Project>, Object>>,
    pub(crate) providers: Result<Rc<Providers>, Object>,
}

impl Answers {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let token = |id| Ok(snapshot.token(id)?.map(|found| found.record));
        let project = |number| Ok(snapshot.project(number)?.map(|project| (**project).clone()));
        Self {
            tokens: World::token_ids().into_iter().map(token).collect(),
            projects: World::PROJECTS.into_iter().map(project).collect(),
            providers: snapshot.providers(),
        }
    }
}
