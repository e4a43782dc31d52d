//! Loads an immutable object: from KV, or from a copy where KV does not have
//! it, or not in time.

use super::copies;
use super::{COPY_AFTER, Source, read};
use crate::isolate::Isolate;
use crate::snapshot::Snapshot;
use crate::snapshot::objects::{Object, Objects};
use futures_util::future::{Either, join, select};
use std::pin::pin;

/// What never changes, a location may keep for a day. Seconds.
const CACHE_TTL: u64 = 24 * 60 * 60;

/// `object`, and at the same time the providers, which every decision comes to need.
pub(super) async fn obtain_with_providers<S: Source>(
    isolate: &Isolate,
    source: &S,
    snapshot: &Snapshot,
    object: Object,
) -> bool {
    let obtain = |object| obtain(isolate, source, snapshot, object);
    match snapshot.providers() {
        Err(other) if other != object => {
            let (is_there, are_there) = join(obtain(object), obtain(other)).await;
            is_there && are_there
        }
        Ok(_) | Err(_) => obtain(object).await,
    }
}

/// Loads an object that a look-up asked for. False if it cannot be had, and
/// nothing stands in for it.
async fn obtain<S: Source>(isolate: &Isolate, source: &S, snapshot: &Snapshot, object: Object) -> bool {
    let Err(problem) = load(isolate, source, snapshot, object).await else { return true };
    source.report(&format!("{} of version {}: {problem}", object.key(), snapshot.version()));
    snapshot.give_up(object)
}

async fn load<S: Source>(
    isolate: &Isolate,
    source: &S,
    snapshot: &Snapshot,
    object: Object,
) -> Result<(), String> {
    let is_there = || snapshot.objects().holds(object);
    let _load = isolate.under_way.begin(object.hash(), source, is_there).await;
    if is_there() {
        return Ok(());
    }
    let key = object.key();
    // KV that could not tell the manifest is not waited for.
    let patience = if isolate.holder.borrow().is_failing() { 0 } else { COPY_AFTER };
    let take = |read| take(isolate, source, snapshot.objects(), object, read);
    let mut reading = pin!(read(isolate, source, &key, CACHE_TTL));
    let early = match select(&mut reading, pin!(source.sleep(patience))).await {
        Either::Left((read, _)) => Some(take(read).await),
        Either::Right(_) => None,
    };
    if early == Some(Ok(())) || copies::take_object(isolate, source, snapshot.objects(), object).await {
        return Ok(());
    }
    match early {
        Some(outcome) => outcome,
        None => take(reading.await).await,
    }
}

/// Takes what KV answered.
async fn take<S: Source>(
    isolate: &Isolate,
    source: &S,
    objects: &Objects,
    object: Object,
    read: Result<Option<Vec<u8>>, String>,
) -> Result<(), String> {
    if objects.holds(object) {
        // Another request has loaded it meanwhile.
        return Ok(());
    }
    let content = read?.ok_or_else(|| "it is missing".to_owned())?;
    let hash = source.hash(&content).await;
    let verified = object.verify_hashed(content, hash).map_err(|error| error.to_string())?;
    copies::keep_object(isolate, source, &verified);
    objects.insert(verified).map_err(|error| error.to_string())
}
