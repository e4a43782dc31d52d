//! The isolate's state and its bindings, made by its first request.

use super::exchange::{self, Exchanges};
use super::{now, random};
use crate::capture::Room;
use crate::isolate::Isolate;
use crate::pipeline::Settings;
use js_sys::Reflect;
use shared::id::{self, UnixMs};
use shared::key::KeyRing;
use shared::snapshot::signed::SnapshotVerifier;
use shared::token::TagKeys;
use std::cell::OnceCell;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use worker::Env;
use worker::kv::KvStore;

const DEFAULT_REFRESH_MS: UnixMs = 10_000;

pub(super) struct Host {
    pub(super) isolate: Rc<Isolate>,
    pub(super) kv: KvStore,
    /// Of events. Where there is none, they are posted.
    pub(super) queue: Option<JsValue>,
    /// The URL of the control plane, for events only.
    pub(super) control_plane: Option<String>,
    pub(super) exchanges: Exchanges,
    /// For bodies that are captured.
    pub(super) room: Room,
}

thread_local! {
    static HOST: OnceCell<Rc<Host>> = const { OnceCell::new() };
}

/// The error names what is missing or wrong in the worker's configuration.
pub(super) fn get(env: &Env) -> Result<Rc<Host>, String> {
    HOST.with(|cell| {
        if let Some(host) = cell.get() {
            return Ok(host.clone());
        }
        let host = Rc::new(Host::new(env)?);
        exchange::install();
        Ok(cell.get_or_init(|| host).clone())
    })
}

/// What [`get`] made.
pub(super) fn current() -> Option<Rc<Host>> {
    HOST.with(|cell| cell.get().cloned())
}

impl Host {
    fn new(env: &Env) -> Result<Self, String> {
        let var = |name: &str| {
            env.var(name).map(|value| value.to_string()).map_err(|_| format!("{name} is not set"))
        };
        let secret = |name: &str| {
            let text = env.secret(name).map_err(|_| format!("{name} is not set"))?.to_string();
            KeyRing::from_base64_list(&text).map_err(|error| format!("{name} {error}"))
        };
        let verify_key = var("SNAPSHOT_VERIFY_KEY")?;
        let refresh_ms = match var("SNAPSHOT_REFRESH_MS") {
            Ok(text) => text.parse().map_err(|_| "SNAPSHOT_REFRESH_MS is not a number of milliseconds")?,
            Err(_) => DEFAULT_REFRESH_MS,
        };
        let settings = Settings {
            deployment_id: var("DEPLOYMENT_ID").unwrap_or_else(|_| "default".to_owned()),
            tags: TagKeys::from(&secret("TOKEN_TAG_KEY")?),
            credential_keys: secret("EDGE_CREDENTIAL_KEY")?,
            ingest_keys: secret("EDGE_INGEST_KEY")?,
        };
        let verifier = SnapshotVerifier::from_base64_list(&verify_key)
            .map_err(|error| format!("SNAPSHOT_VERIFY_KEY {error}"))?;
        let id = id::new(now(), &random::take());
        let control_plane = var("CONTROL_PLANE_URL").ok();
        Ok(Self {
            isolate: Rc::new(Isolate::new(settings, verifier, refresh_ms, id)),
            kv: env.kv("SNAPSHOT").map_err(|_| "the KV binding SNAPSHOT is missing")?,
            queue: Reflect::get(env, &"EVENTS".into()).ok().filter(JsValue::is_object),
            control_plane: control_plane.map(|url| url.trim_end_matches('/').to_owned()),
            exchanges: Exchanges::default(),
            room: Room::default(),
        })
    }

    /// Whether there is anywhere to send them.
    pub(super) fn sends_events(&self) -> bool {
        self.queue.is_some() || self.control_plane.is_some()
    }
}
