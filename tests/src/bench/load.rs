//! A bounded load: so many requests over so many connections.

use futures_util::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an SDK sends, and what stands before a worker adds to it.
const HEADERS: [(&str, &str); 17] = [
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("user-agent", "OpenAI/JS 7.57.0"),
    ("x-stainless-lang", "js"),
    ("x-stainless-package-version", "7.57.0"),
    ("x-stainless-os", "Linux"),
    ("x-stainless-arch", "x64"),
    ("x-stainless-runtime", "node"),
    ("x-stainless-runtime-version", "v24.0.0"),
    ("x-stainless-retry-count", "0"),
    ("x-stainless-timeout", "600"),
    ("accept-language", "*"),
    ("cf-connecting-ip", "192.0.2.1"),
    ("cf-ray", "0123456789abcdef-FRA"),
    ("x-forwarded-for", "192.0.2.1"),
    ("x-forwarded-proto", "https"),
    ("cookie", "session=0123456789"),
];

#[derive(Clone, Debug)]
pub struct Target {
    pub url: String,
    /// Used one after another, again and again.
    pub tokens: Arc<[String]>,
    pub body: String,
    /// Beyond those that every request has.
    pub headers: Vec<(&'static str, String)>,
}

/// Sends `requests` over `connections` and returns how long that took. Each must succeed.
pub async fn run(target: &Target, requests: usize, connections: usize) -> Duration {
    let client = client(connections);
    let started = Instant::now();
    let work = (0..connections).map(|at| {
        let client = client.clone();
        async move {
            for number in (at..requests).step_by(connections) {
                one(&client, target, number).await;
            }
        }
    });
    futures_util::future::join_all(work).await;
    started.elapsed()
}

pub fn client(connections: usize) -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(connections).no_proxy().build().unwrap()
}

/// The request of that `number`, which must succeed.
pub async fn one(client: &reqwest::Client, target: &Target, number: usize) {
    let response = request(client, target, number).send().await.unwrap();
    assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    response.bytes().await.unwrap();
}

/// When each piece of one streamed answer arrived.
pub async fn arrivals(target: &Target) -> Vec<Instant> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = request(&client, target, 0).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut chunks = response.bytes_stream();
    let mut arrivals = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let events = chunk.unwrap().windows(2).filter(|pair| pair == b"\n\n").count();
        arrivals.extend(std::iter::repeat_n(Instant::now(), events));
    }
    arrivals
}

pub fn request(client: &reqwest::Client, target: &Target, number: usize) -> reqwest::RequestBuilder {
    let token = &target.tokens[number % target.tokens.len()];
    let mut request = client.post(&target.url).bearer_auth(token).body(target.body.clone());
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    for (name, value) in &target.headers {
        request = request.header(*name, value);
    }
    request
}
