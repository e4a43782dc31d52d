//! The exporter's HTTP client. The exporter asks from a thread that is none of
//! the runtime's; each call is a task on the runtime.

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use url::Url;

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    headers: HeaderMap,
    runtime: Handle,
    /// Of the last call, if it failed; the exporter keeps it to itself.
    failure: Mutex<Option<String>>,
}

impl Client {
    pub(super) fn new(endpoint: &Url, headers: HeaderMap, timeout: Duration) -> Result<Self, reqwest::Error> {
        // A redirect would carry the headers to where nobody configured them.
        let builder = reqwest::Client::builder().timeout(timeout).redirect(redirect::Policy::none());
        let is_loopback = endpoint.host().is_some_and(|host| crate::domain::upstream::is_loopback(&host));
        let builder = if is_loopback { builder.no_proxy() } else { builder };
        Ok(Self { http: builder.build()?, headers, runtime: Handle::current(), failure: Mutex::default() })
    }

    /// Why the last call failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request = reqwest::Request::try_from(request)?;
        // The exporter has read the same variable, and does not mark them as secret.
        request.headers_mut().extend(self.headers.clone());
        let http = self.http.clone();
        // The call itself too is made there: it sets a timer.
        let call = self.runtime.spawn(async move { http.execute(request).await });
        let answer = call.await?.map_err(reqwest::Error::without_url)?;
        // Nothing is done with an answer's body; it may be any size.
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        if let Some(delay) = answer.headers().get(RETRY_AFTER) {
            response.headers_mut().insert(RETRY_AFTER, delay.clone());
        }
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let outcome = self.send(request).await;
        let failure = match &outcome {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answers {}", response.status())),
            Err(error) => Some(with_causes(error.as_ref())),
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        outcome
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    for cause in causes {
        write!(text, ": {cause}").ok();
    }
    text
}
