//! Secrets sealed with AES-256-GCM, bound to where they may be used.
//!
//! Text form: `v1.<key id, hex>.<base64 of nonce, 12 bytes ‖ ciphertext ‖ tag>`.

use crate::key::{KeyId, KeyRing};
use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

const NONCE_LEN: usize = 12;

/// Ciphertext with the id of the key that sealed it. Safe to store and publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// What a provider key is bound to: moved to another project, provider,
/// deployment or origin, it does not open.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    pub deployment_id: &'a str,
    pub project_id: Uuid,
    pub credential_id: Uuid,
    pub provider: &'a str,
    /// Scheme, host and port of the upstream.
    pub origin: &'a str,
}

impl Binding<'_> {
    /// Each part preceded by its length, so that no two bindings read the same.
    fn associated_data(&self) -> Vec<u8> {
        let parts: [&[u8]; 5] = [
            self.deployment_id.as_bytes(),
            self.project_id.as_bytes(),
            self.credential_id.as_bytes(),
            self.provider.as_bytes(),
            self.origin.as_bytes(),
        ];
        let mut data = b"latchkey credential v1".to_vec();
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_le_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    #[error("the sealed secret is malformed")]
    Malformed,
    #[error("the sealed secret needs key {0:?}, which is not configured")]
    UnknownKey(KeyId),
    #[error("the sealed secret does not open: it was altered or belongs elsewhere")]
    DoesNotOpen,
    #[error("the secret could not be sealed")]
    Seal,
}

impl Sealed {
    /// Seals `secret` with the primary key. `nonce` must be random.
    pub fn seal(
        secret: &str,
        binding: Binding<'_>,
        keys: &KeyRing,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Self, SealError> {
        let key = keys.primary();
        let payload = Payload { msg: secret.as_bytes(), aad: &binding.associated_data() };
        let ciphertext = Aes256Gcm::new(key.bytes().into())
            .encrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SealError::Seal)?;
        let body = STANDARD.encode([&nonce[..], &ciphertext].concat());
        Ok(Self(format!("v1.{}.{body}", key.id())))
    }

    pub fn open(&self, binding: Binding<'_>, keys: &KeyRing) -> Result<Zeroizing<String>, SealError> {
        let (key_id, body) = self.parts().ok_or(SealError::Malformed)?;
        let key = keys.find(key_id).ok_or(SealError::UnknownKey(key_id))?;
        let (nonce, ciphertext) = body.split_at_checked(NONCE_LEN).ok_or(SealError::Malformed)?;
        let nonce = Nonce::try_from(nonce).map_err(|_| SealError::Malformed)?;
        let payload = Payload { msg: ciphertext, aad: &binding.associated_data() };
        let plain = Aes256Gcm::new(key.bytes().into())
            .decrypt(&nonce, payload)
            .map(Zeroizing::new)
            .map_err(|_| SealError::DoesNotOpen)?;
        String::from_utf8(plain.to_vec()).map(Zeroizing::new).map_err(|_| SealError::DoesNotOpen)
    }

    /// Which key opens it.
    pub fn key_id(&self) -> Option<KeyId> {
        self.parts().map(|(id, _)| id)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> Option<(KeyId, Vec<u8>)> {
        let (key_id, body) = self.0.strip_prefix("v1.")?.split_once('.')?;
        let id = u64::from_str_radix(key_id, 16).ok().filter(|_| key_id.len() == 16)?;
        Some((KeyId(id.to_be_bytes()), STANDARD.decode(body).ok()?))
    }
}

/// Text from storage or the wire; whether it opens is found out by opening.
impl From<String> for Sealed {
    fn from(text: String) -> Self {
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn binding<'a>() -> Binding<'a> {
        Binding {
            deployment_id: "default",
            project_id: Uuid::from_bytes([1; 16]),
            credential_id: Uuid::from_bytes([2; 16]),
            provider: "openai",
            origin: "https://api.openai.com",
        }
    }

    fn ring(byte: u8) -> KeyRing {
        KeyRing::from(Key::new([byte; 32]))
    }

    /// Frozen: sealed credentials are in databases and in KV.
    #[test]
    fn golden() {
        let sealed = Sealed::seal("sk-upstream", binding(), &ring(1), [3; 12]).unwrap();
        crate::golden::assert("sealed.txt", sealed.as_str().as_bytes());
        assert_eq!(*sealed.open(binding(), &ring(1)).unwrap(), "sk-upstream");
    }

    #[test]
    fn opens_only_where_it_belongs() {
        let sealed = Sealed::seal("sk-upstream", binding(), &ring(1), [3; 12]).unwrap();
        let elsewhere = [
            Binding { deployment_id: "other", ..binding() },
            Binding { project_id: Uuid::nil(), ..binding() },
            Binding { credential_id: Uuid::nil(), ..binding() },
            Binding { provider: "groq", ..binding() },
            Binding { origin: "https://evil.example", ..binding() },
        ];
        for other in elsewhere {
            assert_eq!(sealed.open(other, &ring(1)).unwrap_err(), SealError::DoesNotOpen);
        }
        assert!(matches!(sealed.open(binding(), &ring(2)), Err(SealError::UnknownKey(_))));
    }

    #[test]
    fn damage_is_an_error() {
        let sealed = Sealed::seal("sk-upstream", binding(), &ring(1), [3; 12]).unwrap();
        for cut in 0..sealed.as_str().len() {
            assert!(Sealed(sealed.as_str()[..cut].to_owned()).open(binding(), &ring(1)).is_err());
        }
    }
}
