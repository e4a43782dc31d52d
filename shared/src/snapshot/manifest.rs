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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub deployment_id: String,
    /// Grows with every publication, and is never below Unix milliseconds.
    pub version: u64,
    pub created_at: UnixMs,
    pub base: Base,
    pub delta: Delta,
}

/// The immutable objects that the snapshot consists of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Sorted by `first`; a shard holds the ids from there to the next one's.
    pub shards: Vec<ShardRef>,
    /// Sorted by `first`; a slice holds the numbers from there to the next one's.
    pub projects: Vec<SliceRef>,
    /// None before the first compaction: then the delta has them.
    pub providers: Option<Hash>,
    /// Every change in it was made before this time. So an earlier manifest
    /// that was made later than this, and the delta of one that names this
    /// base, together say what the base says.
    pub compiled_at: UnixMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRef {
    pub first: [u8; 16],
    pub hash: Hash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceRef {
    pub first: ProjectNumber,
    pub hash: Hash,
}

/// What changed since the base was compiled; it outranks the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    #[error("the manifest's indexes are not sorted")]
    Unsorted,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    deployment_id: String,
    version: u64,
    created_at: UnixMs,
    base: Base,
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
            base: base.clone(),
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
        let sorted = base.shards.is_sorted_by(|a, b| a.first < b.first)
            && base.projects.is_sorted_by(|a, b| a.first < b.first)
            && delta.projects.is_sorted_by(|a, b| a.number < b.number);
        if !sorted {
            return Err(ManifestError::Unsorted);
        }
        Ok(Self { deployment_id, version, created_at, base, delta })
    }
}

impl Base {
    /// The shard whose range holds `id`, if any.
    pub fn shard_of(&self, id: Uuid) -> Option<Hash> {
        let after = self.shards.partition_point(|shard| shard.first <= *id.as_bytes());
        Some(self.shards[after.checked_sub(1)?].hash)
    }

    /// The slice whose range holds project `number`, if any.
    pub fn slice_of(&self, number: ProjectNumber) -> Option<Hash> {
        let after = self.projects.partition_point(|slice| slice.first <= number);
        Some(self.projects[after.checked_sub(1)?].hash)
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
            base: Base {
                shards: vec![
                    ShardRef { first: [1; 16], hash: Hash([3; 32]) },
                    ShardRef { first: [2; 16], hash: Hash([4; 32]) },
                ],
                projects: vec![SliceRef { first: 1, hash: Hash([5; 32]) }],
                providers: Some(Hash([6; 32])),
                compiled_at: 1_795_443_000_000,
            },
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
    fn ranges_start_at_their_first_and_end_at_the_next() {
        let base = manifest().base;
        assert_eq!(base.shard_of(Uuid::from_bytes([0; 16])), None);
        assert_eq!(base.shard_of(Uuid::from_bytes([1; 16])), Some(Hash([3; 32])));
        assert_eq!(base.shard_of(Uuid::from_bytes([9; 16])), Some(Hash([4; 32])));
        assert_eq!(base.slice_of(0), None);
        assert_eq!(base.slice_of(u32::MAX), Some(Hash([5; 32])));
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
    fn unsorted_indexes_are_refused() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let mut unsorted = manifest();
        unsorted.base.shards.reverse();
        let object = unsorted.encode(&signer).unwrap();
        assert!(matches!(Manifest::decode(&object, &(&signer).into()), Err(ManifestError::Unsorted)));
    }
}
