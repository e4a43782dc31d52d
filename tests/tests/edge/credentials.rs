//! Where a token may be put, and what happens to one that was mistyped.

use latchkey_tests::edge::call::send;
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{MODEL, raw, shared};
use latchkey_tests::fixture::UPSTREAM_KEY;
use shared::provider::Api;

#[tokio::test]
async fn the_token_works_where_each_sdk_puts_its_key() {
    let edge = shared();
    let token = &edge.tokens.valid;
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("bearer   {token}")),
        ("x-api-key", token.clone()),
        ("api-key", token.clone()),
        ("x-goog-api-key", token.clone()),
    ] {
        let trace = trace();
        send(edge.get(MODEL).header(name, &value).header(TRACE, &trace)).await.assert_ok();
        assert_eq!(edge.upstream.only(&trace).await["credential"], UPSTREAM_KEY, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_same_credential_in_two_headers_is_one() {
    let edge = shared();
    let token = &edge.tokens.valid;
    send(edge.get(MODEL).bearer_auth(token).header("x-api-key", token)).await.assert_ok();
    let all = edge.get(MODEL).bearer_auth(token).header("x-api-key", token).header("api-key", token);
    send(all.header("x-goog-api-key", token)).await.assert_ok();
}

#[tokio::test]
async fn two_different_credentials_are_a_conflict_whichever_is_good() {
    let edge = shared();
    let (token, other) = (&edge.tokens.valid, &edge.tokens.after_bulk_revocation);
    for second in [other.as_str(), "sk-proj-a-real-key", ""] {
        let reply = send(edge.get(MODEL).bearer_auth(token).header("x-api-key", second)).await;
        reply.assert_refused(400, "conflicting_credentials", Api::OpenAi);
        let reply = send(edge.get(MODEL).header("api-key", second).header("x-goog-api-key", token)).await;
        reply.assert_refused(400, "conflicting_credentials", Api::OpenAi);
    }
}

/// A header sent twice reaches the worker as one, joined by a comma.
#[tokio::test]
async fn two_different_credentials_in_one_header_are_a_conflict() {
    let edge = shared();
    let (token, other) = (&edge.tokens.valid, &edge.tokens.after_bulk_revocation);
    let request = format!(
        "GET {MODEL} HTTP/1.1\r\nHost: e\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer {other}\r\n\r\n"
    );
    let reply = raw::exchange(edge.workerd.address(), request.as_bytes()).await;
    reply.assert_refused(400, "conflicting_credentials", Api::OpenAi);
}

#[tokio::test]
async fn another_scheme_than_bearer_is_refused() {
    let edge = shared();
    for value in [format!("Basic {}", edge.tokens.valid), edge.tokens.valid.clone(), "Bearer a b".to_owned()]
    {
        let reply = send(edge.get(MODEL).header("authorization", value)).await;
        reply.assert_refused(401, "malformed_token", Api::OpenAi);
    }
}

#[tokio::test]
async fn a_token_with_any_character_changed_is_malformed() {
    let edge = shared();
    let token = &edge.tokens.valid;
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(changed).unwrap();
        edge.ask(&changed).await.assert_refused(401, "malformed_token", Api::OpenAi);
    }
}

#[tokio::test]
async fn a_token_cut_short_or_lengthened_is_malformed() {
    let edge = shared();
    let token = &edge.tokens.valid;
    for length in (1..token.len()).step_by(7).chain([token.len() - 1]) {
        edge.ask(&token[..length]).await.assert_refused(401, "malformed_token", Api::OpenAi);
    }
    for longer in
        [format!("{token}x"), format!("x{token}"), token.repeat(2), "sk-lk-".to_owned(), token.repeat(50)]
    {
        edge.ask(&longer).await.assert_refused(401, "malformed_token", Api::OpenAi);
    }
}

#[tokio::test]
async fn a_token_with_unicode_or_bare_bytes_is_malformed() {
    let edge = shared();
    let token = &edge.tokens.valid;
    for bytes in [
        token.replace('-', "\u{2011}").into_bytes(),
        token.replacen(|c: char| c.is_ascii_digit(), "\u{0661}", 1).into_bytes(),
        format!("{token}\u{200b}").into_bytes(),
        "sk-lk-\u{1f511}".as_bytes().to_vec(),
        [token.as_bytes(), &[0xff, 0xfe, 0x80]].concat(),
    ] {
        let value = [b"Bearer ", bytes.as_slice()].concat();
        let value = reqwest::header::HeaderValue::from_bytes(&value).unwrap();
        let reply = send(edge.get(MODEL).header("authorization", value)).await;
        reply.assert_refused(401, "malformed_token", Api::OpenAi);
    }
}
