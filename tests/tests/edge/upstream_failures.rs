//! What a client sees when the upstream cannot be used, fails, or refuses.

use latchkey_tests::edge::call::{client, send};
use latchkey_tests::edge::shared;
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::fixture::UPSTREAM_KEY;
use shared::provider::Api;
use std::time::{Duration, Instant};

#[tokio::test]
async fn without_a_usable_credential_the_upstream_is_unavailable() {
    let edge = shared();
    for token in [
        &edge.tokens.of_project_without_credentials,
        &edge.tokens.of_project_with_another_origins_credential,
        &edge.tokens.of_project_with_another_projects_credential,
    ] {
        let reply = edge.ask(token).await;
        reply.assert_refused(503, "upstream_unavailable", Api::OpenAi);
        assert!(reply.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_an_error() {
    let edge = shared();
    for provider in ["down", "no-tls"] {
        let path = format!("/{provider}/v1/models/x");
        let reply = send(edge.get(&path).bearer_auth(&edge.tokens.valid)).await;
        reply.assert_refused(502, "upstream_error", Api::OpenAi);
        let upload = edge.post(&format!("/{provider}/v1/audio/transcriptions")).body(vec![7; 1_000_000]);
        send(upload.bearer_auth(&edge.tokens.valid)).await.assert_refused(502, "upstream_error", Api::OpenAi);
    }
}

#[tokio::test]
async fn a_redirect_is_neither_followed_nor_told() {
    let edge = shared();
    let trace = trace();
    let redirected =
        edge.get("/openai/_fault/redirect").bearer_auth(&edge.tokens.valid).header(TRACE, &trace);
    let reply = send(redirected).await;
    reply.assert_refused(502, "upstream_error", Api::OpenAi);
    assert_eq!(reply.header("location"), None);
    assert_eq!(edge.upstream.only(&trace).await["path"], "/_fault/redirect");
    assert!(edge.upstream.log().await.iter().all(|entry| entry["path"] != "/_control/redirected"));
}

#[tokio::test]
async fn what_the_platform_says_of_an_upstream_is_an_error_of_the_upstream() {
    let edge = shared();
    for status in [520, 522, 526, 530] {
        let reply =
            send(edge.get(&format!("/openai/_fault/status/{status}")).bearer_auth(&edge.tokens.valid)).await;
        reply.assert_refused(502, "upstream_error", Api::OpenAi);
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_begin_to_answer_is_given_up() {
    let edge = shared();
    let trace = trace();
    let began = Instant::now();
    let silent =
        edge.get("/slow/_fault/silent?ms=5000").bearer_auth(&edge.tokens.valid).header(TRACE, &trace);
    send(silent).await.assert_refused(504, "upstream_timeout", Api::OpenAi);
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(3));
    edge.upstream.ended(&trace, "client_gone").await;
    let body = serde_json::json!({"model": "m+fault=silent:5000", "max_tokens": 5,
        "messages": [{"role": "user", "content": "hello"}]});
    let silent = edge.post("/slow-anthropic/v1/messages").header("x-api-key", &edge.tokens.valid).json(&body);
    send(silent.header("anthropic-version", "2023-06-01")).await.assert_refused(
        504,
        "upstream_timeout",
        Api::Anthropic,
    );
}

#[tokio::test]
async fn an_answer_that_has_begun_may_take_longer_than_its_first_byte() {
    let edge = shared();
    let body = latchkey_tests::edge::chat_body("gpt-example+chunks=12,pace=50", true);
    let reply =
        send(edge.post("/slow/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body)).await;
    reply.assert_ok();
    assert!(reply.text().contains("[DONE]"), "{}", reply.text());
}

#[tokio::test]
async fn an_upstreams_own_error_passes_through_unchanged() {
    let edge = shared();
    for status in [400, 401, 403, 404, 413, 429, 500, 503, 504, 529] {
        for (path, header, value) in [
            ("/v1/chat/completions", "authorization", format!("Bearer {UPSTREAM_KEY}")),
            ("/v1/messages", "x-api-key", UPSTREAM_KEY.to_owned()),
        ] {
            let body = serde_json::json!({"model": format!("m+fault=status:{status}"), "max_tokens": 5,
                "messages": [{"role": "user", "content": "hello"}]});
            let direct =
                client().post(format!("{}{path}", edge.upstream.url())).json(&body).header(header, value);
            let direct = direct.header("anthropic-version", "2023-06-01").send().await.unwrap();
            let provider = if header == "x-api-key" { "anthropic" } else { "openai" };
            let request =
                edge.post(&format!("/{provider}{path}")).bearer_auth(&edge.tokens.valid).json(&body);
            let reply = send(request.header("anthropic-version", "2023-06-01")).await;
            assert_eq!((reply.status, reply.code()), (status, None), "{}", reply.text());
            assert_eq!(reply.status, direct.status().as_u16());
            for name in ["retry-after", "content-type"] {
                assert_eq!(reply.headers.get(name), direct.headers().get(name), "{name}");
            }
            assert_eq!(reply.header("retry-after"), Some("7"));
            assert_eq!(reply.body, direct.bytes().await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_slow_upload_is_not_the_upstreams_silence() {
    let edge = shared();
    let pieces = futures_util::stream::unfold(0, async |n| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        (n < 20).then(|| (Ok::<_, std::convert::Infallible>(vec![7_u8; 1_000]), n + 1))
    });
    let request = edge.post("/slow/v1/audio/transcriptions").bearer_auth(&edge.tokens.valid);
    let reply = send(request.body(reqwest::Body::wrap_stream(Box::pin(pieces)))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// It need not read a body to know that it does not want it.
#[tokio::test]
async fn an_upstream_that_answers_before_it_has_read_the_body_keeps_its_answer() {
    let edge = shared();
    for _ in 0..5 {
        let request = edge.post("/openai/_fault/status/422").bearer_auth(&edge.tokens.valid);
        let reply = send(request.body(vec![b'x'; 8 * 1024 * 1024])).await;
        assert_eq!((reply.status, reply.code()), (422, None), "{}", reply.text());
        assert!(reply.text().contains("\"error\""), "{}", reply.text());
    }
}
