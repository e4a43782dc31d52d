//! Seals provider keys, once for the database, once for the edge; and sinks' secrets for the database.

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedTwice {
    pub encrypted: String,
    pub sealed: String,
}

/// Which of the two seals a provider key was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    AtRest,
    /// The one for the database does not open, so its key is lost or it was damaged.
    Edge,
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
        let encrypted = self.seal_at_rest(secret, place)?;
        let sealed = Sealed::seal(secret, self.binding(place), &self.edge, chance::bytes()?)?;
        Ok(SealedTwice { encrypted, sealed: sealed.as_str().to_owned() })
    }

    /// For the database alone.
    pub fn seal_at_rest(&self, secret: &str, place: Place<'_>) -> Result<String, VaultError> {
        let encrypted = Sealed::seal(secret, self.binding(place), &self.at_rest, chance::bytes()?)?;
        Ok(encrypted.as_str().to_owned())
    }

    /// Opens what was sealed for the database.
    pub fn open(&self, encrypted: &str, place: Place<'_>) -> Result<Zeroizing<String>, VaultError> {
        Ok(Sealed::from(encrypted.to_owned()).open(self.binding(place), &self.at_rest)?)
    }

    /// Whether the first key of each list made both seals.
    pub fn is_current(&self, seals: &SealedTwice) -> bool {
        is_by_first(&seals.encrypted, &self.at_rest) && is_by_first(&seals.sealed, &self.edge)
    }

    /// Whether the first key made the seal for the database.
    pub fn is_current_at_rest(&self, encrypted: &str) -> bool {
        is_by_first(encrypted, &self.at_rest)
    }

    /// What was sealed for the database, by the first key.
    pub fn renew_at_rest(&self, encrypted: &str, place: Place<'_>) -> Result<String, VaultError> {
        self.seal_at_rest(&self.open(encrypted, place)?, place)
    }

    /// Both seals by the first key of each list; one that is already, and that
    /// opens, stays as it is. One seal that opens is enough.
    pub fn renew(&self, seals: &SealedTwice, place: Place<'_>) -> Result<(SealedTwice, Source), VaultError> {
        let binding = self.binding(place);
        let (secret, source) = match self.open(&seals.encrypted, place) {
            Ok(secret) => (secret, Source::AtRest),
            Err(error) => match Sealed::from(seals.sealed.clone()).open(binding, &self.edge) {
                Ok(secret) => (secret, Source::Edge),
                // Of the two, the seal for the database is the one that is meant to be opened here.
                Err(_) => return Err(error),
            },
        };
        let mut renewed = self.seal(&secret, place)?;
        if source == Source::AtRest && is_by_first(&seals.encrypted, &self.at_rest) {
            renewed.encrypted.clone_from(&seals.encrypted);
        }
        if is_by_first(&seals.sealed, &self.edge) {
            renewed.sealed.clone_from(&seals.sealed);
        }
        Ok((renewed, source))
    }

    fn binding<'a>(&'a self, place: Place<'a>) -> Binding<'a> {
        let Place { project_id, credential_id, provider, origin } = place;
        Binding { deployment_id: &self.deployment_id, project_id, credential_id, provider, origin }
    }
}

fn is_by_first(text: &str, keys: &KeyRing) -> bool {
    Sealed::from(text.to_owned()).key_id() == Some(keys.primary().id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    const PLACE: Place<'_> = Place {
        project_id: Uuid::from_bytes([1; 16]),
        credential_id: Uuid::from_bytes([2; 16]),
        provider: "openai",
        origin: "https://api.openai.com",
    };

    fn vault(at_rest: &[u8], edge: &[u8]) -> Vault {
        let ring = |bytes: &[u8]| {
            let keys: Vec<String> = bytes.iter().map(|byte| STANDARD.encode([*byte; 32])).collect();
            KeyRing::from_base64_list(&keys.join(",")).unwrap()
        };
        Vault { deployment_id: "default".into(), at_rest: ring(at_rest), edge: ring(edge) }
    }

    #[test]
    fn only_the_seal_of_another_key_is_renewed() {
        let old = vault(&[1], &[2]).seal("sk-provider", PLACE).unwrap();
        assert!(vault(&[1], &[2]).is_current(&old));
        for (at_rest, edge) in [(vec![1], vec![4, 2]), (vec![3, 1], vec![2]), (vec![3, 1], vec![4, 2])] {
            let vault = vault(&at_rest, &edge);
            assert!(!vault.is_current(&old));
            let (new, source) = vault.renew(&old, PLACE).unwrap();
            assert_eq!(source, Source::AtRest);
            assert!(vault.is_current(&new));
            assert_eq!(new.encrypted == old.encrypted, at_rest[0] == 1);
            assert_eq!(new.sealed == old.sealed, edge[0] == 2);
            assert_eq!(*vault.open(&new.encrypted, PLACE).unwrap(), "sk-provider");
        }
    }

    #[test]
    fn one_seal_that_opens_is_enough() {
        let old = vault(&[1], &[2]).seal("sk-provider", PLACE).unwrap();
        let lost = vault(&[3], &[2]);
        let (new, source) = lost.renew(&old, PLACE).unwrap();
        assert_eq!((source, &new.sealed), (Source::Edge, &old.sealed));
        assert_eq!(*lost.open(&new.encrypted, PLACE).unwrap(), "sk-provider");
        // Its key is there, but it was damaged.
        let mut damaged = old.clone();
        damaged.encrypted.truncate(old.encrypted.len() - 4);
        let (new, source) = vault(&[1], &[4, 2]).renew(&damaged, PLACE).unwrap();
        assert_eq!(source, Source::Edge);
        assert_eq!(*vault(&[1], &[4]).open(&new.encrypted, PLACE).unwrap(), "sk-provider");

        let both_lost = vault(&[3], &[4]).renew(&old, PLACE);
        assert!(matches!(both_lost, Err(VaultError::Seal(SealError::UnknownKey(_)))));
    }
}
