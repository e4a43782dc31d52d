//! Bytes with an Ed25519 signature (RFC 8032) and the id of its key.
//!
//! magic, 4 bytes ‖ key id, 8 ‖ signature, 64 ‖ payload. Signed are magic, key
//! id and payload, so that an object of one kind cannot pass for another.

use crate::key::{KeyError, KeyId, decode_32};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use std::fmt;
use thiserror::Error;

const MAGIC_LEN: usize = 4;
const SIGNED_FROM: usize = MAGIC_LEN + size_of::<KeyId>();
const PAYLOAD: usize = SIGNED_FROM + Signature::BYTE_SIZE;

/// Which object a signature is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Manifest,
    Fresh,
}

impl Kind {
    fn magic(self) -> [u8; MAGIC_LEN] {
        match self {
            Self::Manifest => *b"LKM1",
            Self::Fresh => *b"LKF1",
        }
    }
}

/// `SNAPSHOT_SIGNING_KEY`: held by the control plane alone.
pub struct SnapshotSigner {
    id: KeyId,
    key: SigningKey,
}

impl SnapshotSigner {
    pub fn new(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        Self { id: KeyId::of(key.verifying_key().as_bytes()), key }
    }

    /// What the edge is given as `SNAPSHOT_VERIFY_KEY`.
    pub fn verifying_key(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    pub fn sign(&self, kind: Kind, payload: &[u8]) -> Vec<u8> {
        let signature = self.key.sign(&message(kind, self.id, payload));
        [&kind.magic()[..], &self.id.0, &signature.to_bytes(), payload].concat()
    }
}

impl fmt::Debug for SnapshotSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotSigner({})", self.id)
    }
}

/// `SNAPSHOT_VERIFY_KEY`: any of these keys may have signed.
#[derive(Clone, Debug)]
pub struct SnapshotVerifier(Vec<(KeyId, VerifyingKey)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SignedError {
    #[error("not a signed object of this kind and version")]
    Malformed,
    #[error("signed with key {0:?}, which is not accepted")]
    UnknownKey(KeyId),
    #[error("the signature does not match")]
    BadSignature,
}

impl SnapshotVerifier {
    /// Base64 public keys separated by commas; at least one.
    pub fn from_base64_list(text: &str) -> Result<Self, KeyError> {
        let key = |part: &str| {
            let bytes = decode_32(part.trim())?;
            let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotBase64)?;
            Ok((KeyId::of(&*bytes), key))
        };
        text.split(',').map(key).collect::<Result<_, _>>().map(Self)
    }

    /// The payload of `object`, once its signature is verified.
    pub fn open<'a>(&self, kind: Kind, object: &'a [u8]) -> Result<&'a [u8], SignedError> {
        let id = key_id(kind, object).ok_or(SignedError::Malformed)?;
        let signature =
            Signature::from_slice(&object[SIGNED_FROM..PAYLOAD]).map_err(|_| SignedError::Malformed)?;
        let payload = &object[PAYLOAD..];
        let (_, key) = self.0.iter().find(|(known, _)| *known == id).ok_or(SignedError::UnknownKey(id))?;
        key.verify(&message(kind, id, payload), &signature).map_err(|_| SignedError::BadSignature)?;
        Ok(payload)
    }
}

impl From<&SnapshotSigner> for SnapshotVerifier {
    fn from(signer: &SnapshotSigner) -> Self {
        Self(vec![(signer.id, signer.key.verifying_key())])
    }
}

impl<'a> FromIterator<&'a SnapshotSigner> for SnapshotVerifier {
    fn from_iter<I: IntoIterator<Item = &'a SnapshotSigner>>(signers: I) -> Self {
        Self(signers.into_iter().map(|signer| (signer.id, signer.key.verifying_key())).collect())
    }
}

/// Which key `object` says it was signed with, if it has the form of a signed
/// object of this kind. Nothing is verified.
pub fn key_id(kind: Kind, object: &[u8]) -> Option<KeyId> {
    let head = object.get(..PAYLOAD).filter(|head| head[..MAGIC_LEN] == kind.magic())?;
    let mut id = KeyId([0; 8]);
    id.0.copy_from_slice(&head[MAGIC_LEN..SIGNED_FROM]);
    Some(id)
}

fn message(kind: Kind, id: KeyId, payload: &[u8]) -> Vec<u8> {
    [&kind.magic()[..], &id.0, payload].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_signed_and_nothing_else() {
        let signer = SnapshotSigner::new(&[1; 32]);
        let verifier = SnapshotVerifier::from(&signer);
        let object = signer.sign(Kind::Manifest, b"payload");
        assert_eq!(verifier.open(Kind::Manifest, &object), Ok(&b"payload"[..]));
        assert_eq!(key_id(Kind::Manifest, &object), Some(signer.id));
        assert_eq!((key_id(Kind::Fresh, &object), key_id(Kind::Manifest, &object[..70])), (None, None));
        assert_eq!(verifier.open(Kind::Fresh, &object), Err(SignedError::Malformed));

        let stranger = SnapshotVerifier::from(&SnapshotSigner::new(&[2; 32]));
        assert!(matches!(stranger.open(Kind::Manifest, &object), Err(SignedError::UnknownKey(_))));

        for at in 0..object.len() {
            let mut damaged = object.clone();
            damaged[at] ^= 1;
            assert!(verifier.open(Kind::Manifest, &damaged).is_err(), "byte {at}");
            assert!(verifier.open(Kind::Manifest, &object[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn several_keys_are_accepted() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let [old, new] = [SnapshotSigner::new(&[1; 32]), SnapshotSigner::new(&[2; 32])];
        let list =
            format!("{},{}", STANDARD.encode(new.verifying_key()), STANDARD.encode(old.verifying_key()));
        let verifier = SnapshotVerifier::from_base64_list(&list).unwrap();
        for signer in [old, new] {
            assert!(verifier.open(Kind::Fresh, &signer.sign(Kind::Fresh, b"")).is_ok());
        }
    }
}
