//! The manifest: the one mutable object of a snapshot.
//!
//! Wire form: [`signed`](super::signed) postcard of [`Wire`]. Postcard's format is
//! specified at <https://postcard.jamesmunns.com/wire-format>.

use super::Hash;
use super::config::{self, ConfigError, Project, Providers};
use super::record::{ProjectNumber, TokenRecord};
use super::shard::{Shard, ShardError};
use super::signed::{Kind, SignedError, SnapshotSigner, SnapshotVerifier};
use crate::id::UnixMs;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// Beyond either bound, what the delta holds is compacted into shards and slices.
pub const MAX_DELTA_RECORDS: usize = 2_000;
pub const MAX_DELTA_LEN: usize = 256 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub deployment_id: String,
    /// Grows with every publication, and is never below Unix milliseconds.
    pub version: u64,
    pub created_at: UnixMs,
    /// None before the first compaction: then the delta has everything.
    pub base: Option<Base>,
    pub delta: Delta,
}

/// The immutable objects that the snapshot consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Of the [`Index`](super::index::Index) that names all others.
    pub index: Hash,
    /// Every change in it was made before this time. So an earlier manifest
    /// that was made later than this, and the delta of one that names this
    /// base, together say what the base says.
    pub compiled_at: UnixMs,
}

/// What changed since the base was compiled; it outranks the base.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Created and revoked tokens.
    pub tokens: Shard,
    /// Whole projects, sorted by number.
    pub projects: Vec<Project>,
    /// All providers, when one changed.
    pub providers: Option<Providers>,
}

#[derive(Debug, Error)]
pub enum ManifestError {
    #[error(transparent)]
    Signed(#[from] SignedError),
    #[error("the manifest's payload is malformed: {0}")]
    Postcard(#[from] postcard::Error),
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the manifest's projects are not sorted")]
    Unsorted,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    deployment_id: String,
    version: u64,
    created_at: UnixMs,
    base: Option<Base>,
    /// A [`Shard`].
    tokens: Vec<u8>,
    /// A [`config`] object each.
    projects: Vec<Vec<u8>>,
    /// A [`config`] object.
    providers: Option<Vec<u8>>,
}

impl Manifest {
    pub fn encode(&self, signer: &SnapshotSigner) -> Result<Vec<u8>, ManifestError> {
        let Self { deployment_id, version, created_at, base, delta } = self;
        let wire = Wire {
            deployment_id: deployment_id.clone(),
            version: *version,
            created_at: *created_at,
            base: *base,
            tokens: delta.tokens.as_bytes().to_vec(),
            projects: delta.projects.iter().map(config::encode).collect::<Result<_, _>>()?,
            providers: delta.providers.as_ref().map(config::encode).transpose()?,
        };
        Ok(signer.sign(Kind::Manifest, &postcard::to_stdvec(&wire)?))
    }

    /// Verifies and reads a manifest. Deployment, version and age are for the caller to judge.
    pub fn decode(object: &[u8], verifier: &SnapshotVerifier) -> Result<Self, ManifestError> {
        let payload = verifier.open(Kind::Manifest, object)?;
        let (wire, rest) = postcard::take_from_bytes::<Wire>(payload)?;
        if !rest.is_empty() {
            return Err(postcard::Error::DeserializeBadEncoding.into());
        }
        let Wire { deployment_id, version, created_at, base, tokens, projects, providers } = wire;
        let delta = Delta {
            tokens: Shard::from_bytes(tokens)?,
            projects: projects
                .iter()
                .map(|bytes| config::decode(bytes))
                .collect::<Result<Vec<Project>, _>>()?,
            providers: providers.as_deref().map(config::decode).transpose()?,
        };
        if !delta.projects.is_sorted_by(|a, b| a.number < b.number) {
            return Err(ManifestError::Unsorted);
        }
        Ok(Self { deployment_id, version, created_at, base, delta })
    }
}

impl Delta {
    pub fn token(&self, id: Uuid) -> Option<TokenRecord> {
        self.tokens.find(id)
    }

    pub fn project(&self, number: ProjectNumber) -> Option<&Project> {
        let at = self.projects.binary_search_by_key(&number, |project| project.number).ok()?;
        Some(&self.projects[at])
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::project;
    use super::*;
    use crate::id;

    fn manifest() -> Manifest {
        let record = TokenRecord::new(id::new(5, &[1; 10]), &[2; 32], None, 3, true);
        Manifest {
            deployment_id: "default".into(),
            version: 1_795_444_000_001,
            created_at: 1_795_444_000_000,
            base: Some(Base { index: Hash([3; 32]), compiled_at: 1_795_443_000_000 }),
            delta: Delta {
                tokens: Shard::build(vec![record]),
                projects: vec![project(3)],
                providers: Some(Providers::default()),
            },
        }
    }

    /// Frozen: edges and control planes of different ages share a KV.
    #[test]
    fn golden() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let object = manifest().encode(&signer).unwrap();
        crate::golden::assert("manifest.bin", &object);
        assert_eq!(Manifest::decode(&object, &(&signer).into()).unwrap(), manifest());
    }

    #[test]
    fn a_well_signed_but_malformed_payload_is_an_error() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let payload = signer.sign(Kind::Manifest, b"");
        let good = manifest().encode(&signer).unwrap();
        let payload_at = payload.len();
        for cut in payload_at..good.len() {
            let object = signer.sign(Kind::Manifest, &good[payload_at..cut]);
            assert!(Manifest::decode(&object, &(&signer).into()).is_err());
        }
        let longer = signer.sign(Kind::Manifest, &[&good[payload_at..], b"x"].concat());
        assert!(Manifest::decode(&longer, &(&signer).into()).is_err());
    }

    #[test]
    fn unsorted_projects_are_refused() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let mut unsorted = manifest();
        unsorted.delta.projects = vec![project(3), project(2)];
        let object = unsorted.encode(&signer).unwrap();
        assert!(matches!(Manifest::decode(&object, &(&signer).into()), Err(ManifestError::Unsorted)));
    }
}
