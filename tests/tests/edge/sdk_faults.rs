//! Official SDKs before an upstream that fails them: each raises where the answer
//! is not whole, and gives it where it is; and the event agrees.

use latchkey_tests::edge::EdgeStack;
use latchkey_tests::process::root;
use serde_json::{Value, json};
use shared::event::Completion;
use shared::provider::Timeouts;
use shared::snapshot::config::StreamUsage;
use std::process::Command;

/// What an SDK must see; how the event says that the answer ended, with which error.
type Outcome = (&'static str, Completion, Option<&'static str>);

const STREAM: bool = true;
const PLAIN: bool = false;

const WHOLE: Outcome = ("whole", Completion::Complete, None);
/// An error over what is all there, and the provider's own.
const OWN: Outcome = ("error", Completion::Complete, None);
const EMPTY: Outcome = ("no error, and not its end: undefined", Completion::Complete, None);
const BROKEN: Outcome = ("error", Completion::Truncated, Some("upstream_error"));
const STALLED: Outcome = ("error", Completion::Truncated, Some("upstream_timeout"));
const SILENT: Outcome = ("error", Completion::Refused, Some("upstream_timeout"));

/// Options of the model, and what is so with every SDK.
const CASES: [(&str, bool, Outcome); 31] = [
    ("", STREAM, WHOLE),
    ("+fault=cut:5", STREAM, BROKEN),
    ("+fault=stall:5", STREAM, STALLED),
    ("+fault=end:5", STREAM, BROKEN),
    ("+fault=malformed:5", STREAM, BROKEN),
    ("+fault=giant", STREAM, WHOLE),
    ("+fault=length", STREAM, WHOLE),
    ("+fault=type", STREAM, WHOLE),
    ("+fault=gzip", STREAM, WHOLE),
    ("+fault=error", STREAM, BROKEN),
    ("+end=none", STREAM, BROKEN),
    ("+usage=none", STREAM, WHOLE),
    ("+usage=every", STREAM, WHOLE),
    ("+trickle=50,pace=1", STREAM, WHOLE),
    ("+chunks=2000,pace=20", STREAM, STALLED),
    ("+fault=silent:300", STREAM, WHOLE),
    ("+fault=silent:30000", STREAM, SILENT),
    ("+fault=status:500", STREAM, OWN),
    ("", PLAIN, WHOLE),
    ("+fault=cut", PLAIN, BROKEN),
    ("+fault=stall", PLAIN, STALLED),
    ("+fault=end", PLAIN, BROKEN),
    ("+fault=malformed", PLAIN, BROKEN),
    ("+fault=giant", PLAIN, WHOLE),
    ("+fault=length", PLAIN, BROKEN),
    ("+fault=type", PLAIN, OWN),
    ("+fault=gzip", PLAIN, WHOLE),
    ("+fault=error", PLAIN, OWN),
    ("+usage=none", PLAIN, WHOLE),
    ("+trickle=3,pace=1", PLAIN, WHOLE),
    ("+fault=silent:30000", PLAIN, SILENT),
];

/// What is otherwise with one SDK, in which the edge has no part.
const EXCEPTIONS: [(&str, &str, bool, Outcome); 7] = [
    // They do without `[DONE]` when there was a reason to stop.
    ("chat", "+end=none", STREAM, WHOLE),
    ("python", "+end=none", STREAM, WHOLE),
    // It cannot do without it.
    ("anthropic", "+usage=none", STREAM, OWN),
    // They read JSON whatever it is called.
    ("google", "+fault=type", PLAIN, WHOLE),
    ("python", "+fault=type", PLAIN, WHOLE),
    // They take any document of status 200 for an answer, here one without text.
    ("responses", "+fault=error", PLAIN, EMPTY),
    ("google", "+fault=error", PLAIN, EMPTY),
];

async fn start() -> EdgeStack {
    // So long that no whole answer takes it on a busy machine.
    let timeouts = Timeouts { first_byte_ms: 8_000, idle_ms: 5_000, total_ms: 25_000 };
    EdgeStack::timed(timeouts, StreamUsage::Ask).await
}

/// What all SDKs told of their answers to `cases`: those that the program `name` has for
/// Node, and for Python. To be called in a runtime with several threads.
pub(crate) fn look_at_all(edge: &EdgeStack, name: &str, cases: &[Value]) -> Vec<Value> {
    let program = |runtime: &str, ending: &str| {
        let mut command = Command::new(root().join(runtime));
        command.arg(format!("{name}.{ending}"));
        command
    };
    let node = program("node_modules/.bin/node", "mjs");
    let python = program("tests/sdk/.venv/bin/python", "py");
    tokio::task::block_in_place(|| {
        std::thread::scope(|scope| {
            let node = scope.spawn(|| look(edge, node, cases));
            [look(edge, python, cases), node.join().unwrap()].concat()
        })
    })
}

/// What the SDKs that `command` has told of their answers to `cases`, a line each.
fn look(edge: &EdgeStack, mut command: Command, cases: &[Value]) -> Vec<Value> {
    command.current_dir(root().join("tests/sdk"));
    command.env("BASE_URL", edge.workerd.url("")).env("TOKEN", &edge.token);
    let output = command.env("CASES", json!(cases).to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Whether what an SDK told, and the event of its request, are as they must be.
async fn wrong(edge: &EdgeStack, told: &Value) -> Option<String> {
    let text = |name: &str| told[name].as_str().unwrap();
    let (sdk, options, model, saw) = (text("sdk"), text("options"), text("model"), text("saw"));
    let stream = told["stream"].as_bool().unwrap();
    let exception = EXCEPTIONS.iter().find(|one| (one.0, one.1, one.2) == (sdk, options, stream));
    let usual = CASES.iter().find(|one| (one.0, one.1) == (options, stream)).unwrap().2;
    let expected = exception.map_or(usual, |one| one.3);
    let event = edge.events.asking_for(model).await;
    let got = (saw, event.completion, event.error_code.as_deref());
    let is_right = saw.starts_with(expected.0) && (got.1, got.2) == (expected.1, expected.2);
    (!is_right).then(|| format!("{model}: {got:?}, not {expected:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sdk_raises_where_the_answer_is_not_whole() {
    let edge = start().await;
    let cases: Vec<Value> =
        CASES.iter().map(|(options, stream, _)| json!({"options": options, "stream": stream})).collect();
    let told = look_at_all(&edge, "faults", &cases);
    assert_eq!(told.len(), 5 * CASES.len());
    let mut wrong_ones = Vec::new();
    for told in &told {
        wrong_ones.extend(wrong(&edge, told).await);
    }
    assert!(wrong_ones.is_empty(), "\n{}", wrong_ones.join("\n"));
}
