//! What of a client's headers reaches the upstream.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{MODEL, raw, shared};
use latchkey_tests::fixture::UPSTREAM_KEY;
use serde_json::{Value, json};
use shared::header;

#[tokio::test]
async fn headers_that_must_not_pass_stay_behind() {
    let edge = shared();
    let trace = trace();
    let withheld = [
        "cookie",
        "cf-connecting-ip",
        "cf-ipcountry",
        "cf-ray",
        "cf-foo",
        "cdn-loop",
        "true-client-ip",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-anything",
        "forwarded",
        "x-real-ip",
        "te",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "openai-organization",
        "openai-project",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-latchkey-foo",
        "x-latchkey-request-id",
        "x-latchkey-signature",
    ];
    let request = withheld.iter().fold(edge.get(MODEL), |request, name| request.header(*name, "client-sent"));
    send(request.bearer_auth(&edge.tokens.valid).header(TRACE, &trace)).await.assert_ok();
    let headers = edge.upstream.only(&trace).await["headers"].clone();
    for name in withheld {
        assert!(!headers[name].to_string().contains("client-sent"), "{name}: {headers}");
    }
}

/// By hand, since a client library keeps `Connection` to itself.
#[tokio::test]
async fn headers_nominated_by_connection_stay_behind() {
    let edge = shared();
    let trace = trace();
    let request = format!(
        "GET {MODEL} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n{TRACE}: {trace}\r\n\
         Connection: keep-alive, X-Hop\r\nConnection: x-second\r\nX-Hop: 1\r\nX-Second: 1\r\nX-Other: 1\r\n\r\n",
        edge.tokens.valid
    );
    assert_eq!(raw::exchange(edge.workerd.address(), request.as_bytes()).await.status, 200);
    let headers = edge.upstream.only(&trace).await["headers"].clone();
    assert_eq!(headers["x-other"][0], "1");
    assert_eq!((&headers["x-hop"], &headers["x-second"]), (&Value::Null, &Value::Null), "{headers}");
}

#[tokio::test]
async fn ordinary_headers_pass() {
    let edge = shared();
    let trace = trace();
    let passed = [
        ("accept", "text/event-stream"),
        ("user-agent", "some-sdk/1.0"),
        ("content-type", "application/json; charset=utf-8"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a,b"),
        ("openai-beta", "assistants=v2"),
        ("x-stainless-retry-count", "1"),
        ("x-goog-api-client", "gl-node/24"),
        ("idempotency-key", "i-1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-custom", "\u{fc}ber"),
    ];
    let request = passed
        .iter()
        .fold(edge.get("/openai/_fault/headers"), |request, (name, value)| request.header(*name, *value));
    send(request.bearer_auth(&edge.tokens.valid).header(TRACE, &trace)).await.assert_ok();
    let headers = edge.upstream.only(&trace).await["headers"].clone();
    for (name, value) in passed {
        assert_eq!(headers[name], json!([value]), "{name}");
    }
}

#[tokio::test]
async fn a_provider_may_allow_account_selectors() {
    let edge = shared();
    let trace = trace();
    let request = edge.get("/configured/v1/models/m").bearer_auth(&edge.tokens.valid).header(TRACE, &trace);
    send(request.header("openai-project", "p").header("openai-organization", "o")).await.assert_ok();
    let headers = edge.upstream.only(&trace).await["headers"].clone();
    assert_eq!(headers["openai-project"], json!(["p"]));
    assert_eq!(headers["openai-organization"], Value::Null);
}

#[tokio::test]
async fn a_providers_default_headers_replace_the_clients() {
    let edge = shared();
    let trace = trace();
    let request = edge.get("/configured/v1/models/m").bearer_auth(&edge.tokens.valid).header(TRACE, &trace);
    send(request.header("openai-beta", "theirs").header("openai-beta", "twice")).await.assert_ok();
    let headers = edge.upstream.only(&trace).await["headers"].clone();
    assert_eq!(headers["x-default"], json!(["ours"]));
    assert_eq!(headers["openai-beta"], json!(["ours"]));
}

#[tokio::test]
async fn the_upstream_gets_its_own_credential_and_no_other() {
    let edge = shared();
    let token = &edge.tokens.valid;
    for (path, name, expected) in [
        ("/openai/v1/chat/completions", "authorization", format!("Bearer {UPSTREAM_KEY}")),
        ("/anthropic/v1/messages", "x-api-key", UPSTREAM_KEY.to_owned()),
        ("/google/v1beta/models/m:generateContent", "x-goog-api-key", UPSTREAM_KEY.to_owned()),
    ] {
        let trace = trace();
        let request = header::CREDENTIALS
            .into_iter()
            .filter(|name| *name != "authorization")
            .fold(edge.post(path).bearer_auth(token), |request, name| request.header(name, token));
        send(request.header(TRACE, &trace).body("{}")).await;
        let headers = edge.upstream.only(&trace).await["headers"].clone();
        for other in header::CREDENTIALS {
            let value = if other == name { json!([expected]) } else { Value::Null };
            assert_eq!(headers[other], value, "{other} at {path}");
        }
        assert!(!headers.to_string().contains(&token[6..]), "{headers}");
    }
}
