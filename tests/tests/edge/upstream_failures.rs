//! What a client sees when the upstream cannot be used, fails, or refuses.

use latchkey_tests::edge::call::{client, send};
use latchkey_tests::edge::shared;
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::fixture::UPSTREAM_KEY;
use shared::event::{Completion, Outcome};
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
async fn what_the_platform_says_of_an_upstream_is_told_from_what_it_says_itself() {
    let edge = shared();
    for status in [520, 522, 526, 530] {
        let ask = async |whose: &str| {
            let path = format!("/openai/_fault/{whose}/{status}");
            let reply = send(edge.get(&path).bearer_auth(&edge.tokens.valid)).await;
            let event = edge.events.of(reply.header("x-latchkey-request-id").unwrap()).await;
            (reply, event)
        };
        let (reply, event) = ask("platform").await;
        reply.assert_refused(502, "upstream_error", Api::OpenAi);
        assert_eq!((event.status, event.error_code.as_deref()), (502, Some("upstream_error")));
        assert_eq!((event.completion, event.first_byte_at), (Completion::Refused, None));
        assert_eq!((event.attempts[0].outcome, event.attempts[0].status), (Outcome::Unreachable, None));

        let (reply, event) = ask("status").await;
        let direct = client().get(format!("{}/_fault/status/{status}", edge.upstream.url())).send();
        let direct = direct.await.unwrap();
        assert_eq!((reply.status, reply.code()), (status, None), "{}", reply.text());
        for name in ["retry-after", "content-type", "content-length"] {
            assert_eq!(reply.headers.get(name), direct.headers().get(name), "{name}");
        }
        assert_eq!(reply.body, direct.bytes().await.unwrap());
        assert_eq!((event.status, event.completion, event.error_code), (status, Completion::Complete, None));
        assert_eq!(event.bytes_out, reply.body.len() as u64);
        let outcome = (event.attempts[0].outcome, event.attempts[0].status);
        assert_eq!(outcome, (Outcome::Answered, Some(status)));
    }
}

/// By the form of the body, whatever its content type.
#[tokio::test]
async fn an_error_in_a_providers_form_is_its_own() {
    let edge = shared();
    let large = format!(r#"{{"error":{{"message":"{}"}}}}"#, "m".repeat(64 * 1024));
    for (body, is_own) in [
        ("<!DOCTYPE html><title>522: Connection timed out</title>", false),
        (r#"{"type":"about:blank","title":"Error 522","status":522,"error_code":522}"#, false),
        (r#"{"message":"no such origin","error":null}"#, false),
        ("522", false),
        ("null", false),
        ("", false),
        (r#"{"error":{"message":"broken o"#, false),
        (&large, false),
        (r#"{"error":"overloaded"}"#, true),
        (r#"{"type":"error","error":{"type":"api_error","message":"overloaded"}}"#, true),
        (r#"[{"error":{"code":522,"message":"overloaded","status":"INTERNAL"}}]"#, true),
    ] {
        let request = edge.post("/odd/_fault/522").bearer_auth(&edge.tokens.valid);
        let reply = send(request.body(body.to_owned())).await;
        if is_own {
            assert_eq!((reply.status, reply.code(), reply.text()), (522, None, body.to_owned()));
        } else {
            reply.assert_refused(502, "upstream_error", Api::OpenAi);
        }
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
