//! How events go to the control plane: signed, in bodies below its cap, and
//! what follows from its answer.

use shared::header;
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::signed_call::Call;

/// At `CONTROL_PLANE_URL`.
pub const PATH: &str = "/edge/events";
/// JSON lines.
pub const CONTENT_TYPE: &str = "application/x-ndjson";
/// The queue's name where messages end that could not be delivered for hours;
/// wrangler.toml names it so.
const DEAD_LETTERS: &str = "-dead";

/// What becomes of the messages of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are in the control plane's log.
    Stored,
    /// The control plane's clock is at this time, in seconds: sign by that one, once.
    SignAnew(u64),
    /// It does not take this body. Smaller ones may do: then one bad message
    /// does not hold up the others.
    Split,
    /// Not now.
    Later,
}

/// `status` is 0 where there was no answer, `time` the answer's `x-latchkey-time`.
pub fn judge(status: u16, time: Option<&str>) -> Verdict {
    match status {
        200..=299 => Verdict::Stored,
        401 => time.and_then(|time| time.parse().ok()).map_or(Verdict::Later, Verdict::SignAnew),
        400 | 413 | 415 | 422 => Verdict::Split,
        _ => Verdict::Later,
    }
}

/// Seconds until a message that was delivered `attempts` times is to be tried
/// again. With the hundred retries that wrangler.toml allows, a message is
/// tried for eight hours, and as a dead letter for as long as it is retained.
pub fn retry_delay(queue: &str, attempts: u32) -> u32 {
    let (first, longest) = if queue.ends_with(DEAD_LETTERS) { (60, 3_600) } else { (2, 300) };
    let doubled = attempts.saturating_sub(1).min(12);
    (first << doubled).min(longest)
}

/// The headers of a body with this SHA-256, as lines. `now` is in milliseconds;
/// `offset` is how many seconds the control plane's clock is ahead.
pub fn headers(keys: &KeyRing, nonce: &str, body_hash: &[u8; 32], now: UnixMs, offset: i64) -> String {
    let time = (now / 1000).saturating_add_signed(offset);
    let call = Call { time, nonce, method: "POST", path: PATH, body: b"" };
    let signature = call.sign_hashed(keys.primary(), body_hash);
    format!(
        "content-type\n{CONTENT_TYPE}\n{}\n{time}\n{}\n{nonce}\n{}\n{signature}\n",
        header::CALL_TIME,
        header::CALL_NONCE,
        header::CALL_SIGNATURE
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, ingest_keys};
    use shared::snapshot::Hash;

    #[test]
    fn only_what_is_stored_is_done_with() {
        assert_eq!(judge(200, None), Verdict::Stored);
        assert_eq!(judge(204, Some("7")), Verdict::Stored);
        assert_eq!(judge(401, Some("1795444000")), Verdict::SignAnew(1_795_444_000));
        for (status, time) in
            [(401, None), (401, Some("soon")), (0, None), (302, None), (404, None), (500, None)]
        {
            assert_eq!(judge(status, time), Verdict::Later, "{status}");
        }
        for status in [408, 429, 503] {
            assert_eq!(judge(status, Some("7")), Verdict::Later, "{status}");
        }
        for status in [400, 413, 415, 422] {
            assert_eq!(judge(status, None), Verdict::Split, "{status}");
        }
    }

    #[test]
    fn delays_grow_to_a_bound() {
        let delays = |queue| [0, 1, 2, 3, 100, u32::MAX].map(|attempts| retry_delay(queue, attempts));
        assert_eq!(delays("latchkey-events"), [2, 2, 4, 8, 300, 300]);
        assert_eq!(delays("latchkey-events-dead"), [60, 60, 120, 240, 3_600, 3_600]);
    }

    #[test]
    fn the_control_plane_can_verify_by_its_own_clock() {
        let (keys, body) = (ingest_keys(), b"{}\n");
        for (offset, time) in [(0, NOW / 1000), (-900, NOW / 1000 - 900)] {
            let lines = headers(&keys, "n1", &Hash::of(body).0, NOW, offset);
            let parts: Vec<&str> = lines.split('\n').collect();
            assert_eq!(parts[2..5], [header::CALL_TIME, &time.to_string(), header::CALL_NONCE]);
            let call = Call { time, nonce: "n1", method: "POST", path: PATH, body };
            assert_eq!(call.verify(parts[7], &keys, time), Ok(()));
        }
    }
}
