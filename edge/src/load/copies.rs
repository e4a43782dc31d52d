//! Copies of what was read from KV, in the Cache API of the location: a second
//! source for isolates that are cold or lack an object while KV fails. They are
//! believed no more than KV is: the manifest for its signature, deployment,
//! version and age, an object for its hash. Records of fresh tokens are never
//! copied: only KV can tell whether there is one.

use super::Source;
use crate::isolate::Isolate;
use crate::snapshot::holder::MAX_COLD_SNAPSHOT_AGE_MS;
use crate::snapshot::objects::{Object, Objects, Verified};
use crate::snapshot::shelf::Shelf;
use futures_util::future::{Either, select};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use shared::id::UnixMs;
use shared::snapshot::{Hash, MANIFEST_KEY};
use std::cell::{Cell, RefCell};
use std::pin::pin;

/// Milliseconds until a cache that does not answer has none.
const DEADLINE: u64 = 1_000;
/// A copy of the manifest is not replaced more often. Milliseconds.
const MANIFEST_INTERVAL: UnixMs = 10_000;
/// A copy of an object that is read again is renewed after this. Milliseconds.
const OBJECT_INTERVAL: UnixMs = 12 * 60 * 60 * 1000;

/// Seconds. An older manifest, no cold isolate takes.
const MANIFEST_MAX_AGE: u64 = MAX_COLD_SNAPSHOT_AGE_MS / 1000;
/// Longer than isolates live: one that holds an object does not renew its copy.
const OBJECT_MAX_AGE: u64 = 7 * 24 * 60 * 60;

/// About 8,000 names: all objects of a snapshot of ten million tokens.
const KEPT_BUDGET: usize = 1024 * 1024;

/// Which copies this isolate has kept, so as not to keep them again and again.
#[derive(Debug)]
pub struct Copies {
    /// Version, and when.
    manifest: Cell<Option<(u64, UnixMs)>>,
    objects: RefCell<Shelf<Hash, UnixMs>>,
}

impl Default for Copies {
    fn default() -> Self {
        Self { manifest: Cell::default(), objects: RefCell::new(Shelf::new(KEPT_BUDGET)) }
    }
}

/// Keeps the manifest in force, if the copy is of an older one.
pub(super) fn keep_manifest<S: Source>(isolate: &Isolate, source: &S, now: UnixMs) {
    let holder = isolate.holder.borrow();
    let Some((version, raw)) = holder.current_raw() else { return };
    let is_due = isolate
        .copies
        .manifest
        .get()
        .is_none_or(|(kept, at)| kept != version && now.saturating_sub(at) >= MANIFEST_INTERVAL);
    if is_due {
        isolate.copies.manifest.set(Some((version, now)));
        keep(isolate, source, MANIFEST_KEY, raw, MANIFEST_MAX_AGE);
    }
}

/// Takes the copy of the manifest, if it is better than what is in force. KV
/// is asked again as after any check that failed.
pub(super) async fn take_manifest<S: Source>(isolate: &Isolate, source: &S) {
    let Some(raw) = read(isolate, source, MANIFEST_KEY).await else { return };
    let deployment_id = &isolate.settings.deployment_id;
    let taken = isolate.holder.borrow_mut().copy_read(&raw, &isolate.verifier, deployment_id, source.now());
    match taken {
        Ok(true) => isolate.count(|traffic| traffic.copies_used += 1),
        Ok(false) => {}
        Err(refused) => source.report(&format!("the copy of the manifest was not taken: {refused}")),
    }
}

pub(super) fn keep_object<S: Source>(isolate: &Isolate, source: &S, object: &Verified) {
    let (now, mut kept) = (source.now(), isolate.copies.objects.borrow_mut());
    let hash = object.object().hash();
    let is_recent = |at: &UnixMs| now.saturating_sub(*at) < OBJECT_INTERVAL;
    if kept.get_if(&hash, is_recent).is_none() {
        kept.put(hash, now, 0);
        keep(isolate, source, &object.object().key(), object.content(), OBJECT_MAX_AGE);
    }
}

/// Loads `object` from its copy; false if there is no good one.
pub(super) async fn take_object<S: Source>(
    isolate: &Isolate,
    source: &S,
    objects: &Objects,
    object: Object,
) -> bool {
    let Some(content) = read(isolate, source, &object.key()).await else { return false };
    let hash = source.hash(&content).await;
    match object.verify_hashed(content, hash).and_then(|verified| objects.insert(verified)) {
        Ok(()) => {
            isolate.count(|traffic| traffic.copies_used += 1);
            true
        }
        Err(error) => {
            source.report(&format!("the copy of {} was not taken: {error}", object.key()));
            false
        }
    }
}

fn keep<S: Source>(isolate: &Isolate, source: &S, key: &str, content: &[u8], max_age_secs: u64) {
    source.keep_copy(&name(isolate, key), content, max_age_secs);
    isolate.count(|traffic| traffic.copies_kept += 1);
}

async fn read<S: Source>(isolate: &Isolate, source: &S, key: &str) -> Option<Vec<u8>> {
    let name = name(isolate, key);
    match select(pin!(source.read_copy(&name)), pin!(source.sleep(DEADLINE))).await {
        Either::Left((copy, _)) => copy,
        Either::Right(_) => None,
    }
}

fn name(isolate: &Isolate, key: &str) -> String {
    format!("{}/{key}", utf8_percent_encode(&isolate.settings.deployment_id, NON_ALPHANUMERIC))
}
