//! What policies let pass, and how they say no: nothing that is refused goes upstream.

use latchkey_tests::edge::call::{self, Reply, send};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{EdgeStack, chat_body, until, world};
use latchkey_tests::fixture;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shared::event::{Completion, Event};
use shared::policy::Carried;
use shared::provider::Api;
use shared::snapshot::Hash;
use shared::snapshot::config::Profile;
use shared::snapshot::shard::Shard;

const CHAT: &str = "/openai/v1/chat/completions";
const UPLOAD: &str = "/openai/v1/audio/transcriptions";

fn carried(policy: Value) -> Carried {
    serde_json::from_value(policy).unwrap()
}

/// With a policy of the provider's, of the project's and of the token's.
async fn start(provider: Value, project: Value, token: Value) -> EdgeStack {
    let edge = EdgeStack::empty(60_000).await;
    let mut manifest = edge.manifest(1);
    manifest.delta.providers.as_mut().unwrap().providers[0].policy = Some(carried(provider));
    manifest.delta.projects[0].policy = Some(carried(project));
    let policy = carried(token);
    manifest.delta.projects[0].profiles = vec![Profile { number: 7, policy }];
    let record = fixture::record(&world::settled(1), 1, None, false).with_profile(Some(7));
    manifest.delta.tokens = Shard::build(vec![record]);
    edge.publish(&manifest);
    edge
}

async fn with_parameters(rules: Value) -> EdgeStack {
    start(json!({}), json!({ "parameters": rules }), json!({})).await
}

/// The refusal, after which nothing has gone upstream.
async fn refused(edge: &EdgeStack, request: RequestBuilder, status: u16, code: &str) -> Reply {
    let trace = trace();
    let reply = send(request.header(TRACE, &trace)).await;
    reply.assert_refused(status, code, Api::OpenAi);
    assert!(edge.upstream.seen(&trace).await.is_empty(), "it went upstream");
    reply
}

/// All that there are, once there are so many.
async fn events(edge: &EdgeStack, count: usize) -> Vec<Event> {
    until("the events are there", async || edge.events.all().len() >= count).await;
    edge.events.all()
}

fn post(edge: &EdgeStack, body: impl Into<reqwest::Body>) -> RequestBuilder {
    edge.post(CHAT).bearer_auth(&edge.token).header("content-type", "application/json").body(body)
}

#[tokio::test]
async fn each_of_the_three_is_asked_and_none_widens_another() {
    let models =
        |globs: &[&str]| json!({"parameters": [{"endpoints": ["/v1/**"], "path": "model", "allow": globs}]});
    let edge = start(models(&["gpt-*"]), models(&["*-a", "*-b"]), models(&["*-a", "o1", "gpt-c"])).await;
    send(edge.chat("gpt-a", false)).await.assert_ok();
    for (model, owner) in [("o1", "provider"), ("gpt-c", "project"), ("gpt-b", "token")] {
        let reply = refused(&edge, edge.chat(model, false), 400, "param_not_allowed").await;
        let error = &reply.json()["error"];
        assert_eq!(error["param"], "model");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("`parameters[0]`") && message.contains(owner), "{message}");
    }
    let events = events(&edge, 4).await;
    let denied = events.iter().find(|event| event.status == 400).unwrap();
    assert_eq!(
        (denied.error_code.as_deref(), denied.completion),
        (Some("param_not_allowed"), Completion::Refused)
    );
    assert!(denied.attempts.is_empty() && denied.token_id.is_some() && denied.bytes_in > 0);
}

#[tokio::test]
async fn the_body_that_was_judged_is_the_body_that_goes_upstream() {
    let edge = with_parameters(json!([
        {"endpoints": ["/v1/chat/completions"], "path": "model", "allow": ["gpt-*"], "required": true},
        {"endpoints": ["/v1/chat/completions"], "path": "max_tokens", "max": 4096},
    ]))
    .await;
    let large = json!({"model": "gpt-x+pace=0", "max_tokens": 5, "messages": [{"role": "user", "content": "x".repeat(6 << 20)}]});
    for body in [
        "  {\"mod\\u0065l\" : \"gpt-x\",\n\"messages\":[{\"role\":\"user\",\"content\":\"\\ud83d\\ude00 x\"}], \"max_tokens\":4096}\n".to_owned(),
        large.to_string(),
    ] {
        let trace = trace();
        send(post(&edge, body.clone()).header(TRACE, &trace)).await.assert_ok();
        let seen = edge.upstream.only(&trace).await;
        assert_eq!(seen["body_bytes"], body.len());
        assert_eq!(seen["body_sha256"], Hash::of(body.as_bytes()).to_string());
        // Also where its length is not declared.
        let stream = futures_util::stream::iter([Ok::<_, std::io::Error>(body.clone().into_bytes())]);
        send(post(&edge, reqwest::Body::wrap_stream(stream))).await.assert_ok();
    }
}

#[tokio::test]
async fn what_a_rule_cannot_read_is_refused() {
    let edge = with_parameters(json!([
        {"endpoints": ["/v1/chat/completions"], "path": "model", "allow": ["gpt-*"]},
        {"endpoints": ["/v1/chat/completions"], "path": "n", "max": 1},
    ]))
    .await;
    let utf16: Vec<u8> = "{\"model\":\"o1\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let deep = format!("{{\"x\":{}{},\"model\":\"o1\"}}", "[".repeat(200_000), "]".repeat(200_000));
    for body in [
        &b"{\"model\":\"gpt-a\",\"model\":\"o1\"}"[..],
        b"{\"model\":\"gpt-a\",\"Model\":\"o1\"}",
        b"\xef\xbb\xbf{\"model\":\"gpt-a\"}",
        b"model=o1&x=1",
        b"{\"model\":\"gpt-a\"} {\"model\":\"o1\"}",
        b"{\"n\":1e999}",
        &utf16,
    ] {
        refused(&edge, post(&edge, body.to_vec()), 400, "invalid_body").await;
    }
    refused(&edge, post(&edge, deep), 400, "param_not_allowed").await;
    refused(&edge, post(&edge, "{\"n\":12345678901234567890123}"), 400, "param_not_allowed").await;
    // Whatever the content type says.
    let as_text = edge.post(CHAT).bearer_auth(&edge.token).header("content-type", "text/plain");
    refused(&edge, as_text.body("{\"model\":\"o1\"}"), 400, "param_not_allowed").await;
    let as_form =
        edge.post(CHAT).bearer_auth(&edge.token).header("content-type", "multipart/form-data; boundary=x");
    refused(&edge, as_form.body("{\"model\":\"o1\"}"), 400, "invalid_body").await;
    let packed = post(&edge, "{\"model\":\"o1\"}").header("content-encoding", "gzip");
    refused(&edge, packed, 415, "encoded_body").await;
    let events = events(&edge, 12).await;
    assert!(events.iter().all(|event| event.completion == Completion::Refused && event.attempts.is_empty()));
}

#[tokio::test]
async fn one_value_is_judged_as_the_only_element() {
    let edge = with_parameters(json!([
        {"endpoints": ["/v1/**"], "path": "models[]", "allow": ["gpt-*"]},
        {"endpoints": ["/v1/**"], "path": "messages[].content[].type", "allow": ["text"]},
    ]))
    .await;
    let chat = |models: Value, content: Value| {
        let messages = json!([{"role": "user", "content": content}]);
        post(&edge, json!({"model": "gpt-a", "models": models, "messages": messages}).to_string())
    };
    for models in [json!(["gpt-b"]), json!("gpt-b"), Value::Null] {
        send(chat(models, json!("Hi"))).await.assert_ok();
    }
    for (models, content, param) in [
        (json!("o1"), json!("Hi"), "models[]"),
        (json!({"0": "gpt-b"}), json!("Hi"), "models[]"),
        (json!("gpt-b"), json!({"type": "image_url"}), "messages[].content[].type"),
    ] {
        let reply = refused(&edge, chat(models, content), 400, "param_not_allowed").await;
        assert_eq!(reply.json()["error"]["param"], param);
    }
}

#[tokio::test]
async fn a_model_in_the_path_and_one_in_a_form_are_judged() {
    let edge = with_parameters(json!([
        {"endpoints": ["/**"], "path": "model", "allow": ["gemini-2.5-flash*", "whisper-*"], "required": true},
    ]))
    .await;
    let gemini = |model: &str| {
        let contents = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]});
        edge.post(&format!("/google/v1beta/models/{model}:generateContent"))
            .bearer_auth(&edge.token)
            .json(&contents)
    };
    send(gemini("gemini-2.5-flash")).await.assert_ok();
    let trace = trace();
    send(gemini("gemini-2.5-pro").header(TRACE, &trace)).await.assert_refused(
        400,
        "param_not_allowed",
        Api::Gemini,
    );
    assert!(edge.upstream.seen(&trace).await.is_empty());
    let form = |model: &str| {
        let part = |headers: &str, content: &str| {
            format!("--b\r\nContent-Disposition: form-data; {headers}\r\n\r\n{content}\r\n")
        };
        let sound =
            part("name=\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", &"s".repeat(300_000));
        let body = [sound, part("name=\"model\"", model), "--b--\r\n".to_owned()].concat();
        let request = edge.post(UPLOAD).bearer_auth(&edge.token);
        request.header("content-type", "multipart/form-data; boundary=b").body(body)
    };
    send(form("whisper-1")).await.assert_ok();
    refused(&edge, form("gpt-4o-transcribe"), 400, "param_not_allowed").await;
    let without_body = edge.post(CHAT).bearer_auth(&edge.token);
    refused(&edge, without_body, 400, "param_not_allowed").await;
}

#[tokio::test]
async fn a_body_is_limited_by_the_least_of_all() {
    let edge = start(json!({"max_body_bytes": 3_000}), json!({"max_body_bytes": 2_000}), json!({})).await;
    let of = |length: usize| {
        let body = chat_body("gpt-a", false).to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    send(post(&edge, of(2_000))).await.assert_ok();
    let reply = refused(&edge, post(&edge, of(2_001)), 413, "body_too_large").await;
    assert!(
        reply.text().contains("2000 bytes (`max_body_bytes` of the project's policy)"),
        "{}",
        reply.text()
    );
    let undeclared = |body: String| {
        reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, std::io::Error>(body.into_bytes())]))
    };
    send(post(&edge, undeclared(of(2_000)))).await.assert_ok();
    let reply = send(post(&edge, undeclared(of(2_001)))).await;
    reply.assert_refused(413, "body_too_large", Api::OpenAi);
    assert!(reply.text().contains("2000 bytes"), "{}", reply.text());
}

#[tokio::test]
async fn where_from_and_with_what_is_judged_from_the_head() {
    let edge = start(
        json!({"required_headers": ["x-team"]}),
        json!({"networks": ["10.0.0.0/8", "2001:db8::/32"]}),
        json!({"countries": ["DE"], "endpoints": [{"methods": ["POST"], "path": "/v1/chat/*"}]}),
    )
    .await;
    let ask = |address: &str, country: &str| {
        edge.chat("gpt-a", false).header("cf-connecting-ip", address).header("cf-ipcountry", country)
    };
    send(ask("10.1.2.3", "DE").header("x-team", "a")).await.assert_ok();
    send(ask("2001:db8::7", "DE").header("x-team", "a")).await.assert_ok();
    refused(&edge, ask("10.1.2.3", "DE"), 400, "header_required").await;
    refused(&edge, ask("192.0.2.1", "DE").header("x-team", "a"), 403, "network_not_allowed").await;
    refused(&edge, ask("10.1.2.3", "FR").header("x-team", "a"), 403, "country_not_allowed").await;
    let elsewhere = edge.get("/openai/v1/models/gpt-a").bearer_auth(&edge.token);
    let elsewhere = elsewhere.header("cf-connecting-ip", "10.1.2.3").header("cf-ipcountry", "DE");
    refused(&edge, elsewhere.header("x-team", "a"), 403, "endpoint_not_allowed").await;
}

#[tokio::test]
async fn only_named_headers_go_upstream_and_what_tells_of_the_body() {
    let edge =
        start(json!({}), json!({"forwarded_headers": ["x-*"]}), json!({"forwarded_headers": ["x-a", TRACE]}))
            .await;
    let trace = trace();
    let request = edge.chat("gpt-a", false).header(TRACE, &trace);
    send(request.header("x-a", "1").header("x-b", "1").header("b", "1")).await.assert_ok();
    let headers = edge.upstream.only(&trace).await["headers"].to_string();
    assert!(
        headers.contains("\"x-a\"") && headers.contains("content-type") && headers.contains("authorization"),
        "{headers}"
    );
    assert!(!headers.contains("\"x-b\"") && !headers.contains("\"b\""), "{headers}");
}

#[tokio::test]
async fn pages_of_the_origins_listed_can_call_and_read() {
    let edge = start(json!({}), json!({"origins": ["https://*.example.com"]}), json!({})).await;
    let origin = "https://app.example.com";
    let preflight = |path: &str| {
        call::client()
            .request(reqwest::Method::OPTIONS, edge.workerd.url(path))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
    };
    for path in [CHAT, "/v1/messages"] {
        let reply = send(preflight(path)).await;
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
        assert_eq!(
            reply.header("access-control-allow-headers"),
            Some("authorization,content-type,x-stainless-lang")
        );
        assert_eq!(reply.header("access-control-allow-methods"), Some("POST"));
        assert!(
            reply.header("vary").unwrap().contains("Origin") && reply.header("x-latchkey-error").is_none()
        );
    }
    for is_streamed in [false, true] {
        let trace = trace();
        let reply =
            send(edge.chat("gpt-a", is_streamed).header("origin", origin).header(TRACE, &trace)).await;
        reply.assert_ok();
        assert_eq!(reply.header("access-control-allow-origin"), Some(origin));
        assert_eq!(reply.header("access-control-expose-headers"), Some("*"));
        assert!(reply.header("vary").unwrap().contains("Origin"));
        assert!(!edge.upstream.only(&trace).await["headers"].to_string().contains("\"origin\""));
    }
    let plain = send(edge.chat("gpt-a", false)).await;
    plain.assert_ok();
    assert_eq!((plain.header("access-control-allow-origin"), plain.header("vary")), (None, Some("Origin")));
    let elsewhere = edge.chat("gpt-a", false).header("origin", "https://example.org");
    let reply = refused(&edge, elsewhere, 403, "origin_not_allowed").await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
    // Why a token is refused, a page may know.
    let forged = send(edge.post(CHAT).bearer_auth("sk-lk-x").header("origin", origin)).await;
    forged.assert_refused(401, "malformed_token", Api::OpenAi);
    assert_eq!(forged.header("access-control-allow-origin"), Some(origin));
    // Preflights leave no event.
    let events = events(&edge, 4).await;
    assert!(events.iter().all(|event| event.method == "POST"), "{events:?}");
}

#[tokio::test]
async fn without_a_list_of_origins_no_page_can_read_an_answer() {
    let edge = EdgeStack::warm(60_000).await;
    let reply = send(edge.chat("gpt-a", false).header("origin", "https://app.example.com")).await;
    reply.assert_ok();
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_policy_that_is_not_understood_denies_and_only_where_it_counts() {
    let edge = EdgeStack::empty(1_000).await;
    let mut manifest = edge.manifest(1);
    let unknown = json!({"parameters": [], "budget": {"usd": 5}});
    manifest.delta.providers.as_mut().unwrap().providers[1].policy = Some(carried(unknown));
    edge.publish(&manifest);
    send(edge.chat("gpt-a", false)).await.assert_ok();
    let message =
        json!({"model": "claude-x", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]});
    let anthropic = edge.post("/anthropic/v1/messages").bearer_auth(&edge.token).json(&message);
    send(anthropic).await.assert_refused(503, "snapshot_unavailable", Api::Anthropic);
    // A token whose policy the project does not have is no token without one.
    let mut manifest = edge.manifest(2);
    let record = fixture::record(&world::settled(1), 1, None, false).with_profile(Some(3));
    manifest.delta.tokens = Shard::build(vec![record]);
    edge.publish(&manifest);
    until("the isolate has the second manifest", async || {
        send(edge.chat("gpt-a", false)).await.header("x-latchkey-error") == Some("snapshot_unavailable")
    })
    .await;
}
