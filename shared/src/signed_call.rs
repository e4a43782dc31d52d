//! Signed calls between the edge and the control plane.
//!
//! `v1;<key id>;<hex HMAC-SHA256(key, time \n nonce \n METHOD \n path \n hex sha256(body))>`
//! with the time in Unix seconds. A call is good for five minutes either way;
//! the receiver remembers the nonces of that window.

use crate::key::{Key, KeyId, KeyRing};
use hmac::Mac;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use subtle::ConstantTimeEq;
use thiserror::Error;

/// How far apart the two clocks may be, in seconds.
pub const WINDOW_SECS: u64 = 300;

/// Longest nonce accepted.
pub const MAX_NONCE_LEN: usize = 64;

/// What is signed. `path` includes the query, as it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub time: u64,
    pub nonce: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    #[error("the signature is malformed")]
    Malformed,
    #[error("the signature's key is not known")]
    UnknownKey,
    #[error("the signature does not match")]
    Mismatch,
    /// The answer should tell the receiver's time, so that the sender can sign anew.
    #[error("the call's time is more than {WINDOW_SECS} seconds off")]
    Skew,
}

impl Call<'_> {
    /// The value of the signature header.
    pub fn sign(&self, key: &Key) -> String {
        self.sign_hashed(key, &Sha256::digest(self.body).into())
    }

    /// The same where the body's SHA-256 is known already; `body` is not looked at.
    pub fn sign_hashed(&self, key: &Key, body_hash: &[u8; 32]) -> String {
        format!("v1;{};{}", key.id(), hex(&self.mac(key, body_hash)))
    }

    /// Whether `signature` is this call's, at the receiver's time `now` in
    /// seconds. That the nonce is new is for the caller to check, afterwards.
    pub fn verify(&self, signature: &str, keys: &KeyRing, now: u64) -> Result<(), CallError> {
        let (key_id, claimed) = parse(signature).ok_or(CallError::Malformed)?;
        if self.nonce.is_empty() || self.nonce.len() > MAX_NONCE_LEN {
            return Err(CallError::Malformed);
        }
        let key = keys.iter().find(|key| key.id().to_string() == key_id).ok_or(CallError::UnknownKey)?;
        if !bool::from(
            hex(&self.mac(key, &Sha256::digest(self.body).into())).as_bytes().ct_eq(claimed.as_bytes()),
        ) {
            return Err(CallError::Mismatch);
        }
        if self.time.abs_diff(now) > WINDOW_SECS { Err(CallError::Skew) } else { Ok(()) }
    }

    fn mac(&self, key: &Key, body_hash: &[u8; 32]) -> [u8; 32] {
        let Self { time, nonce, method, path, body: _ } = self;
        let body_hash = hex(body_hash);
        key.hmac_sha256()
            .chain_update(format!("{time}\n{nonce}\n{method}\n{path}\n{body_hash}"))
            .finalize()
            .into_bytes()
            .into()
    }
}

/// Which key made `signature`, if it is well formed.
pub fn key_id(signature: &str) -> Option<&str> {
    parse(signature).map(|(id, _)| id)
}

fn parse(signature: &str) -> Option<(&str, &str)> {
    let (key_id, mac) = signature.strip_prefix("v1;")?.split_once(';')?;
    (key_id.len() == size_of::<KeyId>() * 2 && mac.len() == 64).then_some((key_id, mac))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> =
        Call { time: 1_795_444_000, nonce: "n1", method: "POST", path: "/edge/events", body: b"{}" };

    fn ring(byte: u8) -> KeyRing {
        KeyRing::from(Key::new([byte; 32]))
    }

    /// Frozen: edges and control planes of different ages talk to each other.
    #[test]
    fn golden() {
        let signature = CALL.sign(ring(1).primary());
        crate::golden::assert("signed_call.txt", signature.as_bytes());
        assert_eq!(CALL.verify(&signature, &ring(1), CALL.time + WINDOW_SECS), Ok(()));
        let hash = Sha256::digest(CALL.body).into();
        assert_eq!(Call { body: b"", ..CALL }.sign_hashed(ring(1).primary(), &hash), signature);
    }

    #[test]
    fn any_change_is_a_mismatch() {
        let signature = CALL.sign(ring(1).primary());
        let changed = [
            Call { time: CALL.time + 1, ..CALL },
            Call { nonce: "n2", ..CALL },
            Call { method: "PUT", ..CALL },
            Call { path: "/edge/events?x", ..CALL },
            Call { body: b"{ }", ..CALL },
        ];
        for call in changed {
            assert_eq!(call.verify(&signature, &ring(1), CALL.time), Err(CallError::Mismatch));
        }
        assert_eq!(CALL.verify(&signature, &ring(2), CALL.time), Err(CallError::UnknownKey));
    }

    #[test]
    fn time_off_by_more_than_the_window_is_skew() {
        let signature = CALL.sign(ring(1).primary());
        for now in [CALL.time + WINDOW_SECS + 1, CALL.time - WINDOW_SECS - 1, 0, u64::MAX] {
            assert_eq!(CALL.verify(&signature, &ring(1), now), Err(CallError::Skew));
        }
    }

    #[test]
    fn malformed_signatures_are_refused() {
        for bad in ["", "v1;;", "v2;0;0", "v1;0000000000000000;zz"] {
            assert_eq!(CALL.verify(bad, &ring(1), CALL.time), Err(CallError::Malformed));
        }
    }
}
