//! Webhooks: calls that whoever has the key can believe.

use super::{listed_of, open};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use control_plane::clock;
use control_plane::domain::events::Listed;
use control_plane::secret::Secret;
use control_plane::sinks::kind::Surroundings;
use control_plane::sinks::{Opening, Sink, SinkError, webhook};
use serde_json::{Value, json};
use shared::header::{CALL_NONCE, CALL_SIGNATURE, CALL_TIME};
use shared::key::KeyRing;
use shared::signed_call::Call;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;

const KEY: &str = "CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk=";
const LUNARY: &str = include_str!("golden/lunary.json");

/// A call as it came.
struct Received {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// As `/edge/events` verifies the edge's.
    fn verify(&self, path: &str, body: &[u8], key: &str) -> bool {
        let time = self.header(CALL_TIME).parse().unwrap();
        let call = Call { time, nonce: self.header(CALL_NONCE), method: "POST", path, body };
        let keys = KeyRing::from_base64_list(key).unwrap();
        call.verify(self.header(CALL_SIGNATURE), &keys, clock::now() / 1000).is_ok()
    }
}

struct Receiver {
    base: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    async fn start(answer: fn() -> Response) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        let router = Router::new().fallback(move |request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
            let path = parts.uri.path().to_owned();
            kept.lock().unwrap().push(Received { path, headers: parts.headers, body });
            answer()
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, received }
    }

    fn sink(&self, path: &str) -> Arc<dyn Sink> {
        open(webhook::KIND, &json!({ "url": format!("{}{path}", self.base) }), KEY).unwrap()
    }

    fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.received.lock().unwrap())
    }
}

fn events() -> [Listed; 2] {
    let golden: Value = serde_json::from_str(LUNARY).unwrap();
    ["success", "failed_429"].map(|name| listed_of(&golden["from_events"][name]["event"]))
}

fn ok() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

#[tokio::test]
async fn a_delivery_is_one_signed_call() {
    let receiver = Receiver::start(ok).await;
    for (path, signed) in [("/a/events", "/a/events"), ("/", "/"), ("", "/"), ("/a%20b/", "/a%20b")] {
        receiver.sink(path).deliver(&events()).await.unwrap();
        let [call] = receiver.take().try_into().ok().unwrap();
        assert_eq!(call.path, signed);
        assert!(call.verify(signed, &call.body, KEY), "{path}");
        assert!(!call.verify("/other", &call.body, KEY) && !call.verify(signed, b"{}\n", KEY));
        assert!(!call.verify(signed, &call.body, "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="));
        assert_eq!(call.header("content-type"), "application/x-ndjson");
        let lines = String::from_utf8(call.body).unwrap();
        let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<&Value> = told.iter().map(|event| &event["id"]).collect();
        assert_eq!(ids, events().each_ref().map(|listed| json!(listed.event.id)).each_ref());
    }
}

#[tokio::test]
async fn no_two_calls_have_one_nonce() {
    let receiver = Receiver::start(ok).await;
    let sink = receiver.sink("/");
    for _ in 0..3 {
        sink.deliver(&events()).await.unwrap();
    }
    let mut nonces: Vec<String> =
        receiver.take().iter().map(|call| call.header(CALL_NONCE).to_owned()).collect();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), 3);
}

async fn delivered(answer: fn() -> Response) -> Result<(), SinkError> {
    Receiver::start(answer).await.sink("/").deliver(&events()).await
}

fn unavailable(message: &str, retry_after: Option<u64>) -> Result<(), SinkError> {
    let retry_after = retry_after.map(Duration::from_secs);
    Err(SinkError::Unavailable { message: message.to_owned(), retry_after })
}

#[tokio::test]
async fn what_an_answer_means() {
    assert_eq!(delivered(|| "so be it".into_response()).await, Ok(()));
    let refused = Err(SinkError::Refused("it answered 422: no".to_owned()));
    assert_eq!(delivered(|| (StatusCode::UNPROCESSABLE_ENTITY, "n\0o\n").into_response()).await, refused);
    let limited = || (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")]).into_response();
    assert_eq!(delivered(limited).await, unavailable("it answered 429", Some(7)));
    assert_eq!(
        delivered(|| StatusCode::BAD_GATEWAY.into_response()).await,
        unavailable("it answered 502", None)
    );
}

/// Where it leads was judged by nobody.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let to = || (StatusCode::TEMPORARY_REDIRECT, [("location", "/other")]).into_response();
    let receiver = Receiver::start(to).await;
    let outcome = receiver.sink("/").deliver(&events()).await;
    assert_eq!(outcome, unavailable("it answered 307", None));
    assert_eq!(receiver.take().len(), 1);
}

#[tokio::test]
async fn an_answer_is_read_as_far_as_it_is_of_use() {
    let long = || (StatusCode::BAD_REQUEST, "x".repeat(5_000_000)).into_response();
    let SinkError::Refused(message) = delivered(long).await.unwrap_err() else { panic!() };
    assert_eq!(message, format!("it answered 400: {}", "x".repeat(200)));
}

#[tokio::test]
async fn who_does_not_listen_is_waited_for() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/secret-path");
    let sink = open(webhook::KIND, &json!({ "url": url }), KEY).unwrap();
    let SinkError::Unavailable { message, .. } = sink.deliver(&events()).await.unwrap_err() else { panic!() };
    assert!(message.starts_with("it cannot be reached: ") && !message.contains("secret-path"), "{message}");
}

#[test]
fn settings() {
    let sink = open(webhook::KIND, &json!({ "url": "https://a.example" }), KEY).unwrap();
    assert!(!format!("{sink:?}").contains("CQkJ") && !format!("{sink:?}").contains("9, 9"), "{sink:?}");
    let wrong = |settings: Value, key: &str| open(webhook::KIND, &settings, key).unwrap_err();
    assert_eq!(wrong(json!({}), KEY), "missing field `url`");
    assert!(
        wrong(json!({ "url": "https://a.example", "method": "PUT" }), KEY).contains("unknown field `method`")
    );
    assert!(wrong(json!({ "url": "http://a.example" }), KEY).starts_with("url: must start with https"));
    assert!(wrong(json!({ "url": "https://a.example?key=1" }), KEY).starts_with("url: must have neither"));
    for key in ["", "sk-short", "AAAA"] {
        assert!(wrong(json!({ "url": "https://a.example" }), key).starts_with("secret: must be 32 bytes"));
    }
    let (settings, secret) = (json!({ "url": "http://127.0.0.1:1" }), Secret::from(KEY.to_owned()));
    let surroundings = Surroundings::default();
    let opening = Opening { settings: &settings, secret: Some(&secret), surroundings: &surroundings };
    assert!((webhook::KIND.open)(opening).unwrap_err().contains("ALLOW_PRIVATE_UPSTREAMS"));
}
