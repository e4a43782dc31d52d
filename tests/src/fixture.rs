//! A snapshot made by hand, for tests and benchmarks of the edge alone.

use crate::keys;
use shared::id::{self, UnixMs};
use shared::policy::EndpointRule;
use shared::provider::{Api, Auth, Provider, Timeouts};
use shared::sealed::{Binding, Sealed};
use shared::snapshot::config::{
    Credential, DEFAULT_MAX_SNAPSHOT_AGE, OnStale, Project, Providers, StreamUsage,
};
use shared::snapshot::manifest::{Delta, Manifest};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::token::Token;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// What the project's credential is; an upstream must see it, a client never.
pub const UPSTREAM_KEY: &str = "sk-upstream-0123456789";

pub fn now() -> UnixMs {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn provider(name: &str, api: Api, header: &str, prefix: &str, base_url: &str) -> Provider {
    let rule = |methods: &[&str], path: &str| EndpointRule {
        methods: methods.iter().map(ToString::to_string).collect(),
        path: path.into(),
    };
    Provider {
        name: name.into(),
        base_url: base_url.into(),
        auth: Auth { header: header.into(), prefix: prefix.into() },
        api,
        allowed_endpoints: vec![
            rule(&["POST"], "/v1/chat/completions"),
            rule(&["POST"], "/v1/messages"),
            rule(&["POST"], "/v1/audio/transcriptions"),
            rule(&["GET"], "/v1/models/**"),
            rule(&["POST"], "/v1beta/models/*:generateContent"),
            rule(&["GET", "POST"], "/_fault/**"),
            rule(&["POST"], "/v1/completions"),
            rule(&["POST"], "/v1/responses"),
            rule(&["POST"], "/v1beta/models/*:streamGenerateContent"),
            rule(&["POST"], "/v1/models/*:generateContent"),
            rule(&["POST"], "/v1/models/*:streamGenerateContent"),
        ],
        default_headers: [].into(),
        allowed_headers: Vec::new(),
        timeouts: Timeouts::default(),
        policy: None,
    }
}

/// The three kinds of provider at one upstream.
pub fn providers(base_url: &str) -> Providers {
    Providers {
        providers: vec![
            provider("openai", Api::OpenAi, "authorization", "Bearer ", base_url),
            provider("anthropic", Api::Anthropic, "x-api-key", "", base_url),
            provider("google", Api::Gemini, "x-goog-api-key", "", base_url),
        ],
    }
}

pub fn project(number: u32, providers: &Providers) -> Project {
    let project_id = id::new(1, &[u8::try_from(number).unwrap_or(0); 10]);
    let credentials = providers.providers.iter().enumerate().map(|(at, provider)| {
        let at = u8::try_from(at).unwrap();
        let credential_id = id::new(2, &[at; 10]);
        let binding = Binding {
            deployment_id: keys::DEPLOYMENT,
            project_id,
            credential_id,
            provider: &provider.name,
            origin: provider.origin(),
        };
        let sealed = Sealed::seal(UPSTREAM_KEY, binding, &keys::credential_keys(), [at; 12]).unwrap();
        Credential { id: credential_id, provider: provider.name.clone(), weight: 1, priority: 0, sealed }
    });
    Project {
        number,
        id: project_id,
        is_active: true,
        tokens_valid_from: 0,
        default_provider: "openai".into(),
        on_stale: OnStale::Serve,
        max_snapshot_age: DEFAULT_MAX_SNAPSHOT_AGE,
        stream_usage: StreamUsage::default(),
        capture: None,
        policy: None,
        profiles: Vec::new(),
        routes: Vec::new(),
        credentials: credentials.collect(),
    }
}

/// A token issued at `at`; the same `seed` gives the same token.
pub fn token(at: UnixMs, seed: u8) -> Token {
    Token::new(id::new(at, &[seed; 10]), [seed; 20])
}

pub fn record(token: &Token, project: u32, expires_at: Option<UnixMs>, is_revoked: bool) -> TokenRecord {
    TokenRecord::new(token.id(), &token.secret_hash(), expires_at, project, is_revoked)
}

pub fn text(token: &Token) -> String {
    token.reveal(&keys::tags()).to_string()
}

/// Everything in the delta, over no base.
pub fn manifest(
    version: u64,
    tokens: Vec<TokenRecord>,
    projects: Vec<Project>,
    providers: Providers,
) -> Manifest {
    Manifest {
        deployment_id: keys::DEPLOYMENT.into(),
        version,
        created_at: now(),
        base: None,
        delta: Delta { tokens: Shard::build(tokens), projects, providers: Some(providers) },
    }
}

pub fn encode(manifest: &Manifest) -> Vec<u8> {
    manifest.encode(&keys::signer()).unwrap()
}

/// An id that no fixture uses.
pub fn stranger() -> Uuid {
    id::new(now(), &[0xee; 10])
}

/// The example upstream, in this process, without pauses; its URL.
pub async fn upstream() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let options = example_upstream::Options { pace: std::time::Duration::ZERO, ..Default::default() };
    tokio::spawn(async move { example_upstream::serve(listener, options).await });
    url
}
