//! Requests to the edge, and what every one of its answers must hold.

use crate::fixture::UPSTREAM_KEY;
use reqwest::header::HeaderMap;
use reqwest::{Client, Request, RequestBuilder, redirect};
use serde_json::Value;
use shared::provider::Api;
use shared::{header, id, token};
use uuid::Uuid;

thread_local! {
    static CLIENT: Client = Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap();
}

/// This test's client; making one is slow.
pub fn client() -> Client {
    CLIENT.with(Clone::clone)
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends it, and asserts that the answer has a request id and no secret.
pub async fn send(request: RequestBuilder) -> Reply {
    let request = request.build().unwrap();
    let secrets = secrets_of(&request);
    let response = client().execute(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let reply = Reply { status, headers, body: response.bytes().await.unwrap().into() };
    reply.assert_request_id();
    reply.assert_tells_none_of(&secrets);
    reply
}

/// What the request carries that no answer may repeat.
fn secrets_of(request: &Request) -> Vec<String> {
    let headers = request.headers().iter().filter(|(name, _)| header::CREDENTIALS.contains(&name.as_str()));
    let values = headers.map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let query = request.url().query().unwrap_or_default().split(['&', '=']).map(str::to_owned);
    values.chain(query).filter_map(|text| Some(text.split(token::PREFIX).nth(1)?.to_owned())).collect()
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The code of a refusal by the edge.
    pub fn code(&self) -> Option<&str> {
        self.header(header::ERROR)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Version and age of the snapshot that decided.
    pub fn snapshot(&self) -> (u64, u64) {
        let (version, age) = self.header(header::SNAPSHOT).unwrap().split_once(";age=").unwrap();
        (version.parse().unwrap(), age.parse().unwrap())
    }

    #[track_caller]
    pub fn assert_ok(&self) {
        assert_eq!((self.status, self.code()), (200, None), "{}", self.text());
    }

    #[track_caller]
    pub fn assert_refused(&self, status: u16, code: &str, api: Api) {
        assert_eq!((self.status, self.code()), (status, Some(code)), "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_shape(&self.json(), status, code, api);
    }

    fn assert_request_id(&self) {
        let id = self.header(header::REQUEST_ID).unwrap_or_else(|| panic!("no request id: {self:?}"));
        assert_request_id(id);
    }

    fn assert_tells_none_of(&self, secrets: &[String]) {
        let shown = format!("{:?}{}", self.headers, self.text());
        let told = secrets.iter().map(String::as_str).chain([UPSTREAM_KEY]);
        for secret in told.filter(|secret| secret.len() >= 8) {
            assert!(!shown.contains(secret), "the answer tells {secret}: {shown}");
        }
    }
}

#[track_caller]
pub fn assert_request_id(text: &str) {
    assert!(id::issued_at(Uuid::parse_str(text).unwrap()).is_some(), "{text} is not a UUIDv7");
}

/// The body of a refusal has exactly the members that the API's SDKs read.
#[track_caller]
pub fn assert_shape(body: &Value, status: u16, code: &str, api: Api) {
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{body}");
    match api {
        Api::OpenAi => {
            assert_eq!(names(body), ["error"]);
            assert_eq!(names(error), ["code", "message", "param", "type"]);
            assert_eq!(error["code"], code);
            let names_param = error["param"].is_string();
            assert_eq!(names_param, code == "param_not_allowed", "{body}");
            assert!((names_param || error["param"].is_null()) && error["type"].is_string(), "{body}");
        }
        Api::Anthropic => {
            assert_eq!(names(body), ["error", "type"]);
            assert_eq!(body["type"], "error");
            assert_eq!(names(error), ["message", "type"]);
            assert!(error["type"].as_str().unwrap().ends_with("_error") || status == 413, "{body}");
        }
        Api::Gemini => {
            assert_eq!(names(body), ["error"]);
            assert_eq!(names(error), ["code", "message", "status"]);
            assert_eq!(error["code"], status);
            assert!(error["status"].as_str().unwrap().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        }
    }
}
