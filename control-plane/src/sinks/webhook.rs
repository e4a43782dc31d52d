//! Posts events to a URL, signed as our own calls are, as JSON lines.

use super::http::Http;
use super::kind::{Kind, Opening, Secrecy};
use super::{Delivered, Sink, SinkError, lines};
use crate::domain::events::Listed;
use crate::{chance, clock};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use shared::header::{CALL_NONCE, CALL_SIGNATURE, CALL_TIME};
use shared::key::Key;
use shared::signed_call::Call;
use std::sync::Arc;
use url::Url;
use uuid::Uuid;

pub const KIND: Kind =
    Kind { name: "webhook", secret: Secrecy::Needed, batch_size: 500, max_batch_size: 5_000, open };

#[derive(Debug)]
struct Webhook {
    http: Http,
    /// As it is signed.
    path: String,
    key: Key,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    url: String,
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Sink>, String> {
    let Settings { url } = opening.settings()?;
    let http =
        Http::new(&url, opening.surroundings.allow_private).map_err(|error| format!("url: {error}"))?;
    let path = Url::parse(http.base()).map_err(|error| format!("url: {error}"))?.path().to_owned();
    let key = Key::from_base64(opening.secret()?.reveal())
        .map_err(|_| "secret: must be 32 bytes in base64, such as `openssl rand -base64 32` prints")?;
    Ok(Arc::new(Webhook { http, path, key }))
}

impl Sink for Webhook {
    fn deliver<'a>(&'a self, events: &'a [Listed]) -> Delivered<'a> {
        Box::pin(async move {
            let body = lines::of(events);
            let headers = self.signed(&body)?;
            self.http.post("", headers, body).await?.judge()
        })
    }
}

impl Webhook {
    fn signed(&self, body: &[u8]) -> Result<HeaderMap, SinkError> {
        let time = clock::now() / 1000;
        let random = chance::bytes().map_err(|error| SinkError::unavailable(error.to_string()))?;
        let nonce = Uuid::from_bytes(random).simple().to_string();
        let call = Call { time, nonce: &nonce, method: "POST", path: &self.path, body };
        let signature = call.sign(&self.key);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        for (name, value) in
            [(CALL_TIME, time.to_string()), (CALL_NONCE, nonce.clone()), (CALL_SIGNATURE, signature)]
        {
            let value =
                HeaderValue::from_str(&value).map_err(|error| SinkError::unavailable(error.to_string()))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}
