//! The snapshot of the shared stack: a project and a token for each case.

use super::{EdgeStack, odd};
use crate::fixture::{self, now, project, provider, record, text, token};
use shared::id;
use shared::provider::{Api, Provider, Timeouts};
use shared::snapshot::config::{Project, Providers};
use shared::token::Token;
use std::sync::LazyLock;

const MINUTE: u64 = 60 * 1000;

/// Plain texts of tokens, named by what is special about them.
#[derive(Debug)]
pub struct Tokens {
    pub valid: String,
    pub expired: String,
    pub revoked: String,
    pub of_inactive_project: String,
    pub before_bulk_revocation: String,
    pub after_bulk_revocation: String,
    pub of_project_without_credentials: String,
    pub of_project_with_another_origins_credential: String,
    pub of_project_with_another_projects_credential: String,
}

/// A token issued ten minutes ago: too old to be looked for as a fresh one.
/// Within a test run, the same `seed` gives the same token.
pub fn settled(seed: u8) -> Token {
    static START: LazyLock<u64> = LazyLock::new(now);
    token(*START - 10 * MINUTE, seed)
}

pub async fn start() -> (EdgeStack, Tokens) {
    let stack = EdgeStack::empty(1_000).await;
    let providers = providers(stack.upstream.url()).await;
    let mut records = Vec::new();
    let mut make = |seed: u8, project: u32, expires_at: Option<u64>, is_revoked: bool| {
        records.push(record(&settled(seed), project, expires_at, is_revoked));
        text(&settled(seed))
    };
    let tokens = Tokens {
        valid: make(1, 1, Some(now() + 60 * MINUTE), false),
        expired: make(2, 1, Some(now() - 1), false),
        revoked: make(3, 1, None, true),
        of_inactive_project: make(4, 2, None, false),
        before_bulk_revocation: make(5, 3, None, false),
        after_bulk_revocation: make(6, 4, None, false),
        of_project_without_credentials: make(7, 5, None, false),
        of_project_with_another_origins_credential: make(8, 6, None, false),
        of_project_with_another_projects_credential: make(9, 7, None, false),
    };
    let issued_at = settled(1).issued_at().unwrap();
    let elsewhere = Providers {
        providers: providers
            .providers
            .iter()
            .cloned()
            .map(|p| Provider { base_url: "http://127.0.0.1:1".into(), ..p })
            .collect(),
    };
    let credentials = |number: u32, providers: &Providers| project(number, providers).credentials;
    let projects: Vec<Project> = vec![
        project(1, &providers),
        Project { is_active: false, ..project(2, &providers) },
        Project { tokens_valid_from: issued_at + 1, ..project(3, &providers) },
        Project { tokens_valid_from: issued_at, ..project(4, &providers) },
        Project { credentials: Vec::new(), ..project(5, &providers) },
        Project { credentials: credentials(6, &elsewhere), ..project(6, &providers) },
        Project { credentials: credentials(1, &providers), ..project(7, &providers) },
    ];
    stack.publish(&fixture::manifest(1, records, projects, providers));
    (stack, tokens)
}

/// The fixture's three, and those that differ in one thing.
async fn providers(upstream: &str) -> Providers {
    let openai =
        |name: &str, base_url: &str| provider(name, Api::OpenAi, "authorization", "Bearer ", base_url);
    let mut providers = fixture::providers(upstream);
    let slow = Timeouts { first_byte_ms: 300, ..Timeouts::default() };
    let soon = Timeouts { first_byte_ms: 1_000, idle_ms: 1_000, ..Timeouts::default() };
    let mut configured = openai("configured", upstream);
    configured.default_headers =
        [("x-default".into(), "ours".into()), ("openai-beta".into(), "ours".into())].into();
    configured.allowed_headers = vec!["openai-project".into()];
    let mut odd = openai("odd", &format!("http://{}", odd::start().await));
    odd.allowed_endpoints[3].methods.push("HEAD".into());
    providers.providers.extend([
        openai("down", &format!("http://{}", odd::nobody().await)),
        openai("no-tls", &format!("https://{}", odd::start_without_tls().await)),
        Provider { timeouts: slow, ..openai("slow", upstream) },
        Provider { timeouts: slow, ..provider("slow-anthropic", Api::Anthropic, "x-api-key", "", upstream) },
        configured,
        odd,
        Provider { timeouts: soon, ..openai("raw", &format!("http://{}", odd::start_raw().await)) },
    ]);
    providers
}

/// What somebody would send who knows the id of a token but not its secret.
pub fn with_other_secret(of: &Token) -> Token {
    Token::new(of.id(), [0xab; 20])
}

/// A token issued this moment.
pub fn fresh_token(seed: u8) -> Token {
    Token::new(id::new(now(), &[seed; 10]), [seed; 20])
}
