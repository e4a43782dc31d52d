//! What an isolate keeps between requests.

use crate::pipeline::Settings;
use crate::snapshot::fresh::FreshTokens;
use crate::snapshot::holder::Holder;
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::snapshot::signed::SnapshotVerifier;
use shared::token::TagKeys;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use worker::Env;
use worker::kv::KvStore;

const DEFAULT_REFRESH_MS: UnixMs = 10_000;

pub(super) struct Isolate {
    pub(super) settings: Settings,
    pub(super) verifier: SnapshotVerifier,
    pub(super) refresh_ms: UnixMs,
    pub(super) kv: KvStore,
    pub(super) holder: RefCell<Holder>,
    pub(super) fresh: FreshTokens,
}

thread_local! {
    static ISOLATE: OnceCell<Rc<Isolate>> = const { OnceCell::new() };
}

/// The isolate's state, made by its first request. The error names what is
/// missing or wrong in the worker's configuration.
pub(super) fn get(env: &Env) -> Result<Rc<Isolate>, String> {
    ISOLATE.with(|cell| {
        if let Some(isolate) = cell.get() {
            return Ok(isolate.clone());
        }
        let isolate = Rc::new(Isolate::new(env)?);
        Ok(cell.get_or_init(|| isolate).clone())
    })
}

impl Isolate {
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
        Ok(Self {
            settings: Settings {
                deployment_id: var("DEPLOYMENT_ID").unwrap_or_else(|_| "default".to_owned()),
                tags: TagKeys::from(&secret("TOKEN_TAG_KEY")?),
                credential_keys: secret("EDGE_CREDENTIAL_KEY")?,
            },
            verifier: SnapshotVerifier::from_base64_list(&verify_key)
                .map_err(|error| format!("SNAPSHOT_VERIFY_KEY {error}"))?,
            refresh_ms,
            kv: env.kv("SNAPSHOT").map_err(|_| "the KV binding SNAPSHOT is missing")?,
            holder: RefCell::default(),
            fresh: FreshTokens::default(),
        })
    }
}
