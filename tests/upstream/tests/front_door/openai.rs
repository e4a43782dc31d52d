use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Upstream, content_type, events, joined, types};

#[tokio::test]
async fn chat_plain() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "gpt-example+pace=0", "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "good morning"}]},
    ]});
    let response = upstream.openai("/v1/chat/completions", &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("content-length"));
    assert_eq!(response.headers()["x-request-id"], "req_00000001");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "gpt-example");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("You said: \"good morning\""));
    assert_eq!(answer["usage"]["prompt_tokens"], 4);
    assert_eq!(answer["usage"]["completion_tokens"], text.split_whitespace().count());

    let again: Value = upstream.openai("/v1/chat/completions", &body).await.json().await.unwrap();
    assert_eq!(answer, again, "the same request has the same answer");
}

#[tokio::test]
async fn chat_streamed() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "gpt-example+chunks=30", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": "hi"}]});
    let response = upstream.openai("/v1/chat/completions", &body).await;
    assert_eq!(content_type(&response), "text/event-stream; charset=utf-8");
    let body = response.text().await.unwrap();
    assert!(body.ends_with("data: [DONE]\n\n"));
    let events = events(&body);
    assert_eq!(events.len(), 30 + 3);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(events[0]["usage"], Value::Null);
    assert!(joined(&events, "/choices/0/delta/content").starts_with("Hello! You said: \"hi\"."));
    assert_eq!(events[31]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[32]["choices"], json!([]));
    assert_eq!(events[32]["usage"]["completion_tokens"], 30);
}

#[tokio::test]
async fn chat_streams_no_usage_unless_asked_and_keeps_to_the_token_limit() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "m", "stream": true, "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]});
    let response = upstream.openai("/v1/chat/completions", &body).await;
    let events = events(&response.text().await.unwrap());
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    assert_eq!(joined(&events, "/choices/0/delta/content"), "Hello! You");
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn completions() {
    let upstream = Upstream::start().await;
    let mut body = json!({"model": "gpt-example+chunks=5", "prompt": "good morning"});
    let answer: Value = upstream.openai("/v1/completions", &body).await.json().await.unwrap();
    assert_eq!(
        (&answer["object"], &answer["usage"]["prompt_tokens"]),
        (&json!("text_completion"), &json!(2))
    );
    body["stream"] = json!(true);
    let unasked = upstream.openai("/v1/completions", &body).await.text().await.unwrap();
    assert!(events(&unasked).iter().all(|event| event["usage"] == Value::Null));
    body["stream_options"] = json!({"include_usage": true});
    let streamed = upstream.openai("/v1/completions", &body).await.text().await.unwrap();
    assert!(streamed.ends_with("data: [DONE]\n\n"));
    let events = events(&streamed);
    assert_eq!(joined(&events, "/choices/0/text"), answer["choices"][0]["text"].as_str().unwrap());
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 5);
    assert_eq!(upstream.log().await.last().unwrap()["output_tokens"], 5);
}

#[tokio::test]
async fn responses_plain() {
    let upstream = Upstream::start().await;
    let body = json!({"model": "gpt-example", "input": [
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {"role": "user", "content": [{"type": "input_text", "text": "hi there"}]},
    ]});
    let answer: Value = upstream.openai("/v1/responses", &body).await.json().await.unwrap();
    assert_eq!(answer["object"], "response");
    assert_eq!(answer["status"], "completed");
    let part = &answer["output"][0]["content"][0];
    assert_eq!(part["type"], "output_text");
    assert!(part["text"].as_str().unwrap().contains("\"hi there\""));
    assert_eq!(answer["usage"]["input_tokens"], 2);

    let body = json!({"model": "gpt-example", "input": "hi", "max_output_tokens": 1});
    let answer: Value = upstream.openai("/v1/responses", &body).await.json().await.unwrap();
    assert_eq!(answer["status"], "incomplete");
    assert_eq!(answer["incomplete_details"]["reason"], "max_output_tokens");
}

#[tokio::test]
async fn responses_streamed() {
    let upstream = Upstream::start().await;
    let body =
        json!({"model": "gpt-example+chunks=12", "stream": true, "instructions": "Be kind.", "input": "hi"});
    let response = upstream.openai("/v1/responses", &body).await;
    let events = events(&response.text().await.unwrap());
    assert_eq!(
        types(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], index);
    }
    let text = joined(&events[4..16], "/delta");
    assert_eq!(events[16]["text"], text);
    let done = &events[19]["response"];
    assert_eq!(done["output"][0]["content"][0]["text"], text);
    assert_eq!(done["usage"]["total_tokens"], 15);
}

#[tokio::test]
async fn embeddings_in_both_encodings() {
    use base64::Engine as _;
    let upstream = Upstream::start().await;
    let mut body =
        json!({"model": "e", "input": ["one two", "three"], "dimensions": 20, "encoding_format": "float"});
    let floats: Value = upstream.openai("/v1/embeddings", &body).await.json().await.unwrap();
    assert_eq!(floats["data"][1]["index"], 1);
    assert_eq!(floats["usage"], json!({"prompt_tokens": 3, "total_tokens": 3}));
    let vector: Vec<f32> = serde_json::from_value(floats["data"][0]["embedding"].clone()).unwrap();
    assert_eq!(vector.len(), 20);
    let norm: f32 = vector.iter().map(|value| value * value).sum();
    assert!((norm - 1.0).abs() < 1e-5);

    body["encoding_format"] = json!("base64");
    let encoded: Value = upstream.openai("/v1/embeddings", &body).await.json().await.unwrap();
    let text = encoded["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let (floats, _) = bytes.as_chunks::<4>();
    assert_eq!(floats.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<_>>(), vector);

    let body = json!({"model": "e", "input": [[1, 2], [3]]});
    let tokens: Value = upstream.openai("/v1/embeddings", &body).await.json().await.unwrap();
    assert_eq!(tokens["usage"]["prompt_tokens"], 3);
    assert_eq!(tokens["data"][0]["embedding"].as_array().unwrap().len(), 1_536);
}

#[tokio::test]
async fn models() {
    let upstream = Upstream::start().await;
    let list = upstream.get("/v1/models").bearer_auth("k").send().await.unwrap();
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["object"], "list");
    assert_eq!(list["data"][0]["object"], "model");
    let one = upstream.get("/v1/models/any-name").bearer_auth("k").send().await.unwrap();
    assert_eq!(one.json::<Value>().await.unwrap()["id"], "any-name");
}

#[tokio::test]
async fn errors() {
    let upstream = Upstream::start().await;
    let chat = "/v1/chat/completions";
    let send = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert!(body["error"]["message"].is_string());
        (status, body["error"]["code"].clone())
    };
    let null = Value::Null;
    assert_eq!(send(upstream.post(chat).body("{}")).await, (401, null.clone()));
    let others = upstream.post(chat).header("x-goog-api-key", "k").header("anthropic-version", "v");
    assert_eq!(send(others.header("x-api-key", "k").body("{}")).await, (401, null.clone()));
    assert_eq!(send(upstream.post(chat).bearer_auth("k").body("{")).await, (400, null.clone()));
    assert_eq!(send(upstream.post(chat).bearer_auth("k").body("{}")).await, (400, null.clone()));
    let misspelt = json!({"model": "m+chunk=1", "messages": []});
    assert_eq!(send(upstream.post(chat).bearer_auth("k").json(&misspelt)).await, (400, null.clone()));
    assert_eq!(send(upstream.post("/v1/nothing").bearer_auth("k")).await, (404, null));
    let refused = (405, Value::from("method_not_supported"));
    assert_eq!(send(upstream.get(chat).bearer_auth("k")).await, refused);
}
