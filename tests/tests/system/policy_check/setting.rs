//! Providers, projects and tokens with policies and routes.

use futures_util::future::join_all;
use latchkey_tests::fixture::UPSTREAM_KEY;
use latchkey_tests::soak::dice::Dice;
use latchkey_tests::stack::Stack;
use reqwest::Method;
use serde_json::{Value, json};

const PROJECTS: usize = 8;
const TOKENS: usize = 4;

/// Those that requests name.
pub(crate) const NAMED: [&str; 7] = ["wide", "narrow", "strict", "guarded", "small", "gem", "gem-strict"];
/// Beside them one that only routes lead to.
const CLOSED: &str = "closed";

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) text: String,
    /// Its project has.
    pub(crate) has_routes: bool,
}

struct Project {
    id: String,
    has_routes: bool,
}

pub(crate) struct Setting {
    tokens: Vec<Token>,
}

impl Setting {
    pub(crate) async fn make(stack: &Stack, dice: &mut Dice) -> Self {
        for name in NAMED.into_iter().chain([CLOSED]) {
            let path = format!("/manage/providers/{name}");
            stack.control_plane.must(Method::PUT, &path, Some(provider(name, &stack.upstream))).await;
        }
        let mut projects = Vec::new();
        for number in 0..PROJECTS {
            projects.push(make_project(stack, number, dice).await);
        }
        // All at once: each is answered once it is published.
        let tokens = (0..PROJECTS * TOKENS)
            .map(|number| make_token(stack, &projects[number / TOKENS], policy(number)));
        Self { tokens: join_all(tokens).await }
    }

    pub(crate) fn token(&self, dice: &mut Dice) -> Token {
        dice.pick(self.tokens.iter()).unwrap().clone()
    }
}

async fn make_project(stack: &Stack, number: usize, dice: &mut Dice) -> Project {
    let default_provider = dice.pick(NAMED.into_iter()).unwrap();
    let name = format!("project {number}");
    let new = json!({ "name": name, "default_provider": default_provider,
        "policy": policy(dice.below(1000)) });
    let project = stack.control_plane.post("/manage/projects", new).await;
    let path = format!("/manage/projects/{}", project["id"].as_str().unwrap());
    for provider in NAMED.into_iter().chain([CLOSED]) {
        let credential = json!({ "provider": provider, "label": "a", "api_key": UPSTREAM_KEY });
        stack.control_plane.post(&format!("{path}/credentials"), credential).await;
    }
    let has_routes = !number.is_multiple_of(4);
    for route in routes().into_iter().filter(|_| has_routes) {
        // One that takes all leaves nothing to whom a request names.
        if dice.percent(70) && (route["name"] != "all" || number.is_multiple_of(2)) {
            stack.control_plane.post(&format!("{path}/routes"), route).await;
        }
    }
    Project { id: project["id"].as_str().unwrap().to_owned(), has_routes }
}

async fn make_token(stack: &Stack, project: &Project, policy: Value) -> Token {
    let new = json!({ "project_id": project.id, "name": "t", "policy": policy });
    let made = stack.control_plane.post("/manage/tokens", new).await;
    let [id, text] = ["id", "token"].map(|field| made[field].as_str().unwrap().to_owned());
    Token { id, text, has_routes: project.has_routes }
}

fn provider(name: &str, upstream: &str) -> Value {
    let post = |path: &str| json!({ "methods": ["POST"], "path": path });
    let models = json!({ "methods": ["GET"], "path": "/v1/models/**" });
    let chat = post("/v1/chat/completions");
    let all = json!([chat, post("/v1/embeddings"), post("/v1/audio/transcriptions"), models]);
    let gemini = json!([post("/v1beta/models/*")]);
    let model = |allow: &[&str]| json!({ "endpoints": ["/**"], "path": "model", "allow": allow });
    let (endpoints, policy) = match name {
        "narrow" => (json!([chat, models]), json!({})),
        CLOSED => (json!([models]), json!({})),
        "strict" => (
            all,
            json!({ "parameters": [
                model(&["gpt-4*"]),
                { "endpoints": ["/v1/chat/*"], "path": "max_tokens", "max": 100, "required": true },
            ] }),
        ),
        "guarded" => (all, json!({ "required_headers": ["x-team"], "countries": ["DE", "FR"] })),
        "small" => (all, json!({ "max_body_bytes": 160, "origins": ["https://app.example.com"] })),
        "gem" => (gemini, json!({})),
        "gem-strict" => (gemini, json!({ "parameters": [model(&["gemini-2.5-flash*"])] })),
        _ => (all, json!({})),
    };
    let (api, auth) = if name.starts_with("gem") {
        ("gemini", json!({ "header": "x-goog-api-key" }))
    } else {
        ("openai", json!({ "header": "authorization", "prefix": "Bearer " }))
    };
    json!({ "base_url": upstream, "api": api, "auth": auth, "allowed_endpoints": endpoints, "policy": policy })
}

/// Of a project's or a token's: for each kind of rule there is a number.
fn policy(number: usize) -> Value {
    let policies = [
        json!({}),
        json!({ "endpoints": [
            { "methods": ["POST"], "path": "/v1/chat/*" }, { "methods": ["GET"], "path": "/v1/models" },
            { "methods": ["POST"], "path": "/v1beta/**" },
        ] }),
        json!({ "parameters": [{ "endpoints": ["/v1/**"], "path": "model",
            "allow": ["gpt-4*", "fast", "small*"], "required": true }] }),
        json!({ "parameters": [
            { "endpoints": ["/**"], "path": "model", "deny": ["o1*", "*-pro"] },
            { "endpoints": ["/v1/**"], "path": "n", "max": 2 },
        ] }),
        json!({ "parameters": [
            { "endpoints": ["/v1/**"], "path": "tools[].type", "allow": ["function"] },
            { "endpoints": ["/v1/**"], "path": "stream_options.include_usage", "forbidden": true },
        ] }),
        json!({ "origins": ["https://*.example.com"] }),
        json!({ "required_headers": ["x-team"] }),
        json!({ "forwarded_headers": ["x-team"] }),
        json!({ "max_body_bytes": 240 }),
        json!({ "networks": ["10.0.0.0/8", "2001:db8::/32"] }),
        json!({ "countries": ["DE"] }),
    ];
    policies[number % policies.len()].clone()
}

fn routes() -> [Value; 7] {
    let to = |provider: &str, model: &str| json!({ "provider": provider, "model": model });
    let as_asked = |provider: &str| json!({ "provider": provider });
    let route = |name: &str, pattern: &str, strategy: &str, targets: Value| json!({ "name": name, "match": [pattern], "strategy": strategy, "targets": targets });
    [
        route(
            "fast",
            "fast",
            "priority",
            json!([to("strict", "o1"), to("narrow", "gpt-4o"), to("guarded", "small-1")]),
        ),
        route("gpt", "gpt-4*", "weighted", json!([as_asked("wide"), as_asked("strict"), to("strict", "o3")])),
        route("small", "small*", "round_robin", json!([to("small", "gpt-4\"o"), to("guarded", "o1")])),
        // Who is asked for these is refused in two ways.
        route("o1", "o1", "priority", json!([as_asked("strict"), to("strict", "o3"), as_asked("closed")])),
        route("o9", "o9", "weighted", json!([as_asked("closed"), to("small", "o1"), to("strict", "o3")])),
        route(
            "gemini",
            "gemini-*",
            "weighted",
            json!([to("gem", "gemini-3/a b"), to("gem-strict", "gemini-2.5-flash"), as_asked("gem-strict")]),
        ),
        route(
            "all",
            "*",
            "round_robin",
            json!([to("wide", "gpt-4o"), as_asked("narrow"), as_asked("small")]),
        ),
    ]
}
