//! Seals provider keys: once for the database, once for the edge.

use crate::chance::{self, NoRandom};
use shared::key::KeyRing;
use shared::sealed::{Binding, SealError, Sealed};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

#[derive(Debug)]
pub struct Vault {
    pub deployment_id: String,
    /// `ENCRYPTION_KEY`
    pub at_rest: KeyRing,
    /// `EDGE_CREDENTIAL_KEY`
    pub edge: KeyRing,
}

/// Where a credential may be used; both of its seals are bound to it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub project_id: Uuid,
    pub credential_id: Uuid,
    pub provider: &'a str,
    pub origin: &'a str,
}

/// One provider key, sealed twice.
#[derive(Debug)]
pub struct SealedTwice {
    pub encrypted: String,
    pub sealed: String,
}

#[derive(Clone, Copy, Debug, Error)]
pub enum VaultError {
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Random(#[from] NoRandom),
}

impl Vault {
    pub fn seal(&self, secret: &str, place: Place<'_>) -> Result<SealedTwice, VaultError> {
        let binding = self.binding(place);
        let encrypted = Sealed::seal(secret, binding, &self.at_rest, chance::bytes()?)?;
        let sealed = Sealed::seal(secret, binding, &self.edge, chance::bytes()?)?;
        Ok(SealedTwice { encrypted: encrypted.as_str().to_owned(), sealed: sealed.as_str().to_owned() })
    }

    /// Opens what was sealed for the database.
    pub fn open(&self, encrypted: &str, place: Place<'_>) -> Result<Zeroizing<String>, VaultError> {
        Ok(Sealed::from(encrypted.to_owned()).open(self.binding(place), &self.at_rest)?)
    }

    fn binding<'a>(&'a self, place: Place<'a>) -> Binding<'a> {
        let Place { project_id, credential_id, provider, origin } = place;
        Binding { deployment_id: &self.deployment_id, project_id, credential_id, provider, origin }
    }
}
