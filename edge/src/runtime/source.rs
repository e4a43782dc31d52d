//! Where the snapshot is read from on Workers: KV, and the Cache API.

use super::glue::copies as glue;
use super::isolate::Host;
use crate::load::Source;
use js_sys::Uint8Array;
use js_sys::futures::JsFuture;
use shared::id::UnixMs;
use shared::snapshot::Hash;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use worker::{Context, Delay, console_error};

/// The request that read something is served first, and its copy kept then.
const COPY_DELAY: Duration = Duration::from_millis(250);

/// What one request reads through.
#[derive(Clone)]
pub(super) struct Kv {
    pub(super) host: Rc<Host>,
    pub(super) context: Rc<Context>,
}

impl Source for Kv {
    fn now(&self) -> UnixMs {
        super::now()
    }

    async fn sleep(&self, ms: u64) {
        Delay::from(Duration::from_millis(ms)).await;
    }

    async fn read(&self, key: &str, cache_ttl: u64) -> Result<Option<Vec<u8>>, String> {
        self.host.kv.get(key).cache_ttl(cache_ttl).bytes().await.map_err(|error| error.to_string())
    }

    async fn hash(&self, content: &[u8]) -> Hash {
        let hash = JsFuture::from(glue::sha256(content)).await.ok().and_then(bytes);
        hash.and_then(|hash| hash.try_into().ok()).map_or_else(|| Hash::of(content), Hash)
    }

    async fn read_copy(&self, name: &str) -> Option<Vec<u8>> {
        // A cache that fails has none.
        JsFuture::from(glue::read_copy(&copy_url(name))).await.ok().and_then(bytes)
    }

    fn keep_copy(&self, name: &str, content: &[u8], max_age_secs: u64) {
        let (url, content) = (copy_url(name), Uint8Array::from(content));
        self.context.wait_until(async move {
            Delay::from(COPY_DELAY).await;
            let _ = JsFuture::from(glue::keep_copy(&url, &content, &max_age_secs.to_string())).await;
        });
    }

    fn in_background(&self, work: impl Future<Output = ()> + 'static) {
        self.context.wait_until(work);
    }

    fn report(&self, problem: &str) {
        console_error!("snapshot: {problem}");
    }
}

fn bytes(value: JsValue) -> Option<Vec<u8>> {
    Some(value.dyn_into::<Uint8Array>().ok()?.to_vec())
}

/// A key of the Cache API has the form of a URL. Nobody serves this one.
fn copy_url(name: &str) -> String {
    format!("https://snapshot.latchkey.internal/{name}")
}
