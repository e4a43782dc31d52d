//! The error table: what is refused before anything goes upstream.

use latchkey_tests::edge::call::{Reply, send};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{EdgeStack, MODEL, raw, shared, until, world};
use latchkey_tests::fixture;
use shared::provider::Api;
use shared::token::PREFIX;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const MAX_BODY: usize = 100 * 1024 * 1024;

#[tokio::test]
async fn a_request_without_a_token_is_told_where_to_put_one() {
    let edge = shared();
    let reply = send(edge.get(MODEL)).await;
    reply.assert_refused(401, "missing_token", Api::OpenAi);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
    assert!(reply.message().contains("Authorization: Bearer"), "{}", reply.message());
    send(edge.get(MODEL).header("x-api-key", "")).await.assert_refused(401, "missing_token", Api::OpenAi);
}

#[tokio::test]
async fn each_reason_why_a_token_is_not_valid_has_its_code() {
    let edge = shared();
    let unknown = fixture::text(&world::settled(99));
    for (token, code) in [
        ("sk-proj-of-another-vendor", "malformed_token"),
        (unknown.as_str(), "invalid_token"),
        (edge.tokens.expired.as_str(), "token_expired"),
        (edge.tokens.revoked.as_str(), "token_revoked"),
        (edge.tokens.before_bulk_revocation.as_str(), "token_revoked"),
    ] {
        edge.ask(token).await.assert_refused(401, code, Api::OpenAi);
    }
    edge.ask(&edge.tokens.after_bulk_revocation).await.assert_ok();
}

#[tokio::test]
async fn that_a_token_is_revoked_or_expired_is_said_only_to_who_has_its_secret() {
    let edge = shared();
    for seed in [1, 2, 3, 5] {
        let guess = fixture::text(&world::with_other_secret(&world::settled(seed)));
        edge.ask(&guess).await.assert_refused(401, "invalid_token", Api::OpenAi);
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_refused_with_a_hint_and_not_forwarded() {
    let edge = shared();
    let trace = trace();
    let token = &edge.tokens.valid;
    let encoded = token.replace(PREFIX, "%73k%2Dlk-");
    for query in [format!("key={token}"), format!("access_token={token}"), format!("a=b&x={encoded}")] {
        let request = edge.get(&format!("{MODEL}?{query}")).header(TRACE, &trace);
        let reply = send(request).await;
        reply.assert_refused(400, "key_in_query", Api::OpenAi);
        assert!(reply.message().contains("header"), "{}", reply.message());
        let with_header = edge.get(&format!("{MODEL}?{query}")).bearer_auth(token).header(TRACE, &trace);
        send(with_header).await.assert_refused(400, "key_in_query", Api::OpenAi);
    }
    assert!(edge.upstream.seen(&trace).await.is_empty());
}

#[tokio::test]
async fn another_key_in_the_query_is_not_forwarded_either() {
    let edge = shared();
    let trace = trace();
    let path = format!("{MODEL}?a=1&key=AIza-guess&access_token=x&%6Bey=y&_method=DELETE&b=2");
    send(edge.get(&path).bearer_auth(&edge.tokens.valid).header(TRACE, &trace)).await.assert_ok();
    assert_eq!(edge.upstream.only(&trace).await["path"], "/v1/models/gpt-example?a=1&b=2");
}

#[tokio::test]
async fn a_token_of_an_inactive_project_is_refused() {
    let edge = shared();
    edge.ask(&edge.tokens.of_inactive_project).await.assert_refused(403, "project_inactive", Api::OpenAi);
}

#[tokio::test]
async fn providers_endpoints_and_methods_that_are_not_allowed_are_refused() {
    let edge = shared();
    let trace = trace();
    let ask = async |method: &str, path: &str| -> Reply {
        let method = method.parse().unwrap();
        let request = latchkey_tests::edge::call::client().request(method, edge.workerd.url(path));
        send(request.bearer_auth(&edge.tokens.valid).header(TRACE, &trace)).await
    };
    for path in ["/nobody/v1/models/x", "/", "/nobody"] {
        ask("GET", path).await.assert_refused(404, "unknown_provider", Api::OpenAi);
    }
    for path in ["/openai/v1/files", "/openai/", "/openai", "/v1/files", "/openai/v1/chat/completions/x"] {
        ask("POST", path).await.assert_refused(403, "endpoint_not_allowed", Api::OpenAi);
    }
    let reply = ask("DELETE", "/openai/_fault/headers").await;
    reply.assert_refused(405, "method_not_allowed", Api::OpenAi);
    assert_eq!(reply.header("allow"), Some("GET, POST"));
    assert!(edge.upstream.seen(&trace).await.is_empty());
}

#[tokio::test]
async fn every_api_gets_refusals_in_its_own_shape() {
    let edge = shared();
    for (path, api) in [
        ("/openai/v1/chat/completions", Api::OpenAi),
        ("/anthropic/v1/messages", Api::Anthropic),
        ("/google/v1beta/models/m:generateContent", Api::Gemini),
        ("/v1/chat/completions", Api::OpenAi),
        ("/v1/messages", Api::Anthropic),
        ("/v1/messages/count_tokens", Api::Anthropic),
        ("/slow-anthropic/v1/messages", Api::Anthropic),
    ] {
        send(edge.post(path)).await.assert_refused(401, "missing_token", api);
        let expired = send(edge.post(path).header("x-api-key", &edge.tokens.expired)).await;
        expired.assert_refused(401, "token_expired", api);
        let inactive = send(edge.post(path).header("x-goog-api-key", &edge.tokens.of_inactive_project)).await;
        inactive.assert_refused(403, "project_inactive", api);
    }
    let with_version = edge.get("/v1/models/x").header("anthropic-version", "2023-06-01");
    send(with_version).await.assert_refused(401, "missing_token", Api::Anthropic);
}

#[tokio::test]
async fn an_upgrade_is_not_supported() {
    let edge = shared();
    let (address, token) = (edge.workerd.address(), &edge.tokens.valid);
    for upgrade in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    ] {
        let request =
            format!("GET {MODEL} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {token}\r\n{upgrade}\r\n\r\n");
        let reply = raw::exchange(address, request.as_bytes()).await;
        reply.assert_refused(501, "upgrade_not_supported", Api::OpenAi);
    }
}

#[tokio::test]
async fn a_body_announced_too_large_is_refused_before_it_is_sent() {
    let edge = shared();
    let trace = trace();
    let request = format!(
        "POST /openai/v1/audio/transcriptions HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n\
         {TRACE}: {trace}\r\nContent-Length: {}\r\n\r\n",
        edge.tokens.valid,
        MAX_BODY + 1
    );
    let reply = raw::exchange(edge.workerd.address(), request.as_bytes()).await;
    reply.assert_refused(413, "body_too_large", Api::OpenAi);
    assert!(edge.upstream.seen(&trace).await.is_empty());
}

#[tokio::test]
async fn a_chunked_body_is_refused_once_it_has_grown_too_large() {
    let edge = shared();
    let trace = trace();
    let mut connection = TcpStream::connect(edge.workerd.address()).await.unwrap();
    let head = format!(
        "POST /openai/v1/audio/transcriptions HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {}\r\n\
         {TRACE}: {trace}\r\nTransfer-Encoding: chunked\r\n\r\n",
        edge.tokens.valid
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = connection.into_split();
    let mut chunk = b"10000\r\n".to_vec();
    chunk.resize(chunk.len() + 0x1_0000, 7);
    chunk.extend(b"\r\n");
    let write = tokio::spawn(async move {
        for _ in 0..=MAX_BODY / 0x1_0000 {
            if writing.write_all(&chunk).await.is_err() {
                break;
            }
        }
        // Never ended: the length alone must be enough.
        tokio::time::sleep(Duration::from_secs(20)).await;
    });
    let reply = raw::read_reply(&mut reading).await;
    write.abort();
    reply.assert_refused(413, "body_too_large", Api::OpenAi);
    until("the upstream sees the upload end", async || {
        edge.upstream.only(&trace).await["outcome"] != "in_progress"
    })
    .await;
    let entry = edge.upstream.only(&trace).await;
    assert!(entry["status"] != 200, "the upstream took a part for the whole: {entry}");
}

#[tokio::test]
async fn without_a_snapshot_everything_is_refused_for_a_while() {
    let edge = EdgeStack::empty(1_000).await;
    for (path, api) in [
        (MODEL, Api::OpenAi),
        ("/anthropic/v1/messages", Api::Anthropic),
        ("/google/v1beta/models/m:generateContent", Api::Gemini),
    ] {
        let reply = send(edge.get(path).bearer_auth(&edge.token)).await;
        reply.assert_refused(503, "snapshot_unavailable", api);
        assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    }
}
