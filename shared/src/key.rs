//! Symmetric keys and their rotation.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit};
use sha2::{Digest, Sha256};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Names a key without telling it: the first 8 bytes of SHA-256 over a label
/// and the key (for Ed25519, the public key).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    pub fn of(key: &[u8]) -> Self {
        let digest = Sha256::new_with_prefix(b"latchkey key id\0").chain_update(key).finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// 32 secret bytes. Neither printable nor serializable; wiped when dropped.
#[derive(Clone)]
pub struct Key {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

impl Key {
    pub fn new(bytes: [u8; 32]) -> Self {
        Self { id: KeyId::of(&bytes), bytes: Zeroizing::new(bytes) }
    }

    /// Base64 of exactly 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        decode_32(text).map(|bytes| Self::new(*bytes))
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(crate) fn hmac_sha256(&self) -> Hmac<Sha256> {
        // RFC 2104: a key shorter than the block is padded with zeros.
        let mut block = Zeroizing::new([0; 64]);
        block[..32].copy_from_slice(&*self.bytes);
        Hmac::new(&(*block).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Keys in use at once, for rotation: the first makes, all are accepted.
#[derive(Clone, Debug)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// Base64 keys separated by commas; at least one.
    pub fn from_base64_list(text: &str) -> Result<Self, KeyError> {
        text.split(',').map(|part| Key::from_base64(part.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// The key that signs or seals.
    pub fn primary(&self) -> &Key {
        // `from_base64_list` and `From<Key>`, the only constructors, leave at least one.
        &self.0[0]
    }

    pub fn find(&self, id: KeyId) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

impl From<Key> for KeyRing {
    fn from(key: Key) -> Self {
        Self(vec![key])
    }
}

/// The text of a key never appears in its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("is not base64")]
    NotBase64,
    #[error("must be 32 bytes in base64, but has {0} bytes")]
    WrongLength(usize),
}

pub(crate) fn decode_32(text: &str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeyError::NotBase64)?);
    let array = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeyError::WrongLength(bytes.len()))?;
    Ok(Zeroizing::new(array))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONES: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn first_of_a_list_is_primary_and_all_are_found() {
        let list = format!("{ONES}, {}", STANDARD.encode([2; 32]));
        let ring = KeyRing::from_base64_list(&list).unwrap();
        assert_eq!(ring.primary().bytes(), &[1; 32]);
        assert_eq!(ring.find(KeyId::of(&[2; 32])).unwrap().bytes(), &[2; 32]);
        assert!(ring.find(KeyId::of(&[3; 32])).is_none());
    }

    #[test]
    fn bad_keys_are_refused() {
        assert_eq!(Key::from_base64("?").unwrap_err(), KeyError::NotBase64);
        assert_eq!(Key::from_base64("AQE=").unwrap_err(), KeyError::WrongLength(2));
        assert!(KeyRing::from_base64_list("").is_err());
        assert!(KeyRing::from_base64_list(&format!("{ONES},")).is_err());
    }

    #[test]
    fn debug_does_not_tell_the_key() {
        let shown = format!("{:?}", Key::from_base64(ONES).unwrap());
        assert!(shown.starts_with("Key(") && !shown.contains("1, 1") && !shown.contains("AQEB"));
    }
}
