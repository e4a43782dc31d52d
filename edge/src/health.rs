//! `/healthz`: status, version and age of the snapshot. Whoever signs the call
//! with `EDGE_INGEST_KEY` and asks for `?verbose` is also told what this
//! isolate holds in memory, and how often it had to look elsewhere.

use crate::head::Head;
use crate::isolate::Isolate;
use serde_json::{Value, json};
use shared::header;
use shared::id::UnixMs;
use shared::signed_call::{Call, WINDOW_SECS};
use std::cell::RefCell;

const PATH: &str = "/healthz";
const VERBOSE: &str = "/healthz?verbose";

/// More calls than that in one window, nobody needs.
const MAX_NONCES: usize = 1_000;

/// Those of signed calls, with their times: each is good once.
#[derive(Debug, Default)]
pub struct Nonces(RefCell<Vec<(String, u64)>>);

pub fn is_asked(head: &Head<'_>) -> bool {
    head.path_and_query == PATH || head.path_and_query == VERBOSE
}

/// Status and body. `memory` is what the isolate takes, in bytes.
pub fn answer(isolate: &Isolate, head: &Head<'_>, now: UnixMs, memory: usize) -> (u16, Value) {
    let snapshot = isolate.holder.borrow().current();
    let (status, mut body) = match snapshot {
        Some(snapshot) => (
            200,
            json!({
                "status": "ok",
                "snapshot": {"version": snapshot.version(), "age_seconds": snapshot.age_secs(now)},
            }),
        ),
        None => (503, json!({"status": "no_snapshot", "snapshot": null})),
    };
    if head.path_and_query == VERBOSE && is_signed(isolate, head, now / 1000) {
        let balance = isolate.balance.borrow();
        let providers: Vec<_> = balance.standings.all().collect();
        body["isolate"] = json!({"memory_bytes": memory, "stats": isolate.stats(), "providers": providers});
    }
    (status, body)
}

fn is_signed(isolate: &Isolate, head: &Head<'_>, now: u64) -> bool {
    let call = || {
        let time = head.header(header::CALL_TIME)?.parse().ok()?;
        let nonce = head.header(header::CALL_NONCE)?;
        let call = Call { time, nonce, method: head.method, path: head.path_and_query, body: b"" };
        let signature = head.header(header::CALL_SIGNATURE)?;
        call.verify(signature, &isolate.settings.ingest_keys, now).ok()?;
        Some(call)
    };
    // Nonces of others are not remembered: they could fill the list.
    call().is_some_and(|call| isolate.nonces.is_new(call.nonce, call.time, now))
}

impl Nonces {
    fn is_new(&self, nonce: &str, time: u64, now: u64) -> bool {
        let mut known = self.0.borrow_mut();
        known.retain(|(_, time)| time.saturating_add(WINDOW_SECS) >= now);
        if known.len() >= MAX_NONCES || known.iter().any(|(earlier, _)| earlier == nonce) {
            return false;
        }
        known.push((nonce.to_owned(), time));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, ingest_keys, isolate};
    use shared::key::{Key, KeyRing};

    const SECONDS: u64 = NOW / 1000;

    fn signed(keys: &KeyRing, time: u64, nonce: &str, path: &str) -> String {
        let signature = Call { time, nonce, method: "GET", path, body: b"" }.sign(keys.primary());
        format!(
            "GET\nhttps://edge{VERBOSE}\n{}\n{time}\n{}\n{nonce}\n{}\n{signature}\n",
            header::CALL_TIME,
            header::CALL_NONCE,
            header::CALL_SIGNATURE
        )
    }

    fn tells(isolate: &Isolate, text: &str, now: UnixMs) -> bool {
        let (status, body) = answer(isolate, &Head::parse(text).unwrap(), now, 7);
        assert_eq!((status, &body["status"]), (503, &json!("no_snapshot")));
        let is_told = body.get("isolate").is_some();
        assert_eq!(is_told, body["isolate"]["memory_bytes"] == 7);
        is_told
    }

    #[test]
    fn tells_more_only_to_who_signs_and_only_once() {
        let isolate = isolate();
        let keys = ingest_keys();
        assert!(!tells(&isolate, &format!("GET\nhttps://edge{VERBOSE}\n"), NOW));
        let call = signed(&keys, SECONDS, "one", VERBOSE);
        assert!(!tells(&isolate, &call.replace("?verbose", ""), NOW));
        assert!(tells(&isolate, &call, NOW));
        assert!(!tells(&isolate, &call, NOW));
        assert!(tells(&isolate, &signed(&keys, SECONDS, "two", VERBOSE), NOW));
        assert!(!tells(&isolate, &signed(&keys, SECONDS, "three", PATH), NOW));
        assert!(!tells(&isolate, &signed(&keys, SECONDS - WINDOW_SECS - 1, "four", VERBOSE), NOW));
        let stranger = KeyRing::from(Key::new([9; 32]));
        assert!(!tells(&isolate, &signed(&stranger, SECONDS, "five", VERBOSE), NOW));
    }

    #[test]
    fn nonces_are_bounded_and_forgotten_after_their_window() {
        let nonces = Nonces::default();
        for number in 0..MAX_NONCES {
            assert!(nonces.is_new(&number.to_string(), SECONDS, SECONDS));
        }
        assert!(!nonces.is_new("one more", SECONDS, SECONDS));
        assert!(!nonces.is_new("0", SECONDS, SECONDS + WINDOW_SECS));
        assert!(nonces.is_new("one more", SECONDS, SECONDS + WINDOW_SECS + 1));
    }
}
