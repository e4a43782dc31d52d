//! One seed for each form that an object can have: from there the fuzzer goes on.

use latchkey_fuzz::keys::{RING, SIGNER};
use shared::id;
use shared::policy::EndpointRule;
use shared::provider::{Api, Auth, Provider, Timeouts};
use shared::sealed::{Binding, Sealed};
use shared::snapshot::Hash;
use shared::snapshot::config::{self, Credential, OnStale, Project, ProjectSlice, Providers, StreamUsage};
use shared::snapshot::fresh::Fresh;
use shared::snapshot::index::{Index, ShardRef, SliceRef};
use shared::snapshot::manifest::{Delta, Manifest};
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::token::PREFIX;
use uuid::Uuid;

/// Magic, key id and signature precede the payload of a signed object.
const PAYLOAD: usize = 76;

pub(crate) struct Seed {
    pub(crate) target: &'static str,
    pub(crate) name: &'static str,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn seeds() -> Vec<Seed> {
    let of = |target, seeds: Vec<(&'static str, Vec<u8>)>| {
        seeds.into_iter().map(move |(name, content)| Seed { target, name, content })
    };
    of("fresh", signed(golden("fresh.bin"), &fresh().encode(&SIGNER).unwrap()))
        .chain(of("manifest", signed(golden("manifest.bin"), &manifest().encode(&SIGNER).unwrap())))
        .chain(of("index", indexes()))
        .chain(of("projects", projects()))
        .chain(of("providers", providers()))
        .chain(of("shard", shards()))
        .chain(of("token", tokens()))
        .chain(of("observer", answers()))
        .chain(of("request_body", requests()))
        .chain(of("parameters", bodies()))
        .collect()
}

fn golden(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tests/golden");
    std::fs::read(folder.join(name)).unwrap()
}

/// The target signs payloads; with the golden object goes its signature as well.
fn signed(golden: Vec<u8>, made: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("golden", golden[PAYLOAD..].to_vec()),
        ("golden-signed", golden),
        ("made", made[PAYLOAD..].to_vec()),
    ]
}

fn record(seed: u8) -> TokenRecord {
    let expires_at = seed.is_multiple_of(2).then_some(u64::from(seed) << 32);
    TokenRecord::new(id::new(u64::from(seed), &[seed; 10]), &[seed; 32], expires_at, 3, seed == 5)
}

fn shard_of(seeds: &[u8]) -> Vec<u8> {
    let mut bytes = [&b"LKS1"[..], &u32::try_from(seeds.len()).unwrap().to_le_bytes()].concat();
    for seed in seeds {
        bytes.extend_from_slice(&record(*seed).to_bytes());
    }
    bytes
}

fn shards() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("golden", golden("shard.bin")),
        ("empty", shard_of(&[])),
        ("sorted", shard_of(&[1, 2, 3, 4, 5, 6, 7])),
        ("unsorted", shard_of(&[5, 1, 9, 3])),
        ("twice", shard_of(&[2, 2, 2])),
    ]
}

fn indexes() -> Vec<(&'static str, Vec<u8>)> {
    let shard = |at: u8| ShardRef { first: id::new(u64::from(at), &[at; 10]), hash: Hash([at; 32]) };
    let slice = |at: u8| SliceRef { first: u32::from(at) << 8, hash: Hash([at; 32]) };
    let index = |shards: &[u8], slices: &[u8]| {
        let shards: Vec<_> = shards.iter().map(|at| shard(*at)).collect();
        let slices: Vec<_> = slices.iter().map(|at| slice(*at)).collect();
        Index::build(&shards, &slices, Hash([9; 32])).unwrap().as_bytes().to_vec()
    };
    vec![
        ("golden", golden("index.bin")),
        ("empty", index(&[], &[])),
        ("several", index(&[1, 2, 3, 4], &[0, 1, 2])),
        ("only-slices", index(&[], &[7])),
    ]
}

/// The text; version, id, secret and tag for a checksum; id, secret and a character to change.
fn tokens() -> Vec<(&'static str, Vec<u8>)> {
    let text = golden("token.txt");
    let raw = bs58::decode(&text[PREFIX.len()..]).into_vec().unwrap();
    vec![("golden", text), ("body", raw[..41].to_vec()), ("content", [&raw[1..37], &[9, b'z']].concat())]
}

/// Whose it is, in what pieces, and how it ends, before the answer itself.
fn answers() -> Vec<(&'static str, Vec<u8>)> {
    let chat = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\u00e9\"},\
        \"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":2,\
        \"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\ndata: [DONE]\n\n";
    let responses = "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"usage\":\
        {\"input_tokens\":2,\"output_tokens\":3}}}\n\n";
    let messages = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":\
        {\"input_tokens\":2,\"cache_read_input_tokens\":1}}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    let part = "{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":2}}";
    let cohere =
        "data: {\"type\":\"message-end\",\"delta\":{\"usage\":{\"billed_units\":{\"input_tokens\":2}}}}\n\n";
    let embeddings = "{\"data\":[{\"embedding\":[-1.5e-3]}],\"usage\":{\"prompt_tokens\":2}}";
    [
        ("chat", 0, chat.to_owned()),
        ("responses", 1, responses.to_owned()),
        ("messages", 2, messages.to_owned()),
        ("gemini", 3, format!("data: {part}\r\n\r\n")),
        ("gemini-array", 4, format!("[{part},\n{part}]")),
        ("cohere", 5, cohere.to_owned()),
        ("embeddings", 6, embeddings.to_owned()),
    ]
    .map(|(name, kind, body)| (name, [&[kind, 7, 0], body.as_bytes()].concat()))
    .to_vec()
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let model =
        "{\"model\":\"m\\u00e9\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]";
    [
        ("without", format!("{model}}}")),
        ("null", format!("{model},\"stream_options\":null}}")),
        ("false", format!("{model},\"stream_options\":{{\"include_usage\":false}}}}")),
        ("others", format!("{model},\"stream_options\":{{\"include_obfuscation\":false}}}}")),
    ]
    .map(|(name, body)| (name, body.into_bytes()))
    .to_vec()
}

/// By which policies, and in what pieces, before the body itself.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = r#"{"model": "gpt-4o"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let nested =
        |depth| format!(r#"{{"x": {}1{}, "model": "gpt-4o"}}"#, "[".repeat(depth), "]".repeat(depth));
    let text = |case: u8, text: &str| (case, text.as_bytes().to_vec());
    [
        ("model", text(0, r#"{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}"#)),
        ("model-denied", text(0, r#"{"model": "o1", "messages": []}"#)),
        ("model-null", text(0, r#"{"model": null}"#)),
        ("empty", text(0, "")),
        ("duplicate", text(0, r#"{"model": "gpt-4o", "model": "o1"}"#)),
        ("duplicate-escaped", text(0, r#"{"model": "gpt-4o", "mod\u0065l": "gpt-4o"}"#)),
        ("duplicate-unread", text(0, r#"{"x": 1, "x": {"model": 2}, "model": "gpt-4o"}"#)),
        ("escaped", text(0, r#"{"\u006dodel": "\u0067pt-4o\u002d\ud83d\ude00"}"#)),
        ("escaped-denied", text(0, r#"{"mod\u0065l": "o1"}"#)),
        ("other-case", text(0, r#"{"model": "gpt-4o", "Model": "o1"}"#)),
        ("surrogate", text(0, r#"{"model": "gpt-4o\ud800"}"#)),
        ("surrogate-name", text(0, r#"{"\ud800": 1, "model": "gpt-4o"}"#)),
        ("surrogate-unread", text(0, r#"{"x": "\udc00\ud800", "model": "gpt-4o"}"#)),
        ("not-utf8", (0, b"{\"x\": \"\xff\", \"model\": \"gpt-4o\xff\"}".to_vec())),
        ("utf16", (0, utf16)),
        ("mark", text(0, "\u{feff}{\"model\": \"gpt-4o\"}")),
        ("trailing", text(0, r#"{"model": "gpt-4o"}{"model": "o1"}"#)),
        ("nested", text(0, &nested(100))),
        ("nested-deep", text(0, &nested(200))),
        ("numbers", text(1, r#"{"max_tokens": 0.1e1, "temperature": -0, "n": 1.0, "seed": 2E+3, "stream": true}"#)),
        ("bounds", text(1, r#"{"max_tokens": 4096, "temperature": 0, "n": -7}"#)),
        ("bounds-large", text(1, r#"{"max_tokens": 4097}"#)),
        ("number-large", text(1, r#"{"max_tokens": 1e400}"#)),
        ("number-large-unread", text(1, r#"{"x": [1e400, -1e400], "n": 25e-1}"#)),
        ("integer-exact", text(1, r#"{"n": 9007199254740993}"#)),
        ("integer-denied", text(1, r#"{"seed": 9007199254740993}"#)),
        ("integer-long", text(1, r#"{"seed": 98765432109876543210, "max_tokens": 98765432109876543210}"#)),
        ("forbidden", text(2, r#"{"messages": [{"audio": null}, {"audio": {}}], "tools": null, "stream_options": 1}"#)),
        ("required", text(3, r#"{"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}, "user": 0}"#)),
        ("required-missing", text(3, r#"{"response_format": {"type": "json_schema"}, "user": null}"#)),
        ("models", text(4, r#"{"models": ["openai/a", "openai/b"], "provider": {"order": ["fast"]}}"#)),
        ("models-denied", text(4, r#"{"model": "openai/a", "models": ["openai/a", "openai/b:free"]}"#)),
        ("models-null", text(4, r#"{"models": ["openai/a", null]}"#)),
        ("models-one", text(4, r#"{"models": "openai/a", "provider": {"order": "fast"}}"#)),
        ("models-one-denied", text(4, r#"{"models": "openai/a:free"}"#)),
        ("models-one-object", text(4, r#"{"models": {"openai/a": "openai/a"}}"#)),
        ("tools", text(5, r#"{"tools": [{"type": "function", "function": {"name": "add", "strict": null}}]}"#)),
        ("tools-required", text(5, r#"{"tools": [{"type": "function"}]}"#)),
        ("tools-leaf", text(5, r#"{"tools": [{"type": "function", "function": 1}]}"#)),
        ("tools-one", text(5, r#"{"tools": {"type": "function", "function": {"name": "add"}}}"#)),
        ("tools-one-denied", text(5, r#"{"tools": {"type": "function", "function": {"name": "rm"}}}"#)),
        ("tools-null", text(5, r#"{"tools": null}"#)),
        ("tools-one-leaf", text(5, r#"{"tools": "function"}"#)),
        ("owners", text(6, r#"{"model": "o1-mini", "n": 7}"#)),
        ("path", text(7, r#"{"a": [{"b": [{"c": [{"d": ["x"]}, 1]}]}], "b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}"#)),
        ("path-denied", text(7, r#"{"a": 1, "b": {"c": {"d": {"e": {"f": {"g": {"h": {"\u00fc": 1}}}}}}}}"#)),
        ("path-one", text(7, r#"{"a": {"b": [{"c": {"d": "x"}}, {"c": {"d": "y"}}]}}"#)),
        ("both", text(8, r#"{"stop": "END", "messages": [{"content": "hi"}, {"content": {"type": "text"}}]}"#)),
        ("both-array", text(8, r#"{"stop": ["END"], "messages": [{"content": [{"type": "image"}]}]}"#)),
        ("both-denied", text(8, r#"{"stop": "END", "messages": {"content": {"type": "image"}}}"#)),
        ("both-duplicate", text(8, r#"{"stop": "END", "messages": {"content": {"type": "text", "type": "text"}}}"#)),
        ("both-element", text(8, r#"{"stop": "END", "input": {"text": "my secret"}}"#)),
        ("both-missing", text(8, r#"{"stop": "END", "input": "hi"}"#)),
    ]
    .map(|(name, (case, body))| (name, [&[case, 5], body.as_slice()].concat()))
    .to_vec()
}

/// With a credential that opens.
fn project(number: u32) -> Project {
    let (project_id, credential_id) = (id::new(1, &[1; 10]), id::new(2, &[2; 10]));
    let binding = Binding {
        deployment_id: "default",
        project_id,
        credential_id,
        provider: "openai",
        origin: "https://api.openai.com",
    };
    let sealed = Sealed::seal("sk-upstream", binding, &RING, [3; 12]).unwrap();
    Project {
        number,
        id: project_id,
        is_active: number != 2,
        tokens_valid_from: u64::from(number),
        default_provider: "openai".into(),
        on_stale: if number == 2 { OnStale::Deny } else { OnStale::Serve },
        max_snapshot_age: 60,
        stream_usage: StreamUsage::default(),
        capture: None,
        policy: None,
        profiles: Vec::new(),
        routes: Vec::new(),
        credentials: vec![Credential {
            id: credential_id,
            provider: "openai".into(),
            weight: 1,
            priority: 0,
            sealed,
        }],
    }
}

fn projects() -> Vec<(&'static str, Vec<u8>)> {
    let slice = |numbers: &[u32]| ProjectSlice { projects: numbers.iter().map(|at| project(*at)).collect() };
    vec![
        ("golden", golden("projects.json")),
        ("empty", config::encode(&ProjectSlice::default()).unwrap()),
        ("opens", config::encode(&slice(&[1, 2])).unwrap()),
        ("unsorted", config::encode(&slice(&[9, 2])).unwrap()),
        ("one", config::encode(&project(4)).unwrap()),
    ]
}

fn provider(name: &str, api: Api, paths: &[&str]) -> Provider {
    let rule = |path: &&str| EndpointRule { methods: vec!["POST".into()], path: (*path).into() };
    Provider {
        name: name.into(),
        base_url: format!("https://{name}.test/api"),
        auth: Auth { header: "x-api-key".into(), prefix: String::new() },
        api,
        allowed_endpoints: paths.iter().map(rule).collect(),
        default_headers: [("x-team".to_owned(), "a \"quoted\" \u{e9}".to_owned())].into(),
        allowed_headers: vec!["openai-project".into()],
        timeouts: Timeouts::default(),
        policy: None,
    }
}

fn providers() -> Vec<(&'static str, Vec<u8>)> {
    let paths = ["/v1/*:generate", "/**/a/**/b", "/v1/models/**"];
    let several = Providers {
        providers: vec![provider("one", Api::Anthropic, &paths), provider("two", Api::Gemini, &["/"])],
    };
    vec![
        ("golden", golden("providers.json")),
        ("empty", config::encode(&Providers::default()).unwrap()),
        ("several", config::encode(&several).unwrap()),
    ]
}

fn fresh() -> Fresh {
    Fresh { deployment_id: "default".into(), record: record(1), project: project(3) }
}

/// Before the first compaction: everything is in the delta.
fn manifest() -> Manifest {
    Manifest {
        deployment_id: Uuid::nil().to_string(),
        version: 1,
        created_at: 0,
        base: None,
        delta: Delta {
            tokens: Shard::build([1, 2, 3].map(record).to_vec()),
            projects: vec![project(1), project(2)],
            providers: None,
        },
    }
}
