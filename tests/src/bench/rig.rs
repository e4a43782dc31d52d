//! The edge and the floor, side by side, before one upstream.

use super::load::Target;
use crate::crowd::{self, Crowd, by_hand};
use crate::events::EventServer;
use crate::fixture::{self, UPSTREAM_KEY};
use crate::keys;
use crate::kv::KvServer;
use crate::process::root;
use crate::workerd::{Worker, Workerd};
use serde_json::Value;
use shared::provider::Provider;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::config::{Project, StreamUsage};
use shared::snapshot::manifest::Manifest;
use std::sync::Arc;

/// The core of what is measured; load and upstream run on the others.
pub const MEASURED_CORE: usize = 0;

#[derive(Debug)]
pub struct Rig {
    pub upstream: String,
    pub kv: KvServer,
    events: EventServer,
    tokens: Arc<[String]>,
}

impl Rig {
    pub async fn start() -> Self {
        Self::with(StreamUsage::default()).await
    }

    /// One project, which wants this of its streams.
    pub async fn with(stream_usage: StreamUsage) -> Self {
        Self::shaped(|manifest| manifest.delta.projects[0].stream_usage = stream_usage).await
    }

    /// One project and token, with what `shape` gives them.
    pub async fn shaped(shape: impl FnOnce(&mut Manifest)) -> Self {
        let upstream = fixture::upstream().await;
        let kv = KvServer::start().await;
        let token = fixture::token(fixture::now(), 1);
        let providers = fixture::providers(&upstream);
        let records = vec![fixture::record(&token, 1, None, false)];
        let projects = vec![fixture::project(1, &providers)];
        let mut manifest = fixture::manifest(fixture::now(), records, projects, providers);
        shape(&mut manifest);
        kv.set_raw(MANIFEST_KEY, &fixture::encode(&manifest));
        Self { upstream, kv, events: EventServer::forgetful().await, tokens: [fixture::text(&token)].into() }
    }

    /// All of a crowd's tokens are used.
    pub async fn of_crowd(crowd: Crowd) -> Self {
        let all: Vec<u64> = (0..crowd.tokens).collect();
        Self::of_some(&crowd, &all).await
    }

    /// Those of these numbers are used.
    pub async fn of_some(crowd: &Crowd, live: &[u64]) -> Self {
        let upstream = fixture::upstream().await;
        let kv = KvServer::start().await;
        by_hand::publish(&kv, crowd, &upstream, |_| {});
        let events = EventServer::forgetful().await;
        Self { upstream, kv, events, tokens: live.iter().map(|number| crowd.text(*number)).collect() }
    }

    /// One token of a crowd's is used; its project is as `shape` has it.
    pub async fn of_one(crowd: &Crowd, token: u64, shape: impl Fn(&mut Project, &Provider)) -> Self {
        let upstream = fixture::upstream().await;
        let kv = KvServer::start().await;
        let (number, provider) = (crowd.project_of(token), crowd::provider(&upstream));
        by_hand::publish(&kv, crowd, &upstream, |project| {
            if project.number == number {
                shape(project, &provider);
            }
        });
        Self { upstream, kv, events: EventServer::forgetful().await, tokens: [crowd.text(token)].into() }
    }

    /// As it is deployed.
    pub fn edge(&self) -> Workerd {
        self.worker(true)
    }

    /// With nowhere to send events to, so that it makes and observes none.
    pub fn edge_without_events(&self) -> Workerd {
        self.worker(false)
    }

    fn worker(&self, has_events: bool) -> Workerd {
        let mut variables = keys::edge_variables();
        variables.push(("SNAPSHOT_REFRESH_MS", "10000".into()));
        Workerd::start(&Worker {
            core: Some(MEASURED_CORE),
            queue: has_events.then(|| self.events.queue_address()),
            ..Worker::edge(self.kv.binding_address(), variables)
        })
    }

    /// In Rust, with every chunk of an answer passing through it.
    pub fn relay(&self) -> Workerd {
        let worker = Worker::built(&root().join("tests/relay"), self.variables());
        Workerd::start(&Worker { core: Some(MEASURED_CORE), ..worker })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![("UPSTREAM", self.upstream.clone()), ("KEY", format!("Bearer {UPSTREAM_KEY}"))]
    }

    pub fn floor(&self) -> Workerd {
        let script = root().join("tests/bench/floor.js");
        Workerd::start(&Worker { core: Some(MEASURED_CORE), ..Worker::script(&script, self.variables()) })
    }

    /// A chat completion at `base`; `model` may carry the example upstream's options.
    pub fn chat(&self, base: &str, model: &str, is_streamed: bool) -> Target {
        let body = serde_json::json!({
            "model": model,
            "stream": is_streamed,
            "messages": [{"role": "user", "content": "Which key opens this door? ".repeat(20)}],
        });
        self.chat_of(base, &body)
    }

    pub fn chat_of(&self, base: &str, body: &Value) -> Target {
        Target {
            url: format!("{base}/v1/chat/completions"),
            tokens: Arc::clone(&self.tokens),
            body: body.to_string(),
            headers: Vec::new(),
        }
    }
}
