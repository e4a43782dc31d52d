//! `UUIDv7` (RFC 9562, 5.7): ids that sort by the time they were made.

use uuid::{Builder, Uuid, Variant};

/// Unix time in milliseconds.
pub type UnixMs = u64;

/// The largest time a `UUIDv7` can carry: 48 bits of milliseconds, the year 10889.
pub const MAX_UNIX_MS: UnixMs = (1 << 48) - 1;

/// An id made at `now`; `random` makes it unique within the millisecond.
pub fn new(now: UnixMs, random: &[u8; 10]) -> Uuid {
    Builder::from_unix_timestamp_millis(now.min(MAX_UNIX_MS), random).into_uuid()
}

/// When the id was made, or `None` if it is not a `UUIDv7`.
pub fn issued_at(id: Uuid) -> Option<UnixMs> {
    let is_v7 = id.get_version_num() == 7 && id.get_variant() == Variant::RFC4122;
    is_v7.then(|| leading_ms(id.as_bytes()))
}

/// The first 48 bits of an id, read as the time of a `UUIDv7`.
pub(crate) fn leading_ms(id: &[u8; 16]) -> UnixMs {
    let mut ms = [0; 8];
    ms[2..].copy_from_slice(&id[..6]);
    u64::from_be_bytes(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_its_time() {
        for ms in [0, 1, 1_795_444_000_123, MAX_UNIX_MS] {
            assert_eq!(issued_at(new(ms, &[0xff; 10])), Some(ms));
        }
    }

    #[test]
    fn sorts_by_time() {
        assert!(new(1, &[0xff; 10]) < new(2, &[0; 10]));
    }

    #[test]
    fn other_versions_have_no_issue_time() {
        assert_eq!(issued_at(Uuid::nil()), None);
        assert_eq!(issued_at(Uuid::from_bytes([0x44; 16])), None);
    }
}
