//! Calls of other services: bounded in time and size, and only to where the
//! operator lets them.

use super::SinkError;
use crate::domain::upstream::{self, is_private_ip};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, redirect};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Of an answer, as much as may say what is wrong.
const MAX_ANSWER: usize = 256 * 1024;
const MAX_SHOWN: usize = 200;
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Where calls go, and how.
#[derive(Clone, Debug)]
pub struct Http {
    base: String,
    client: reqwest::Client,
}

/// What was answered; the body as far as it is of use.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Http {
    /// `base` must be https, or on a loopback address, and private only if that
    /// is allowed. What a name stands for is judged again with each connection.
    pub fn new(base: &str, allow_private: bool) -> Result<Self, String> {
        let base = upstream::normalize(base, allow_private).map_err(|error| error.to_string())?;
        let client = client(allow_private).map_err(|error| format!("no HTTP client can be made: {error}"))?;
        Ok(Self { base, client })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Posts to `path` below the base. The caller has set a limit of time.
    pub async fn post(&self, path: &str, headers: HeaderMap, body: Vec<u8>) -> Result<Answer, SinkError> {
        let request = self.client.post(format!("{}{path}", self.base)).headers(headers).body(body);
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
            body.extend_from_slice(&piece[..piece.len().min(MAX_ANSWER - body.len())]);
            if body.len() == MAX_ANSWER {
                break;
            }
        }
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    /// What a status means that is not a success. A key that is wrong, or an
    /// address, is for somebody to put right: until then nothing is given up.
    pub fn judge(&self) -> Result<(), SinkError> {
        if self.status.is_success() {
            return Ok(());
        }
        let message = format!("it answered {}{}", self.status.as_u16(), self.said());
        match self.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Err(SinkError::Refused(message))
            }
            _ => Err(SinkError::Unavailable { message, retry_after: self.retry_after() }),
        }
    }

    /// The beginning of the body, for a message.
    pub fn said(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.trim().chars().filter(|c| !c.is_control()).take(MAX_SHOWN).collect();
        if text.is_empty() { text } else { format!(": {text}") }
    }

    /// In seconds; a date is not heeded.
    fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER).map(HeaderValue::to_str)?.ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
    }
}

fn client(allow_private: bool) -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_DEADLINE)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .user_agent(concat!("latchkey/", env!("CARGO_PKG_VERSION")));
    let builder = if allow_private { builder } else { builder.dns_resolver(Arc::new(PublicOnly)) };
    builder.build()
}

/// Without the URL, which may be somebody's secret.
fn unreachable(error: &reqwest::Error) -> SinkError {
    let mut source: &dyn std::error::Error = error;
    while let Some(next) = source.source() {
        source = next;
    }
    SinkError::unavailable(format!("it cannot be reached: {source}"))
}

/// Resolves names as the system does, and leaves out addresses of one's own
/// network: a name may change what it stands for after it was checked.
#[derive(Debug)]
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| !is_private_ip(address.ip())).collect();
            if public.is_empty() {
                return Err("the name stands for a private address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn answer(status: u16, retry_after: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.extend(retry_after.map(|text| (RETRY_AFTER, text.parse().unwrap())));
        Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: b" no\n ".to_vec() }
    }

    #[test]
    fn only_what_is_wrong_with_the_events_themselves_is_refused() {
        for status in [200, 201, 204] {
            assert_eq!(answer(status, None).judge(), Ok(()), "{status}");
        }
        for status in [400, 413, 422] {
            let refused = SinkError::Refused(format!("it answered {status}: no"));
            assert_eq!(answer(status, None).judge(), Err(refused));
        }
        for status in [301, 401, 403, 404, 408, 429, 500, 503] {
            let error = answer(status, Some("7")).judge().unwrap_err();
            let SinkError::Unavailable { retry_after, .. } = error else { panic!("{status}") };
            assert_eq!(retry_after, Some(Duration::from_secs(7)));
        }
        for (told, heeded) in [("86400", Some(MAX_RETRY_AFTER)), ("soon", None)] {
            let error = answer(503, Some(told)).judge().unwrap_err();
            let SinkError::Unavailable { retry_after, .. } = error else { panic!() };
            assert_eq!(retry_after, heeded);
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_a_private_address_is_not_called() {
        let name = "localhost".parse().unwrap();
        assert!(PublicOnly.resolve(name).await.is_err());
        for base in ["http://127.0.0.1:1", "https://10.0.0.1", "https://localhost", "http://example.com"] {
            Http::new(base, false).unwrap_err();
        }
        Http::new("http://127.0.0.1:1", true).unwrap();
    }

    /// A name that passed when it was checked, and that now stands for this machine.
    #[tokio::test]
    async fn what_a_name_stands_for_is_judged_with_each_connection() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The first byte of the call, so that it is not answered before it came.
            stream.read_u8().await.unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nhere";
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let at = |allow_private| Http {
            base: format!("http://localhost:{port}"),
            client: client(allow_private).unwrap(),
        };
        let error = at(false).post("", HeaderMap::new(), Vec::new()).await.unwrap_err();
        let message = "it cannot be reached: the name stands for a private address";
        assert_eq!(error, SinkError::unavailable(message));
        assert_eq!(at(true).post("", HeaderMap::new(), Vec::new()).await.unwrap().body, b"here");
        answering.await.unwrap();
    }
}
