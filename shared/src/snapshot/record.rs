//! A token as the edge knows it: 64 bytes on the wire.
//!
//! ```text
//!  0  id            16   UUIDv7
//! 16  secret hash   16   first half of SHA-256 of the secret
//! 32  expires at     8   Unix ms, little-endian; 0 = never
//! 40  project        4   number of the project, little-endian
//! 44  profile        4   number of the interned policy and limits; 0 = none
//! 48  flags          4   bit 0: revoked
//! 52  reserved      12   zero
//! ```

use crate::id::{self, UnixMs};
use crate::token::{SecretHash, Token};
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub const RECORD_LEN: usize = 64;
/// Without what is reserved.
pub(super) const MEANING_LEN: usize = 52;
const REVOKED: u32 = 1;

/// The number of a project within its deployment.
pub type ProjectNumber = u32;
/// The number of a profile within its project.
pub type ProfileNumber = u32;

/// Without its reserved end, which says nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRecord([u8; MEANING_LEN]);

/// Why a token that is known is not valid. Said only to who has its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    WrongSecret,
    Revoked,
    Expired,
}

impl TokenRecord {
    pub fn new(
        id: Uuid,
        secret_hash: &SecretHash,
        expires_at: Option<UnixMs>,
        project: ProjectNumber,
        is_revoked: bool,
    ) -> Self {
        let mut bytes = [0; MEANING_LEN];
        bytes[..16].copy_from_slice(id.as_bytes());
        bytes[16..32].copy_from_slice(&secret_hash[..16]);
        // A token that expired at the epoch's first instant must not become eternal.
        let expires_at = expires_at.map_or(0, |at| at.max(1));
        bytes[32..40].copy_from_slice(&expires_at.to_le_bytes());
        bytes[40..44].copy_from_slice(&project.to_le_bytes());
        let flags = if is_revoked { REVOKED } else { 0 };
        bytes[48..52].copy_from_slice(&flags.to_le_bytes());
        Self(bytes)
    }

    #[must_use]
    pub fn with_profile(mut self, profile: Option<ProfileNumber>) -> Self {
        self.0[44..48].copy_from_slice(&profile.unwrap_or_default().to_le_bytes());
        self
    }

    pub(crate) fn from_bytes(bytes: &[u8; RECORD_LEN]) -> Self {
        let mut meaning = [0; MEANING_LEN];
        meaning.copy_from_slice(&bytes[..MEANING_LEN]);
        Self(meaning)
    }

    /// As it is on the wire.
    pub fn to_bytes(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..MEANING_LEN].copy_from_slice(&self.0);
        bytes
    }

    pub fn id(&self) -> Uuid {
        Uuid::from_bytes(self.array(0))
    }

    pub fn expires_at(&self) -> Option<UnixMs> {
        Some(u64::from_le_bytes(self.array(32))).filter(|&at| at != 0)
    }

    pub fn project(&self) -> ProjectNumber {
        u32::from_le_bytes(self.array(40))
    }

    pub fn profile(&self) -> Option<ProfileNumber> {
        Some(u32::from_le_bytes(self.array(44))).filter(|&number| number != 0)
    }

    pub fn is_revoked(&self) -> bool {
        u32::from_le_bytes(self.array(48)) & REVOKED != 0
    }

    /// Whether `token` is this record's: id and secret, the latter in constant time.
    pub fn is_of(&self, token: &Token) -> bool {
        let known: [u8; 16] = self.array(16);
        token.id() == self.id() && bool::from(token.secret_hash()[..16].ct_eq(&known))
    }

    /// Whether `token` is this record's, and valid at `now` in a project whose
    /// tokens are valid if issued at or after `valid_from`.
    pub fn check(&self, token: &Token, valid_from: UnixMs, now: UnixMs) -> Result<(), Invalid> {
        if !self.is_of(token) {
            return Err(Invalid::WrongSecret);
        }
        if self.is_revoked() || id::leading_ms(&self.array(0)) < valid_from {
            return Err(Invalid::Revoked);
        }
        if self.expires_at().is_some_and(|at| at <= now) { Err(Invalid::Expired) } else { Ok(()) }
    }

    /// Whether it is token `id`'s.
    #[inline]
    pub(super) fn has_id(&self, id: Uuid) -> bool {
        self.0[..16] == *id.as_bytes()
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.0[at..at + N]);
        array
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::new(id::new(1_000, &[1; 10]), [2; 20])
    }

    fn record(expires_at: Option<UnixMs>, is_revoked: bool) -> TokenRecord {
        TokenRecord::new(token().id(), &token().secret_hash(), expires_at, 7, is_revoked)
    }

    #[test]
    fn says_expired_or_revoked_only_to_who_has_the_secret() {
        let stranger = Token::new(token().id(), [3; 20]);
        for record in [record(Some(1), false), record(None, true), record(None, false)] {
            assert_eq!(record.check(&stranger, 0, 2_000), Err(Invalid::WrongSecret));
        }
    }

    #[test]
    fn expires_at_its_time_and_not_before() {
        let record = record(Some(5_000), false);
        assert_eq!(record.check(&token(), 0, 4_999), Ok(()));
        assert_eq!(record.check(&token(), 0, 5_000), Err(Invalid::Expired));
    }

    #[test]
    fn bulk_revocation_takes_what_was_issued_before() {
        let record = record(None, false);
        assert_eq!(record.check(&token(), 1_000, 2_000), Ok(()));
        assert_eq!(record.check(&token(), 1_001, 2_000), Err(Invalid::Revoked));
    }

    #[test]
    fn revoked_outranks_expired() {
        assert_eq!(record(Some(1), true).check(&token(), 0, 2_000), Err(Invalid::Revoked));
    }
}
