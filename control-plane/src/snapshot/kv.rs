//! A client for Workers KV over Cloudflare's REST API
//! (<https://developers.cloudflare.com/api/resources/kv/>). The local dev server
//! answers the same requests, so only the base URL tells them apart.

mod wire;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

/// Of one call, with its answer read to the end.
const DEADLINE: Duration = Duration::from_secs(10);
/// An older outcome does not tell whether KV answers now.
const OUTCOME_MAX_AGE: Duration = Duration::from_secs(10);
const PROBE_DEADLINE: Duration = Duration::from_secs(2);
/// A key that is never written: to read it costs KV next to nothing.
const PROBE_KEY: &str = "probe";
/// The window of Cloudflare's API limit; a longer wait is never asked for in earnest.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// One value of a bulk write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub key: String,
    pub value: Vec<u8>,
    /// Seconds; at least 60.
    pub expiration_ttl: Option<u32>,
}

/// No message contains a value or the API token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KvError {
    #[error("the KV client cannot be made: {0}")]
    Setup(String),
    #[error("KV cannot be reached: {0}")]
    Unreachable(String),
    #[error("KV did not answer within {0:?}")]
    Timeout(Duration),
    #[error("KV asks to wait {0:?}")]
    RateLimited(Duration),
    #[error("KV answered {status}: {message}")]
    Refused { status: u16, message: String },
    #[error("KV did not take {0} of the keys")]
    Partial(usize),
}

#[derive(Clone, Debug)]
pub struct KvClient {
    base: Url,
    namespace_id: String,
    /// The error is told by each call, so that a bad token stops no start.
    http: Result<reqwest::Client, KvError>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Set by a 429: a call before then would only prolong it.
    blocked_until: Option<Instant>,
    last: Option<(Instant, Result<(), KvError>)>,
}

impl KvClient {
    pub fn new(base: Url, namespace_id: String, token: Option<&Zeroizing<String>>) -> Self {
        let http = http_client(&base, token);
        Self { base, namespace_id, http, state: Arc::default() }
    }

    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.get_within(key, DEADLINE).await
    }

    pub async fn put(&self, key: &str, value: Vec<u8>, deadline: Duration) -> Result<(), KvError> {
        let request = self.request(Method::PUT, self.url(&["values", key])?)?;
        let request = request.header("content-type", "application/octet-stream").body(value);
        self.call(deadline, request, acknowledged).await
    }

    /// Deletes at most 10,000 keys in one call; one that is missing is no error.
    pub async fn delete_bulk(&self, keys: &[&str], deadline: Duration) -> Result<(), KvError> {
        let request = self.request(Method::POST, self.url(&["bulk", "delete"])?)?.json(keys);
        self.call(deadline, request, acknowledged).await
    }

    /// Writes all pairs in one call: at most 10,000, and 100 MB with their Base64.
    pub async fn put_bulk(&self, pairs: &[Pair], deadline: Duration) -> Result<(), KvError> {
        let body = wire::bulk(pairs).map_err(|error| KvError::Setup(error.to_string()))?;
        let request = self.request(Method::PUT, self.url(&["bulk"])?)?;
        let request = request.header("content-type", "application/json").body(body);
        self.call(deadline, request, async |response| {
            let not_taken = wire::read::<wire::Bulk>(response).await?.unsuccessful_keys.len();
            if not_taken == 0 { Ok(()) } else { Err(KvError::Partial(not_taken)) }
        })
        .await
    }

    /// The names of all keys that start with `prefix`.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<String>, KvError> {
        let mut keys = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut url = self.url(&["keys"])?;
            url.query_pairs_mut().append_pair("limit", "1000").append_pair("prefix", prefix);
            if !cursor.is_empty() {
                url.query_pairs_mut().append_pair("cursor", &cursor);
            }
            let page = self.call(DEADLINE, self.request(Method::GET, url)?, wire::read_page).await?;
            keys.extend(page.keys);
            match page.cursor {
                Some(next) => cursor = next,
                None => return Ok(keys),
            }
        }
    }

    /// How the last call went, or a probe when that was a while ago.
    pub async fn ready(&self) -> Result<(), KvError> {
        let recent = self.with_state(|state| {
            state.last.clone().filter(|(at, _)| at.elapsed() < OUTCOME_MAX_AGE).map(|(_, outcome)| outcome)
        });
        match recent {
            Some(outcome) => outcome,
            None => self.get_within(PROBE_KEY, PROBE_DEADLINE).await.map(drop),
        }
    }

    async fn get_within(&self, key: &str, deadline: Duration) -> Result<Option<Vec<u8>>, KvError> {
        let request = self.request(Method::GET, self.url(&["values", key])?)?;
        self.call(deadline, request, wire::read_value).await
    }

    /// `path` below the namespace; each part becomes one segment, slashes encoded.
    fn url(&self, path: &[&str]) -> Result<Url, KvError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| KvError::Setup("the KV base URL cannot have a path".into()))?
            .pop_if_empty()
            .extend(["storage", "kv", "namespaces", &self.namespace_id])
            .extend(path);
        Ok(url)
    }

    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, KvError> {
        Ok(self.http.as_ref().map_err(Clone::clone)?.request(method, url))
    }

    async fn call<T>(
        &self,
        deadline: Duration,
        request: RequestBuilder,
        read: impl AsyncFnOnce(Response) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        self.not_blocked()?;
        let exchange = async {
            let response = request.send().await.map_err(wire::unreachable)?;
            if response.status() == StatusCode::TOO_MANY_REQUESTS {
                return Err(KvError::RateLimited(retry_after(&response)));
            }
            read(response).await
        };
        let outcome =
            tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(KvError::Timeout(deadline)));
        self.with_state(|state| {
            if let Err(KvError::RateLimited(wait)) = &outcome {
                state.blocked_until = Some(Instant::now() + *wait);
            }
            state.last = Some((Instant::now(), outcome.as_ref().map(|_| ()).map_err(Clone::clone)));
        });
        outcome
    }

    fn not_blocked(&self) -> Result<(), KvError> {
        let until = self.with_state(|state| state.blocked_until);
        match until.and_then(|until| until.checked_duration_since(Instant::now())) {
            Some(wait) if !wait.is_zero() => Err(KvError::RateLimited(wait)),
            Some(_) | None => Ok(()),
        }
    }

    fn with_state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        // Each change is a single assignment, so a poisoned state is a whole one.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn acknowledged(response: Response) -> Result<(), KvError> {
    wire::read::<wire::Ignored>(response).await.map(drop)
}

fn http_client(base: &Url, token: Option<&Zeroizing<String>>) -> Result<reqwest::Client, KvError> {
    let setup = |message: &str| KvError::Setup(message.to_owned());
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
        let mut value = HeaderValue::from_str(&bearer)
            .map_err(|_| setup("CLOUDFLARE_API_TOKEN has characters that a header cannot have"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    // A redirect would carry the token to where nobody configured it.
    let builder = reqwest::Client::builder().default_headers(headers).redirect(redirect::Policy::none());
    let is_loopback = match base.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let builder = if is_loopback { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| setup(&error.without_url().to_string()))
}

fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER)
}
