//! What it costs to judge a request.

use super::cost::{Effort, side_by_side};
use super::load::{self, Target};
use super::report::{Row, millis};
use super::rig::Rig;
use serde_json::{Value, json};
use shared::policy::Carried;
use shared::snapshot::config::Profile;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::shard::Shard;

const MODEL: &str = "gpt-example+chunks=20,pace=0";
const PROFILE: u32 = 7;

pub async fn rows(effort: Effort) -> Vec<Row> {
    let plain = Rig::start().await;
    let judged = Rig::shaped(judge).await;
    let mut rows = small(&plain, &judged, effort).await;
    rows.push(large(&plain, &judged, effort).await);
    rows
}

async fn small(plain: &Rig, judged: &Rig, effort: Effort) -> Vec<Row> {
    let (plain_edge, judged_edge) = (plain.edge(), judged.edge());
    let to_plain = chat(plain, &plain_edge.url("/openai"), MODEL, 2_000);
    let to_judged = chat(judged, &judged_edge.url("/openai"), MODEL, 2_000);
    let origin = ("origin", "https://app.example.com".to_owned());
    let of_page = Target { headers: vec![origin], ..to_judged.clone() };
    assert_judged(&to_judged).await;
    let sides = [(&plain_edge, &to_plain), (&judged_edge, &to_judged), (&judged_edge, &of_page)];
    let [unjudged, server, page] = side_by_side(sides, effort, 45_000).await;
    let what = "CPU per request of 2 KB under three full policies, nine rules on its body";
    let beside = "no policy, its event made";
    vec![
        Row::ratio(what, server, beside, unjudged, 1.25),
        Row::ratio("the same, asked by a page of an origin listed", page, beside, unjudged, 1.25),
    ]
}

async fn large(plain: &Rig, judged: &Rig, effort: Effort) -> Row {
    let (unread_edge, read_edge, judged_edge) = (plain.edge_without_events(), plain.edge(), judged.edge());
    let target = |rig: &Rig, base: String| chat(rig, &base, MODEL, 1 << 20);
    let unread = target(plain, unread_edge.url("/openai"));
    let read = target(plain, read_edge.url("/openai"));
    let with_rules = target(judged, judged_edge.url("/openai"));
    assert_judged(&with_rules).await;
    let sides = [(&unread_edge, &unread), (&read_edge, &read), (&judged_edge, &with_rules)];
    let [unread, read, with_rules] = side_by_side(sides, effort, 1_500).await;
    let beside = format!("no policy: {} read for its event; unread", millis(read));
    Row::ratio("CPU per request of 1 MB under the same policies", with_rules, &beside, unread, 2.0)
}

/// Everything that a policy can ask of a request, of the provider's, the project's
/// and the token's.
pub(super) fn judge(manifest: &mut Manifest) {
    let policy: Carried = serde_json::from_value(json!({
        "endpoints": [
            {"methods": ["GET"], "path": "/v1/models/**"},
            {"methods": ["POST"], "path": "/v1/chat/completions"},
        ],
        "parameters": [
            {"endpoints": ["/v1/**"], "path": "model", "allow": ["fast", "gpt-*"], "required": true},
            {"endpoints": ["/v1/chat/completions"], "path": "max_tokens", "min": 1, "max": 4096},
            {"endpoints": ["/v1/chat/completions"], "path": "tools[].type", "allow": ["function"]},
        ],
        "origins": ["https://*.example.com"],
        "networks": ["2001:db8::/32", "192.0.2.0/24"],
        "forwarded_headers": ["accept*", "user-agent", "x-stainless-*"],
    }))
    .unwrap();
    assert!(matches!(policy, Carried::Policy(_)));
    for provider in &mut manifest.delta.providers.as_mut().unwrap().providers {
        provider.policy = Some(policy.clone());
    }
    let project = &mut manifest.delta.projects[0];
    project.policy = Some(policy.clone());
    project.profiles = vec![Profile { number: PROFILE, policy }];
    let records = manifest.delta.tokens.iter().map(|record| record.with_profile(Some(PROFILE)));
    manifest.delta.tokens = Shard::build(records.collect());
}

/// A chat completion of that `length`, with all that the rules ask for.
pub(super) fn chat(rig: &Rig, base: &str, model: &str, length: usize) -> Target {
    let body = |content: String| {
        json!({
            "model": model,
            "max_tokens": 256,
            "tools": [{"type": "function", "function": {"name": "open", "parameters": {"type": "object"}}}],
            "messages": [{"role": "user", "content": content}],
        })
    };
    let without = body(String::new()).to_string().len();
    let content = "Which key opens this door?\n".chars().cycle().take(length.saturating_sub(without));
    rig.chat_of(base, &body(content.collect()))
}

/// What is measured must not have passed for want of a rule.
pub(super) async fn assert_judged(target: &Target) {
    let mut body: Value = serde_json::from_str(&target.body).unwrap();
    body["model"] = json!("o1");
    let target = Target { body: body.to_string(), ..target.clone() };
    let response = load::request(&load::client(1), &target, 0).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["x-latchkey-error"], "param_not_allowed");
}
