//! A service that takes JSON from who has a key.

use super::http::{Answer, Http};
use super::{Opening, SinkError};
use crate::secret::Secret;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

#[derive(Debug)]
pub(super) struct Api {
    http: Http,
    key: Secret,
    bearer: HeaderValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Of who hosts the service; the service's own if it is not set.
    base_url: Option<String>,
}

impl Api {
    pub(super) fn open(opening: Opening<'_>, base: &str) -> Result<Self, String> {
        let Settings { base_url } = opening.settings()?;
        let http = Http::new(base_url.as_deref().unwrap_or(base), opening.surroundings.allow_private)
            .map_err(|error| format!("base_url: {error}"))?;
        let key = opening.secret()?;
        let bearer = bearer(&key).ok_or("secret: is not a key, which has visible ASCII characters only")?;
        Ok(Self { http, key, bearer })
    }

    /// What is answered is a success, by its status.
    pub(super) async fn post(
        &self,
        path: &str,
        mut headers: HeaderMap,
        body: &Value,
    ) -> Result<Answer, SinkError> {
        headers.insert(AUTHORIZATION, self.bearer.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answer = self.http.post(path, headers, body.to_string().into_bytes()).await?;
        let answer = Answer { body: without(&self.key, answer.body), ..answer };
        answer.judge().map(|()| answer)
    }
}

fn bearer(key: &Secret) -> Option<HeaderValue> {
    let key = key.reveal();
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
    let mut bearer = is_key.then(|| HeaderValue::try_from(format!("Bearer {key}")).ok())??;
    bearer.set_sensitive(true);
    Some(bearer)
}

/// Answers are in messages, and some repeat the key that was wrong.
fn without(key: &Secret, answer: Vec<u8>) -> Vec<u8> {
    match std::str::from_utf8(&answer) {
        Ok(text) if text.contains(key.reveal()) => text.replace(key.reveal(), "<key>").into_bytes(),
        _ => answer,
    }
}
