//! A bounded load: so many requests over so many connections.

use futures_util::StreamExt;
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
    pub token: String,
    pub body: String,
    /// Beyond those that every request has.
    pub headers: Vec<(&'static str, String)>,
}

/// Sends `requests` over `connections` and returns how long that took. Each must succeed.
pub async fn run(target: &Target, requests: usize, connections: usize) -> Duration {
    let client = reqwest::Client::builder().pool_max_idle_per_host(connections).no_proxy().build().unwrap();
    let started = Instant::now();
    let work = (0..connections).map(|at| {
        let client = client.clone();
        async move {
            for _ in 0..requests / connections + usize::from(at < requests % connections) {
                let response = request(&client, target).send().await.unwrap();
                assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
                response.bytes().await.unwrap();
            }
        }
    });
    futures_util::future::join_all(work).await;
    started.elapsed()
}

/// When each piece of one streamed answer arrived.
pub async fn arrivals(target: &Target) -> Vec<Instant> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = request(&client, target).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut chunks = response.bytes_stream();
    let mut arrivals = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let events = chunk.unwrap().windows(2).filter(|pair| pair == b"\n\n").count();
        arrivals.extend(std::iter::repeat_n(Instant::now(), events));
    }
    arrivals
}

fn request(client: &reqwest::Client, target: &Target) -> reqwest::RequestBuilder {
    let mut request = client.post(&target.url).bearer_auth(&target.token).body(target.body.clone());
    for (name, value) in HEADERS {
        request = request.header(name, value);
    }
    for (name, value) in &target.headers {
        request = request.header(*name, value);
    }
    request
}
