//! Cloudflare's shapes: `{success, errors: [{code, message}], result, result_info}`.

use super::{KvError, Pair};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The code that tells a missing key from a missing namespace; both are 404.
const KEY_NOT_FOUND: u32 = 10_009;
/// More of an error is not worth a log line.
const MAX_MESSAGE_LEN: usize = 300;

#[derive(Deserialize)]
struct Envelope<T> {
    result: Option<T>,
    result_info: Option<ResultInfo>,
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    errors: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct ResultInfo {
    /// Absent or empty on the last page.
    cursor: Option<String>,
}

/// A result of which nothing is needed.
#[derive(Default, Deserialize)]
pub(super) struct Ignored {}

#[derive(Default, Deserialize)]
pub(super) struct Bulk {
    #[serde(default)]
    pub(super) unsuccessful_keys: Vec<String>,
}

#[derive(Deserialize)]
struct Key {
    name: String,
}

pub(super) struct Page {
    pub(super) keys: Vec<String>,
    pub(super) cursor: Option<String>,
}

#[derive(Serialize)]
struct BulkPair<'a> {
    key: &'a str,
    value: String,
    base64: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_ttl: Option<u32>,
}

pub(super) fn bulk(pairs: &[Pair]) -> serde_json::Result<Vec<u8>> {
    let pairs: Vec<BulkPair<'_>> = pairs
        .iter()
        .map(|each| BulkPair {
            key: &each.key,
            value: STANDARD.encode(&each.value),
            base64: true,
            expiration_ttl: each.expiration_ttl,
        })
        .collect();
    serde_json::to_vec(&pairs)
}

pub(super) async fn read<T: DeserializeOwned + Default>(response: Response) -> Result<T, KvError> {
    Ok(envelope(response).await?.result.unwrap_or_default())
}

pub(super) async fn read_page(response: Response) -> Result<Page, KvError> {
    let Envelope { result, result_info } = envelope::<Vec<Key>>(response).await?;
    let keys = result.unwrap_or_default().into_iter().map(|key| key.name).collect();
    let cursor = result_info.and_then(|info| info.cursor).filter(|cursor| !cursor.is_empty());
    Ok(Page { keys, cursor })
}

/// A value is answered as it is, without an envelope.
pub(super) async fn read_value(response: Response) -> Result<Option<Vec<u8>>, KvError> {
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(Some(body.into()));
    }
    let is_missing = status == StatusCode::NOT_FOUND
        && serde_json::from_slice::<Failure>(&body)
            .is_ok_and(|failure| failure.errors.iter().any(|error| error.code == KEY_NOT_FOUND));
    if is_missing { Ok(None) } else { Err(refused(status, &body)) }
}

async fn envelope<T: DeserializeOwned>(response: Response) -> Result<Envelope<T>, KvError> {
    let status = response.status();
    let body = response.bytes().await.map_err(unreachable)?;
    if !status.is_success() {
        return Err(refused(status, &body));
    }
    serde_json::from_slice(&body).map_err(|_| refused(status, &body))
}

fn refused(status: StatusCode, body: &[u8]) -> KvError {
    let message = match serde_json::from_slice::<Failure>(body) {
        Ok(failure) if !failure.errors.is_empty() => {
            let each = |error: &Message| format!("{} ({})", error.message, error.code);
            failure.errors.iter().map(each).collect::<Vec<_>>().join("; ")
        }
        Ok(_) | Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let message = message.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_LEN).collect();
    KvError::Refused { status: status.as_u16(), message }
}

/// With the whole chain of causes, which reqwest's own message leaves out.
pub(super) fn unreachable(error: reqwest::Error) -> KvError {
    let error = error.without_url();
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    KvError::Unreachable(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_code_and_message_on_one_line() {
        let body =
            br#"{"success":false,"errors":[{"code":10000,"message":"Authentication\nerror"}],"result":null}"#;
        let message = "Authenticationerror (10000)".to_owned();
        assert_eq!(refused(StatusCode::FORBIDDEN, body), KvError::Refused { status: 403, message });
        let html = refused(StatusCode::BAD_GATEWAY, "<html>".repeat(1_000).as_bytes());
        assert!(matches!(html, KvError::Refused { message, .. } if message.len() == MAX_MESSAGE_LEN));
    }

    #[test]
    fn bulk_values_are_base64() {
        let pair = Pair { key: "fresh/a".into(), value: vec![0, 255], expiration_ttl: Some(600) };
        let expected = r#"[{"key":"fresh/a","value":"AP8=","base64":true,"expiration_ttl":600}]"#;
        assert_eq!(bulk(&[pair]).unwrap(), expected.as_bytes());
    }
}
