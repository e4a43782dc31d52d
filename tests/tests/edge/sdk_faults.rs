//! Official SDKs before an upstream that fails them: each raises where the answer
//! is not whole, and gives it where it is.

use latchkey_tests::edge::EdgeStack;
use latchkey_tests::fixture;
use latchkey_tests::process::root;
use serde_json::{Value, json};
use shared::policy::EndpointRule;
use shared::provider::Timeouts;
use std::process::Command;

const STREAM: bool = true;
const PLAIN: bool = false;
const WHOLE: &str = "whole";
const ERROR: &str = "error";

/// Options of the model, and what every SDK must see.
const CASES: [(&str, bool, &str); 27] = [
    ("", STREAM, WHOLE),
    ("+fault=cut:5", STREAM, ERROR),
    ("+fault=stall:5", STREAM, ERROR),
    ("+fault=end:5", STREAM, ERROR),
    ("+fault=malformed:5", STREAM, ERROR),
    ("+fault=giant", STREAM, WHOLE),
    ("+fault=length", STREAM, WHOLE),
    ("+fault=type", STREAM, WHOLE),
    ("+fault=gzip", STREAM, WHOLE),
    ("+fault=error", STREAM, ERROR),
    ("+end=none", STREAM, ERROR),
    ("+usage=none", STREAM, WHOLE),
    ("+trickle=50,pace=1", STREAM, WHOLE),
    ("+chunks=2000,pace=20", STREAM, ERROR),
    ("+fault=silent:300", STREAM, WHOLE),
    ("+fault=silent:30000", STREAM, ERROR),
    ("+fault=status:500", STREAM, ERROR),
    ("", PLAIN, WHOLE),
    ("+fault=cut", PLAIN, ERROR),
    ("+fault=stall", PLAIN, ERROR),
    ("+fault=end", PLAIN, ERROR),
    ("+fault=malformed", PLAIN, ERROR),
    ("+fault=giant", PLAIN, WHOLE),
    ("+fault=length", PLAIN, ERROR),
    ("+fault=gzip", PLAIN, WHOLE),
    ("+trickle=3,pace=1", PLAIN, WHOLE),
    ("+fault=silent:30000", PLAIN, ERROR),
];

/// What an SDK sees otherwise, in which the edge has no part.
const EXCEPTIONS: [(&str, &str, bool, &str); 3] = [
    // They do without `[DONE]` when there was a reason to stop.
    ("chat", "+end=none", STREAM, WHOLE),
    ("python", "+end=none", STREAM, WHOLE),
    // It cannot do without it.
    ("anthropic", "+usage=none", STREAM, ERROR),
];

async fn start() -> EdgeStack {
    let stack = EdgeStack::empty(60_000).await;
    let mut manifest = stack.manifest(1);
    let mut providers = stack.providers();
    for provider in &mut providers.providers {
        // So long that no whole answer takes it on a busy machine.
        provider.timeouts = Timeouts { first_byte_ms: 8_000, idle_ms: 5_000, total_ms: 25_000 };
        let paths = ["/v1/responses", "/v1/models/*:generateContent", "/v1/models/*:streamGenerateContent"];
        let rule = |path: &str| EndpointRule { methods: vec!["POST".into()], path: path.into() };
        provider.allowed_endpoints.extend(paths.map(rule));
    }
    manifest.delta.providers = fixture::manifest(1, Vec::new(), Vec::new(), providers).delta.providers;
    stack.publish(&manifest);
    stack
}

/// What the SDKs that `command` has told, each answer to a case a line.
fn look(edge: &EdgeStack, mut command: Command) -> Vec<Value> {
    let cases: Vec<Value> =
        CASES.iter().map(|(options, stream, _)| json!({"options": options, "stream": stream})).collect();
    command.current_dir(root().join("tests/sdk"));
    command.env("BASE_URL", edge.workerd.url("")).env("TOKEN", &edge.token);
    let output = command.env("CASES", json!(cases).to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wrong(told: &Value) -> Option<String> {
    let (sdk, options) = (told["sdk"].as_str().unwrap(), told["options"].as_str().unwrap());
    let (stream, saw) = (told["stream"].as_bool().unwrap(), told["saw"].as_str().unwrap());
    let exception = EXCEPTIONS.iter().find(|one| (one.0, one.1, one.2) == (sdk, options, stream));
    let usual = CASES.iter().find(|one| (one.0, one.1) == (options, stream)).unwrap().2;
    let expected = exception.map_or(usual, |one| one.3);
    (!saw.starts_with(expected)).then(|| format!("{sdk} {options} {stream}: {saw}, not {expected}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sdk_raises_where_the_answer_is_not_whole() {
    let edge = start().await;
    let mut node = Command::new(root().join("node_modules/.bin/node"));
    node.arg("faults.mjs");
    let mut python = Command::new(root().join("tests/sdk/.venv/bin/python"));
    python.arg("faults.py");
    let told = tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let node = scope.spawn(|| look(&edge, node));
            [look(&edge, python), node.join().unwrap()].concat()
        })
    });
    assert_eq!(told.len(), 5 * CASES.len());
    let wrong: Vec<String> = told.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
