//! Reads the snapshot from KV. A request never waits for what another one
//! has begun: the runtime would cancel it. Each reads what it misses itself.

use super::isolate::Isolate;
use crate::snapshot::{Object, Snapshot};
use futures_util::future::{Either, select};
use shared::snapshot::fresh::Fresh;
use shared::snapshot::{MANIFEST_KEY, fresh_key};
use std::pin::pin;
use std::time::Duration;
use uuid::Uuid;
use worker::kv::KvStore;
use worker::{Date, Delay, console_error, console_log};

/// How long a location may keep what it read: KV's least for what changes,
/// long for what never does. Seconds.
const MANIFEST_CACHE_TTL: u64 = 30;
const OBJECT_CACHE_TTL: u64 = 24 * 60 * 60;

/// After this, KV has failed.
const DEADLINE: Duration = Duration::from_secs(3);

/// Reads the manifest and takes it, if it is good and new.
pub(super) async fn check_manifest(isolate: &Isolate) {
    isolate.holder.borrow_mut().check_began(Date::now().as_millis());
    let read = read(&isolate.kv, MANIFEST_KEY, MANIFEST_CACHE_TTL).await;
    let now = Date::now().as_millis();
    let mut holder = isolate.holder.borrow_mut();
    let problem = match read {
        Ok(Some(raw)) => holder
            .check_read(&raw, &isolate.verifier, &isolate.settings.deployment_id, now)
            .err()
            .map(|refused| refused.to_string()),
        Ok(None) if holder.current().is_none() => {
            holder.check_failed(now);
            // Not a fault: nothing was published yet.
            console_log!("snapshot: there is no manifest in KV yet");
            None
        }
        Ok(None) => {
            holder.check_failed(now);
            Some("it is missing".to_owned())
        }
        Err(error) => {
            holder.check_failed(now);
            Some(error)
        }
    };
    if let Some(problem) = problem {
        console_error!("snapshot: the manifest in KV was not taken: {problem}");
    }
}

/// Loads an object into `snapshot`; says whether it is there now.
pub(super) async fn load(isolate: &Isolate, snapshot: &Snapshot, object: Object) -> bool {
    let outcome = match read(&isolate.kv, &object.key(), OBJECT_CACHE_TTL).await {
        Ok(Some(content)) => snapshot.insert(object, content).map_err(|error| error.to_string()),
        Ok(None) => Err("it is missing".to_owned()),
        Err(error) => Err(error),
    };
    if let Err(problem) = &outcome {
        console_error!("snapshot: {} of version {}: {problem}", object.key(), snapshot.version());
    }
    outcome.is_ok()
}

/// Asks for a token created a moment ago; `Err` if KV could not tell.
pub(super) async fn ask_fresh(isolate: &Isolate, token_id: Uuid) -> Result<bool, ()> {
    let object = match read(&isolate.kv, &fresh_key(token_id), MANIFEST_CACHE_TTL).await {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(false),
        Err(error) => {
            console_error!("snapshot: fresh token {token_id}: {error}");
            return Err(());
        }
    };
    match Fresh::decode(&object, &isolate.verifier) {
        Ok(fresh)
            if fresh.deployment_id == isolate.settings.deployment_id && fresh.record.id() == token_id =>
        {
            isolate.fresh.remember(fresh);
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(error) => {
            console_error!("snapshot: fresh token {token_id}: {error}");
            Ok(false)
        }
    }
}

async fn read(kv: &KvStore, key: &str, cache_ttl: u64) -> Result<Option<Vec<u8>>, String> {
    let reading = kv.get(key).cache_ttl(cache_ttl).bytes();
    match select(pin!(reading), pin!(Delay::from(DEADLINE))).await {
        Either::Left((read, _)) => read.map_err(|error| error.to_string()),
        Either::Right(_) => Err(format!("KV did not answer in {} s", DEADLINE.as_secs())),
    }
}
