use serde_json::{Value, json};

use crate::harness::{Upstream, content_type, events, joined};

const TEXT: &str = "/candidates/0/content/parts/0/text";

fn body() -> Value {
    json!({"contents": [
        {"role": "user", "parts": [{"text": "first"}]},
        {"role": "model", "parts": [{"text": "yes"}]},
        {"parts": [{"text": "good morning"}]},
    ], "systemInstruction": {"parts": [{"text": "Be kind."}]}})
}

#[tokio::test]
async fn generate_plain() {
    let upstream = Upstream::start().await;
    // Where its SDK goes unless it is told otherwise.
    let stable = "/v1/models/gemini-example:generateContent";
    let answer: Value = upstream.gemini(stable, &body()).await.json().await.unwrap();
    assert_eq!(answer["candidates"][0]["finishReason"], "STOP");

    let path = "/v1beta/models/gemini-example:generateContent";
    let answer: Value = upstream.gemini(path, &body()).await.json().await.unwrap();
    assert_eq!(answer["candidates"][0]["finishReason"], "STOP");
    assert_eq!(answer["candidates"][0]["content"]["role"], "model");
    assert!(answer.pointer(TEXT).unwrap().as_str().unwrap().contains("good morning"));
    assert_eq!(answer["usageMetadata"]["promptTokenCount"], 6);
    assert_eq!(answer["modelVersion"], "gemini-example");

    let mut limited = body();
    limited["generationConfig"] = json!({"maxOutputTokens": 2});
    let answer: Value = upstream.gemini(path, &limited).await.json().await.unwrap();
    assert_eq!(answer["candidates"][0]["finishReason"], "MAX_TOKENS");
}

#[tokio::test]
async fn generate_streamed_as_events() {
    let upstream = Upstream::start().await;
    let path = "/v1beta/models/gemini-example+chunks=5,fault=silent:1:streamGenerateContent?alt=sse";
    let response = upstream.gemini(path, &body()).await;
    assert_eq!(content_type(&response), "text/event-stream");
    check_parts(&events(&response.text().await.unwrap()));
}

#[tokio::test]
async fn generate_streamed_as_an_array() {
    let upstream = Upstream::start().await;
    let path = "/v1beta/models/gemini-example+chunks=5:streamGenerateContent";
    let response = upstream.gemini(path, &body()).await;
    assert_eq!(content_type(&response), "application/json; charset=UTF-8");
    check_parts(&response.json::<Vec<Value>>().await.unwrap());
}

fn check_parts(parts: &[Value]) {
    assert_eq!(parts.len(), 6);
    assert_eq!(joined(parts, TEXT), "Hello! You said: \"good morning\".");
    assert_eq!(parts[4]["usageMetadata"]["candidatesTokenCount"], 5);
    assert_eq!(parts[4]["candidates"][0].get("finishReason"), None);
    assert_eq!(parts[5]["candidates"][0]["finishReason"], "STOP");
    assert_eq!(parts[5]["usageMetadata"]["totalTokenCount"], 11);
}

#[tokio::test]
async fn models() {
    let upstream = Upstream::start().await;
    let get = async |path| {
        let request = upstream.get(path).header("x-goog-api-key", "k");
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    assert_eq!(get("/v1beta/models").await["models"][0]["name"], "models/gemini-example");
    assert_eq!(get("/v1/models").await, get("/v1beta/models").await);
    assert_eq!(get("/v1beta/models/any-name").await["name"], "models/any-name");
}

#[tokio::test]
async fn errors() {
    let upstream = Upstream::start().await;
    let path = "/v1beta/models/gemini-example:generateContent";
    let cases = [
        (upstream.post(path).body("{}"), 403, "PERMISSION_DENIED"),
        (upstream.post("/v1/models/m:generateContent").body("{}"), 403, "PERMISSION_DENIED"),
        (upstream.post(path).header("x-goog-api-key", "k").body("{"), 400, "INVALID_ARGUMENT"),
        (upstream.post("/v1beta/models/m:nothing").header("x-goog-api-key", "k"), 404, "NOT_FOUND"),
        (upstream.post("/v1beta/nothing").header("x-goog-api-key", "k"), 404, "NOT_FOUND"),
    ];
    for (request, status, name) in cases {
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        let error = response.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!((&error["code"], &error["status"]), (&json!(status), &json!(name)));
    }
}
