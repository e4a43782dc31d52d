use serde_json::{Value, json};

use crate::harness::{Upstream, events, joined, types};

#[tokio::test]
async fn messages_plain() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "claude-example", "max_tokens": 100, "system": "Be kind.",
        "messages": [{"role": "user", "content": "good morning"}]});
    let response = upstream.anthropic(&body).await;
    assert_eq!(response.headers()["request-id"], "req_00000001");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(answer["usage"]["input_tokens"], 4);
    let text = answer["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("good morning"));
    assert_eq!(answer["usage"]["output_tokens"], text.split_whitespace().count());
}

#[tokio::test]
async fn messages_streamed() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "claude-example", "max_tokens": 3, "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
    let response = upstream.anthropic(&body).await;
    let events = events(&response.text().await.unwrap());
    assert_eq!(
        types(&events),
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
    );
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 1);
    assert_eq!(joined(&events, "/delta/text"), "Hello! You said:");
    let last = &events[events.len() - 2];
    assert_eq!(last["delta"]["stop_reason"], "max_tokens");
    assert_eq!(last["usage"]["output_tokens"], 3);
}

#[tokio::test]
async fn models() {
    let upstream = Upstream::start().await;
    let get = async |path| {
        let request = upstream.get(path).header("x-api-key", "k").header("anthropic-version", "2023-06-01");
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let list = get("/v1/models").await;
    assert_eq!(list["has_more"], false);
    assert_eq!(list["data"][0]["type"], "model");
    assert_eq!(get("/v1/models/any-name").await["id"], "any-name");
}

#[tokio::test]
async fn errors() {
    let upstream = Upstream::start().await;
    let send = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["type"], "error");
        (status, body["error"]["type"].as_str().unwrap().to_owned())
    };
    let messages = || upstream.post("/v1/messages").body("{}");
    let version = ("anthropic-version", "2023-06-01");
    let cases = [
        (messages(), 401, "authentication_error"),
        (messages().bearer_auth("k").header(version.0, version.1), 401, "authentication_error"),
        (messages().header("x-api-key", "k"), 400, "invalid_request_error"),
        (messages().header("x-api-key", "k").header(version.0, version.1), 400, "invalid_request_error"),
        (upstream.post("/v1/nothing").header(version.0, version.1), 404, "not_found_error"),
    ];
    for (request, status, kind) in cases {
        assert_eq!(send(request).await, (status, kind.to_owned()));
    }
}
