//! The edge alone: the example upstream, KV, and the built worker on workerd
//! between them, with snapshots made by hand.

pub mod call;
pub mod compiled;
pub mod dialect;
pub mod odd;
pub mod raw;
pub mod upstream;
pub mod world;

use crate::cache::CacheServer;
use crate::events::EventServer;
use crate::fixture;
use crate::keys;
use crate::kv::{KvServer, Side};
use crate::workerd::{Worker, Workerd};
use call::{Reply, send};
use reqwest::RequestBuilder;
use serde_json::json;
use shared::event::Event;
use shared::header;
use shared::provider::Timeouts;
use shared::signed_call::Call;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::config::{Providers, StreamUsage};
use shared::snapshot::manifest::Manifest;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use upstream::Upstream;
use world::Tokens;

/// A path that the fixture's providers allow and the example upstream answers.
pub const MODEL: &str = "/openai/v1/models/gpt-example";

/// Servers of one edge. All stop when dropped.
#[derive(Debug)]
pub struct EdgeStack {
    pub upstream: Upstream,
    pub kv: KvServer,
    /// Of the location; most tests have none, which must not matter.
    pub cache: Option<CacheServer>,
    /// The queue, and the control plane as far as it takes events.
    pub events: EventServer,
    pub workerd: Workerd,
    pub refresh_ms: u64,
    /// Of project 1, issued ten minutes ago: no longer a fresh one.
    pub token: String,
}

impl EdgeStack {
    /// KV is empty.
    pub async fn empty(refresh_ms: u64) -> Self {
        let upstream = Upstream::start().await;
        let kv = KvServer::start().await;
        let events = EventServer::start().await;
        let workerd = start_edge(&kv, &events, None, refresh_ms);
        Self {
            upstream,
            kv,
            cache: None,
            events,
            workerd,
            refresh_ms,
            token: fixture::text(&world::settled(1)),
        }
    }

    /// KV and the location's cache are empty.
    pub async fn with_cache(refresh_ms: u64) -> Self {
        let stack = Self::empty(refresh_ms).await;
        let cache = CacheServer::start().await;
        let workerd = start_edge(&stack.kv, &stack.events, Some(&cache), refresh_ms);
        Self { workerd, cache: Some(cache), ..stack }
    }

    /// [`Self::manifest`] is published, and the isolate has not read it yet.
    pub async fn start(refresh_ms: u64) -> Self {
        let stack = Self::empty(refresh_ms).await;
        stack.publish(&stack.manifest(1));
        stack
    }

    /// [`Self::manifest`] of version 1 is in the isolate's memory.
    pub async fn warm(refresh_ms: u64) -> Self {
        let stack = Self::start(refresh_ms).await;
        stack.ask(&stack.token).await.assert_ok();
        stack
    }

    /// Other times and another way to learn a stream's usage; else [`Self::start`].
    pub async fn timed(timeouts: Timeouts, stream_usage: StreamUsage) -> Self {
        let stack = Self::empty(60_000).await;
        let mut manifest = stack.manifest(1);
        manifest.delta.projects[0].stream_usage = stream_usage;
        for provider in &mut manifest.delta.providers.as_mut().unwrap().providers {
            provider.timeouts = timeouts;
        }
        stack.publish(&manifest);
        stack
    }

    /// One more isolate with the same KV at the same location, cold.
    pub fn another_isolate(&self) -> Workerd {
        start_edge(&self.kv, &self.events, self.cache.as_ref(), self.refresh_ms)
    }

    pub fn cache(&self) -> &CacheServer {
        self.cache.as_ref().expect("the stack has no cache")
    }

    pub fn providers(&self) -> Providers {
        fixture::providers(self.upstream.url())
    }

    /// Project 1 with [`Self::token`], all in the delta.
    pub fn manifest(&self, version: u64) -> Manifest {
        let providers = self.providers();
        let records = vec![fixture::record(&world::settled(1), 1, None, false)];
        fixture::manifest(version, records, vec![fixture::project(1, &providers)], providers)
    }

    pub fn publish(&self, manifest: &Manifest) {
        self.kv.set_raw(MANIFEST_KEY, &fixture::encode(manifest));
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        call::client().get(self.workerd.url(path))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        call::client().post(self.workerd.url(path))
    }

    /// A chat completion; `model` may carry the example upstream's options.
    pub fn chat(&self, model: &str, is_streamed: bool) -> RequestBuilder {
        self.post("/openai/v1/chat/completions").bearer_auth(&self.token).json(&chat_body(model, is_streamed))
    }

    /// The simplest request that goes upstream.
    pub async fn ask(&self, token: &str) -> Reply {
        ask(&self.workerd, token).await
    }

    /// How often KV was read for other things than the manifest.
    pub fn object_reads(&self) -> usize {
        self.kv.reads(Side::Binding, "") - self.kv.reads(Side::Binding, "manifest")
    }

    /// Asks until the isolate has read the manifest once more.
    pub async fn let_it_check(&self) {
        let before = self.kv.reads(Side::Binding, "manifest");
        until("the isolate checks the manifest", async || {
            self.ask(&self.token).await;
            self.kv.reads(Side::Binding, "manifest") > before
        })
        .await;
        // The answer of KV, read in the background, may still be under way.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The simplest request that goes upstream, to any isolate.
pub async fn ask(isolate: &Workerd, token: &str) -> Reply {
    send(call::client().get(isolate.url(MODEL)).bearer_auth(token)).await
}

/// What an isolate tells of itself to who signs the question: its memory, and
/// what it holds there.
pub async fn inside(isolate: &Workerd) -> serde_json::Value {
    const PATH: &str = "/healthz?verbose";
    let (time, nonce) = (fixture::now() / 1000, upstream::trace());
    let signature = Call { time, nonce: &nonce, method: "GET", path: PATH, body: b"" }
        .sign(keys::ingest_keys().primary());
    let question = call::client()
        .get(isolate.url(PATH))
        .header(header::CALL_TIME, time)
        .header(header::CALL_NONCE, nonce)
        .header(header::CALL_SIGNATURE, signature);
    send(question).await.json()["isolate"].clone()
}

fn start_edge(kv: &KvServer, events: &EventServer, cache: Option<&CacheServer>, refresh_ms: u64) -> Workerd {
    let mut variables = keys::edge_variables();
    variables.push(("SNAPSHOT_REFRESH_MS", refresh_ms.to_string()));
    variables.push(("CONTROL_PLANE_URL", events.control_plane_url()));
    let (cache, queue) = (cache.map(CacheServer::address), Some(events.queue_address()));
    Workerd::start(&Worker { cache, queue, ..Worker::edge(kv.binding_address(), variables) })
}

pub fn chat_body(model: &str, is_streamed: bool) -> serde_json::Value {
    json!({
        "model": model,
        "stream": is_streamed,
        "messages": [{"role": "user", "content": "Which key opens this door?"}],
    })
}

/// Waits for `condition`, at most ten seconds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One stack with the [`world`]'s snapshot, for all tests that change nothing in it.
#[derive(Debug)]
pub struct SharedStack {
    /// `None` only while it is dropped.
    stack: Option<EdgeStack>,
    pub tokens: Tokens,
    runtime: Option<Runtime>,
}

impl SharedStack {
    /// Has the upstream answer with these bytes, and then fall silent; and what
    /// tells the request's event. The client may get no headers, thus no id: it
    /// is told by its length.
    pub fn answered_with(&self, answer: &str) -> (RequestBuilder, impl Fn(&Event) -> bool + use<>) {
        static LENGTH: AtomicUsize = AtomicUsize::new(100_000);
        let length = LENGTH.fetch_add(1, Ordering::Relaxed);
        let filling = "x".repeat(length - answer.len() - "x-filling: \r\n".len());
        let answer = answer.replacen("\r\n", &format!("\r\nx-filling: {filling}\r\n"), 1);
        let request = self.post("/raw/v1/chat/completions").bearer_auth(&self.tokens.valid);
        let request = request.header("content-type", "application/json").body(answer);
        (request, move |event: &Event| event.bytes_in == length as u64)
    }
}

/// The stack of the tests that run at the moment; ends with the last of them.
pub fn shared() -> Arc<SharedStack> {
    static CURRENT: Mutex<Weak<SharedStack>> = Mutex::new(Weak::new());
    // A test that failed while it started must not fail the others.
    let mut current = CURRENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(stack) = current.upgrade() {
        return stack;
    }
    // Its servers outlive the runtime of the test that happens to start them.
    let started = std::thread::spawn(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stack, tokens) = runtime.block_on(world::start());
        Arc::new(SharedStack { stack: Some(stack), tokens, runtime: Some(runtime) })
    })
    .join()
    .unwrap();
    *current = Arc::downgrade(&started);
    started
}

impl Deref for SharedStack {
    type Target = EdgeStack;

    fn deref(&self) -> &EdgeStack {
        self.stack.as_ref().unwrap()
    }
}

impl Drop for SharedStack {
    fn drop(&mut self) {
        drop(self.stack.take());
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
