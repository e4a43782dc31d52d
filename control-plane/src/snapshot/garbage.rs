//! Objects that no base names are deleted from KV a day after that was first
//! seen: until then an edge may go by a manifest that names them.

use super::base::Objects;
use super::error::PublishError;
use super::kv::KvClient;
use super::lease::Right;
use crate::store::snapshot as rows;
use crate::store::{Store, Tx, lease, unreferenced};
use shared::id::UnixMs;
use std::collections::HashSet;

/// The prefixes of all immutable objects.
const OBJECT_PREFIXES: [&str; 4] = ["index/", "shard/", "project/", "providers/"];
const KEEP_UNREFERENCED_MS: UnixMs = 24 * 60 * 60 * 1000;
/// Keys in one call.
const DELETE_KEYS: usize = 1_000;

/// The keys of all objects that are in KV.
pub(super) async fn objects_in_kv(kv: &KvClient) -> Result<HashSet<String>, PublishError> {
    let mut present = HashSet::new();
    for prefix in OBJECT_PREFIXES {
        present.extend(kv.keys(prefix).await?);
    }
    Ok(present)
}

/// Forgets that these were unreferenced: should they be again before a sweep
/// sees them named, their day begins anew.
pub(super) async fn named(tx: &mut Tx, objects: &Objects) -> Result<(), PublishError> {
    let keys: HashSet<String> = objects.keys().collect();
    for (key, _) in unreferenced::all(tx).await? {
        if keys.contains(&key) {
            unreferenced::remove(tx, &key).await?;
        }
    }
    Ok(())
}

/// Notes what is unreferenced, and deletes what has been for a day; returns
/// whether KV has everything that is referenced. Not while a compaction runs:
/// what that has uploaded is on no record yet.
pub(super) async fn sweep(
    store: &Store,
    kv: &KvClient,
    right: &Right,
    now: UnixMs,
) -> Result<bool, PublishError> {
    let mut unnamed = objects_in_kv(kv).await?;
    let mut named = HashSet::new();
    let mut tx = store.read().await?;
    for objects in rows::all_objects(&mut tx).await? {
        named.extend(Objects::from_text(&objects)?.keys());
    }
    drop(tx);
    let is_whole = named.is_subset(&unnamed);
    unnamed.retain(|key| !named.contains(key));

    let mut tx = store.write().await?;
    if !lease::guard(&mut tx, right.holder()).await? {
        return Err(PublishError::Deposed);
    }
    let known = unreferenced::all(&mut tx).await?;
    for (key, _) in known.iter().filter(|(key, _)| !unnamed.contains(key)) {
        unreferenced::remove(&mut tx, key).await?;
    }
    let due = |since: UnixMs| since.saturating_add(KEEP_UNREFERENCED_MS) <= now;
    let known_keys: HashSet<&str> = known.iter().map(|(key, _)| key.as_str()).collect();
    for key in unnamed.iter().filter(|key| !known_keys.contains(key.as_str())) {
        unreferenced::insert(&mut tx, key, now).await?;
    }
    tx.commit().await?;

    let old: Vec<&str> = known
        .iter()
        .filter(|(key, since)| due(*since) && unnamed.contains(key))
        .map(|(key, _)| key.as_str())
        .collect();
    for keys in old.chunks(DELETE_KEYS) {
        kv.delete_bulk(keys, right.remaining()?).await?;
    }
    if !old.is_empty() {
        tracing::info!(objects = old.len(), "objects that no snapshot names were deleted from KV");
    }
    Ok(is_whole)
}
