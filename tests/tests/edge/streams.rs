//! A streamed answer arrives as it is made, byte for byte.

use latchkey_tests::edge::call::{client, send};
use latchkey_tests::edge::upstream::{TRACE, trace};
use latchkey_tests::edge::{chat_body, shared};
use latchkey_tests::fixture::UPSTREAM_KEY;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn chunks_arrive_as_they_are_sent() {
    let edge = shared();
    let trace = trace();
    let body = chat_body("gpt-example+chunks=20,pace=50", true);
    let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
    let mut response = request.header(TRACE, &trace).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let mut arrivals = Vec::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        arrivals.push((Instant::now(), chunk));
    }
    let span = arrivals.last().unwrap().0 - arrivals[0].0;
    assert!(span > Duration::from_millis(700), "all came within {span:?}");
    assert!(arrivals.len() >= 15, "20 events came in {} pieces", arrivals.len());
    assert_eq!(edge.upstream.only(&trace).await["outcome"], "complete");
}

#[tokio::test]
async fn streams_and_plain_answers_are_the_upstreams_byte_for_byte() {
    let edge = shared();
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "Which key?"}]}]});
    let mut anthropic = chat_body("claude-example+chunks=300", true);
    anthropic["max_tokens"] = json!(1_000);
    // Otherwise the edge would ask for the usage, and get a chunk more.
    let mut chat = chat_body("m+chunks=2000", true);
    chat["stream_options"] = json!({"include_usage": true});
    let bearer = format!("Bearer {UPSTREAM_KEY}");
    for (provider, path, name, value, body) in [
        ("openai", "/v1/chat/completions", "authorization", bearer.as_str(), chat),
        ("openai", "/v1/chat/completions", "authorization", &bearer, chat_body("m", false)),
        ("anthropic", "/v1/messages", "x-api-key", UPSTREAM_KEY, anthropic),
        ("google", "/v1beta/models/m:generateContent?alt=json", "x-goog-api-key", UPSTREAM_KEY, gemini),
    ] {
        let direct = client().post(format!("{}{path}", edge.upstream.url())).header(name, value).json(&body);
        let direct = direct.header("anthropic-version", "2023-06-01").send().await.unwrap();
        assert_eq!(direct.status(), 200);
        let request = edge.post(&format!("/{provider}{path}")).header(name, value).json(&body);
        let request = request.header(name, value.replace(UPSTREAM_KEY, &edge.tokens.valid));
        let mut request = request.header("anthropic-version", "2023-06-01").build().unwrap();
        let token = value.replace(UPSTREAM_KEY, &edge.tokens.valid).parse().unwrap();
        request.headers_mut().insert(name, token);
        let through = client().execute(request).await.unwrap();
        assert_eq!(through.status(), 200);
        assert_eq!(through.headers()["content-type"], direct.headers()["content-type"]);
        assert_eq!(through.bytes().await.unwrap(), direct.bytes().await.unwrap(), "{provider}{path}");
    }
}

/// The client must notice: an end as if complete would be a lie.
#[tokio::test]
async fn an_answer_that_breaks_off_does_not_end_as_if_complete() {
    let edge = shared();
    for is_streamed in [true, false] {
        let body = chat_body("gpt-example+fault=cut", is_streamed);
        let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let read = response.bytes().await;
        let is_told = |body: &[u8]| {
            let text = String::from_utf8_lossy(body);
            text.trim_end().rsplit("\n\n").next().unwrap().starts_with("data: {\"error\"")
        };
        assert!(read.as_ref().map_or(!is_streamed, |body| is_streamed && is_told(body)), "{read:?}");
    }
}

#[tokio::test]
async fn many_streams_at_once_do_not_mix() {
    let edge = shared();
    let ask = async |words: usize| {
        let body = chat_body(&format!("m{words}+chunks={words},pace=2"), true);
        let request = edge.post("/openai/v1/chat/completions").bearer_auth(&edge.tokens.valid).json(&body);
        let reply = send(request).await;
        reply.assert_ok();
        let name = format!("\"m{words}\"");
        let events = reply
            .text()
            .lines()
            .filter(|line| line.starts_with("data: {"))
            .map(str::to_owned)
            .collect::<Vec<_>>();
        assert!(events.len() >= words && events.iter().all(|event| event.contains(&name)));
    };
    futures_util::future::join_all((20..40).map(ask)).await;
}
