//! A token that was just created, told to every edge before its creation is
//! answered, so that it works at once without waiting for the manifest.
//!
//! Wire form: [`signed`](super::signed) postcard of [`Wire`].

use super::config::{self, ConfigError, Project};
use super::record::{RECORD_LEN, TokenRecord};
use super::signed::{Kind, SignedError, SnapshotSigner, SnapshotVerifier};
use crate::id::UnixMs;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How old a token, in milliseconds, may be to be looked for as fresh.
pub const MAX_AGE_MS: UnixMs = 3 * 60 * 1000;

#[derive(Clone, Debug, PartialEq)]
pub struct Fresh {
    pub deployment_id: String,
    pub record: TokenRecord,
    /// The token's project, for an edge whose manifest does not have it yet.
    pub project: Project,
}

#[derive(Debug, Error)]
pub enum FreshError {
    #[error(transparent)]
    Signed(#[from] SignedError),
    #[error("the fresh record's payload is malformed: {0}")]
    Postcard(#[from] postcard::Error),
    #[error("the fresh record has the wrong length")]
    Record,
    #[error(transparent)]
    Config(#[from] ConfigError),
}

#[derive(Serialize, Deserialize)]
struct Wire {
    deployment_id: String,
    record: Vec<u8>,
    /// A [`config`] object.
    project: Vec<u8>,
}

impl Fresh {
    pub fn encode(&self, signer: &SnapshotSigner) -> Result<Vec<u8>, FreshError> {
        let wire = Wire {
            deployment_id: self.deployment_id.clone(),
            record: self.record.to_bytes().to_vec(),
            project: config::encode(&self.project)?,
        };
        Ok(signer.sign(Kind::Fresh, &postcard::to_stdvec(&wire)?))
    }

    pub fn decode(object: &[u8], verifier: &SnapshotVerifier) -> Result<Self, FreshError> {
        let payload = verifier.open(Kind::Fresh, object)?;
        let (wire, rest) = postcard::take_from_bytes::<Wire>(payload)?;
        let record = <[u8; RECORD_LEN]>::try_from(wire.record).map_err(|_| FreshError::Record)?;
        if !rest.is_empty() {
            return Err(FreshError::Record);
        }
        Ok(Self {
            deployment_id: wire.deployment_id,
            record: TokenRecord::from_bytes(&record),
            project: config::decode(&wire.project)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::project;
    use super::*;
    use crate::id;

    /// Frozen: edges and control planes of different ages share a KV.
    #[test]
    fn golden() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let fresh = Fresh {
            deployment_id: "default".into(),
            record: TokenRecord::new(id::new(5, &[1; 10]), &[2; 32], Some(6), 3, false),
            project: project(3),
        };
        let object = fresh.encode(&signer).unwrap();
        crate::golden::assert("fresh.bin", &object);
        assert_eq!(Fresh::decode(&object, &(&signer).into()).unwrap(), fresh);
        for cut in 0..object.len() {
            assert!(Fresh::decode(&object[..cut], &(&signer).into()).is_err());
        }
    }
}
