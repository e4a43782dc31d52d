//! Withering tokens.
//!
//! `sk-lk-` + `Base58Check`( version 1 ‖ id, 16 bytes, `UUIDv7` ‖ secret, 20 bytes ‖ tag, 4 bytes ).
//! The tag is the start of HMAC-SHA256 over what precedes it: it refuses a
//! forged token before any look-up, and is a flood filter, not the security.
//! That is the secret, of which only the SHA-256 is stored.

use crate::id::{self, UnixMs};
use crate::key::{Key, KeyId, KeyRing};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use thiserror::Error;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

/// What every token starts with, so that secret scanners find a leaked one.
pub const PREFIX: &str = "sk-lk-";

const VERSION: u8 = 1;
const ID: std::ops::Range<usize> = 1..17;
const SECRET: std::ops::Range<usize> = 17..37;
const TAG: std::ops::Range<usize> = 37..41;
const CHECKSUM: std::ops::Range<usize> = 41..45;
const RAW_LEN: usize = CHECKSUM.end;
/// 45 bytes are at most 62 Base58 digits.
const MAX_TEXT_LEN: usize = PREFIX.len() + 62;

pub type Secret = [u8; 20];

/// SHA-256 of a token's secret, as the database keeps it.
pub type SecretHash = [u8; 32];

/// A token whose form, checksum and tag are right. Whether it is known, and
/// still valid, is for the snapshot to say.
pub struct Token {
    id: Uuid,
    secret: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    #[error("a Latchkey token starts with {PREFIX}")]
    Prefix,
    #[error("the token is incomplete or has characters that no token has")]
    Encoding,
    #[error("the token is mistyped: its checksum does not match")]
    Checksum,
    #[error("the token has a version that is not supported")]
    Version,
    #[error("the token was not issued by this deployment")]
    Tag,
}

impl Token {
    /// A token for `id`, which must be a `UUIDv7`; `secret` must be random.
    pub fn new(id: Uuid, secret: Secret) -> Self {
        Self { id, secret }
    }

    /// Reads a token and verifies its checksum and its tag.
    pub fn parse(text: &str, tags: &TagKeys) -> Result<Self, TokenError> {
        let raw = decode(text)?;
        if tags.verify(&raw[..TAG.start], &raw[TAG]) {
            Ok(Self::from_raw(&raw))
        } else {
            Err(TokenError::Tag)
        }
    }

    /// Reads a token without a key: the tag is not verified. For inspection only.
    pub fn inspect(text: &str) -> Result<Self, TokenError> {
        decode(text).map(|raw| Self::from_raw(&raw))
    }

    fn from_raw(raw: &[u8; RAW_LEN]) -> Self {
        let mut id = [0; 16];
        let mut secret = [0; 20];
        id.copy_from_slice(&raw[ID]);
        secret.copy_from_slice(&raw[SECRET]);
        Self { id: Uuid::from_bytes(id), secret }
    }

    /// The public part.
    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn issued_at(&self) -> Option<UnixMs> {
        id::issued_at(self.id)
    }

    pub fn secret_hash(&self) -> SecretHash {
        Sha256::digest(self.secret).into()
    }

    /// The whole token in plain text, signed with the first of `tags`.
    /// Show it once, to who asked for it.
    pub fn reveal(&self, tags: &TagKeys) -> Zeroizing<String> {
        let mut raw = Zeroizing::new([0; RAW_LEN]);
        raw[0] = VERSION;
        raw[ID].copy_from_slice(self.id.as_bytes());
        raw[SECRET].copy_from_slice(&self.secret);
        let tag = tags.make(&raw[..TAG.start]);
        raw[TAG].copy_from_slice(&tag);
        let checksum = checksum(&raw[..CHECKSUM.start]);
        raw[CHECKSUM].copy_from_slice(&checksum);
        let digits = Zeroizing::new(bs58::encode(&raw[..]).into_string());
        Zeroizing::new(format!("{PREFIX}{}", *digits))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.id)
    }
}

/// `TOKEN_TAG_KEY` made ready: the key schedule is computed once, not per token.
#[derive(Clone)]
pub struct TagKeys {
    macs: Vec<Hmac<Sha256>>,
    primary: KeyId,
}

impl From<&KeyRing> for TagKeys {
    fn from(ring: &KeyRing) -> Self {
        Self { macs: ring.iter().map(Key::hmac_sha256).collect(), primary: ring.primary().id() }
    }
}

impl TagKeys {
    /// Names the key that tags new tokens.
    pub fn primary_id(&self) -> KeyId {
        self.primary
    }

    fn make(&self, message: &[u8]) -> [u8; 4] {
        tag(&self.macs[0], message)
    }

    fn verify(&self, message: &[u8], claimed: &[u8]) -> bool {
        self.macs.iter().any(|mac| tag(mac, message).ct_eq(claimed).into())
    }
}

impl fmt::Debug for TagKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TagKeys({})", self.macs.len())
    }
}

fn tag(mac: &Hmac<Sha256>, message: &[u8]) -> [u8; 4] {
    let full = mac.clone().chain_update(message).finalize().into_bytes();
    [full[0], full[1], full[2], full[3]]
}

/// The checksum of `Base58Check`: the first 4 bytes of the double SHA-256.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    let twice = Sha256::digest(Sha256::digest(bytes));
    [twice[0], twice[1], twice[2], twice[3]]
}

fn decode(text: &str) -> Result<Zeroizing<[u8; RAW_LEN]>, TokenError> {
    let digits = text.strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
    if text.len() > MAX_TEXT_LEN {
        return Err(TokenError::Encoding);
    }
    let mut raw = Zeroizing::new([0; RAW_LEN]);
    let length = bs58::decode(digits).onto(&mut raw[..]).map_err(|_| TokenError::Encoding)?;
    if length != RAW_LEN {
        return Err(TokenError::Encoding);
    }
    if checksum(&raw[..CHECKSUM.start]) != raw[CHECKSUM] {
        return Err(TokenError::Checksum);
    }
    if raw[0] != VERSION {
        return Err(TokenError::Version);
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(byte: u8) -> TagKeys {
        TagKeys::from(&KeyRing::from(Key::new([byte; 32])))
    }

    fn sample() -> Token {
        Token::new(id::new(1_795_444_000_000, &[7; 10]), [9; 20])
    }

    /// Frozen: tokens are in the hands of clients.
    #[test]
    fn golden() {
        let text = sample().reveal(&keys(1));
        crate::golden::assert("token.txt", text.as_bytes());
        let back = Token::parse(&text, &keys(1)).unwrap();
        assert_eq!(back.id(), sample().id());
        assert_eq!(back.issued_at(), Some(1_795_444_000_000));
        assert_eq!(back.secret_hash(), sample().secret_hash());
    }

    #[test]
    fn a_tag_of_any_listed_key_is_accepted() {
        let ring = KeyRing::from_base64_list(&format!("{},{}", b64(2), b64(1))).unwrap();
        assert!(Token::parse(&sample().reveal(&keys(1)), &TagKeys::from(&ring)).is_ok());
        let forged = Token::parse(&sample().reveal(&keys(3)), &TagKeys::from(&ring));
        assert_eq!(forged.unwrap_err(), TokenError::Tag);
    }

    fn b64(byte: u8) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD};
        STANDARD.encode([byte; 32])
    }

    #[test]
    fn every_changed_or_missing_character_is_refused() {
        let text = sample().reveal(&keys(1)).to_string();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'2' { b'3' } else { b'2' };
            assert!(Token::parse(&String::from_utf8(changed).unwrap(), &keys(1)).is_err());
            assert!(Token::parse(&text[..at], &keys(1)).is_err());
        }
        assert!(Token::parse(&format!("{text}2"), &keys(1)).is_err());
        assert!(Token::parse(&format!("{PREFIX}1{}", &text[PREFIX.len()..]), &keys(1)).is_err());
    }

    proptest! {
        #[test]
        fn round_trips(ms in 0..=id::MAX_UNIX_MS, random: [u8; 10], secret: [u8; 20]) {
            let token = Token::new(id::new(ms, &random), secret);
            let back = Token::parse(&token.reveal(&keys(1)), &keys(1)).unwrap();
            prop_assert_eq!(back.id(), token.id());
            prop_assert_eq!(back.secret, token.secret);
        }

        #[test]
        fn hostile_text_is_an_error_not_a_panic(text in ".*", digits in "[1-9A-HJ-NP-Za-km-z]{0,80}") {
            prop_assert!(Token::parse(&text, &keys(1)).is_err());
            let digits = format!("{PREFIX}{digits}");
            prop_assert!(Token::parse(&digits, &keys(1)).is_err());
        }
    }
}
