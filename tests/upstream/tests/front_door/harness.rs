//! A server on a free port, and the few ways the tests talk to it.

use std::time::Duration;

use example_upstream::{Options, serve};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const PROVIDERS: [&str; 4] = ["chat", "responses", "anthropic", "gemini"];

pub struct Upstream {
    pub base: String,
    pub client: Client,
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let options = Options { pace: Duration::ZERO, ..Options::default() };
        tokio::spawn(serve(listener, options));
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { base, client }
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    pub async fn openai(&self, path: &str, body: &Value) -> Response {
        self.post(path).bearer_auth("sk-test").json(body).send().await.unwrap()
    }

    pub async fn anthropic(&self, body: &Value) -> Response {
        let request = self.post("/v1/messages").header("x-api-key", "sk-ant-test");
        request.header("anthropic-version", "2023-06-01").json(body).send().await.unwrap()
    }

    pub async fn gemini(&self, path: &str, body: &Value) -> Response {
        self.post(path).header("x-goog-api-key", "AIza-test").json(body).send().await.unwrap()
    }

    /// The same conversation, of roles and texts, in each provider's format.
    pub async fn ask(
        &self,
        provider: &str,
        model: &str,
        conversation: &[(&str, &str)],
        stream: bool,
    ) -> Response {
        let messages = conversation.iter().map(|(role, text)| json!({"role": role, "content": text}));
        let messages: Vec<Value> = messages.collect();
        match provider {
            "chat" => {
                let body = json!({"model": model, "stream": stream, "messages": messages,
                    "stream_options": {"include_usage": true}});
                self.openai("/v1/chat/completions", &body).await
            }
            "responses" => {
                let body = json!({"model": model, "stream": stream, "input": messages});
                self.openai("/v1/responses", &body).await
            }
            "anthropic" => {
                let body = json!({"model": model, "stream": stream, "max_tokens": 100, "messages": messages});
                self.anthropic(&body).await
            }
            _ => {
                let contents = conversation.iter().map(|(role, text)| {
                    let role = if *role == "assistant" { "model" } else { role };
                    json!({"role": role, "parts": [{"text": text}]})
                });
                let action = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let body = json!({"contents": contents.collect::<Vec<Value>>()});
                self.gemini(&format!("/v1beta/models/{model}:{action}"), &body).await
            }
        }
    }

    /// A chat request over a connection of its own, and all that comes back on it.
    pub async fn raw_chat(&self, model: &str) -> (Vec<u8>, std::io::Result<usize>) {
        let mut stream = TcpStream::connect(self.base.trim_start_matches("http://")).await.unwrap();
        let body = json!({"model": model, "messages": []}).to_string();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: upstream\r\nauthorization: Bearer k\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let ended = stream.read_to_end(&mut received).await;
        (received, ended)
    }

    /// The request log, oldest first.
    pub async fn log(&self) -> Vec<Value> {
        let body: Value = self.get("/_control/requests").send().await.unwrap().json().await.unwrap();
        body["data"].as_array().unwrap().clone()
    }

    /// The newest record, once its outcome is `outcome`; the test fails if that takes a second.
    pub async fn newest_with_outcome(&self, outcome: &str) -> Value {
        for _ in 0..100 {
            let newest = self.log().await.pop().unwrap();
            if newest["outcome"] == outcome {
                return newest;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {outcome}: {:?}", self.log().await.pop());
    }
}

/// The data of each server-sent event; an event with a name must carry it as its type, too.
pub fn events(body: &str) -> Vec<Value> {
    let body = body.replace("\r\n", "\n");
    assert!(body.ends_with("\n\n"), "the last event ends");
    let events = body.split_terminator("\n\n").filter(|event| *event != "data: [DONE]");
    events
        .map(|event| {
            let (name, data) = match event.strip_prefix("event: ") {
                Some(named) => named.split_once('\n').unwrap(),
                None => ("", event),
            };
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert!(name.is_empty() || data["type"] == name);
            data
        })
        .collect()
}

pub fn types(events: &[Value]) -> Vec<&str> {
    let mut types: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    types.dedup();
    types
}

pub fn content_type(response: &Response) -> &str {
    response.headers()["content-type"].to_str().unwrap()
}

/// The text of each event found at a JSON pointer, joined.
pub fn joined(events: &[Value], pointer: &str) -> String {
    events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect()
}
