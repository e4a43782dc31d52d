//! Bodies, queries and paths, read strictly. What is wrong is named by its
//! field; the value itself is not repeated, for it may be a misplaced key.

use super::error::ApiError;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::error::Category;

/// A JSON body.
pub(super) struct Body<T>(pub T);

/// A query string.
pub(super) struct Query<T>(pub T);

/// What a path names. What cannot be an id is the id of nothing: 404.
pub(super) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            let message = "the body must be JSON, with `Content-Type: application/json`";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| unread(&error))?;
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain(&error))?;
        deserializer.end().map_err(|error| syntax(&error))?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| ApiError::invalid(error.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        let message = "there is nothing with this id; ids are UUIDs";
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| ApiError::new(StatusCode::NOT_FOUND, "not_found", message))
    }
}

/// For a field that may be left out but, when there, must have a value of its
/// type. For an `Option<Option<T>>`, `null` is a value: it clears.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn unread(error: &BytesRejection) -> ApiError {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is larger than 1 MB")
    } else {
        ApiError::invalid("the body did not arrive whole")
    }
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let inner = error.inner();
    if inner.classify() != Category::Data {
        return syntax(inner);
    }
    let text = inner.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let names_a_field =
        ["unknown field", "missing field", "duplicate field"].iter().any(|start| text.starts_with(start));
    let path = error.path().to_string();
    let message = match text.rsplit_once("expected ") {
        _ if names_a_field && path == "." => text.to_owned(),
        _ if names_a_field => format!("{path}: {text}"),
        Some((_, expected)) => format!("{path}: expected {expected}"),
        None => format!("{path}: {}", text.split_once(": ").map_or(text, |(kind, _)| kind)),
    };
    ApiError::invalid(message)
}

fn syntax(error: &serde_json::Error) -> ApiError {
    ApiError::invalid(format!("the body is not JSON: see line {}, column {}", error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are looked at")]
    struct Sample {
        name: String,
        inner: Option<Inner>,
        #[serde(default, deserialize_with = "present")]
        weight: Option<u32>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the errors are looked at")]
    struct Inner {
        list: Vec<u32>,
    }

    fn message(body: &str) -> String {
        let mut deserializer = serde_json::Deserializer::from_str(body);
        let error = serde_path_to_error::deserialize::<_, Sample>(&mut deserializer).unwrap_err();
        explain(&error).message
    }

    #[test]
    fn errors_name_the_field_and_not_the_value() {
        assert!(message(r#"{"name":"a","nick":1}"#).contains("unknown field `nick`"));
        assert!(message("{}").contains("missing field `name`"));
        assert_eq!(message(r#"{"name":5}"#), "name: expected a string");
        assert_eq!(message(r#"{"name":"a","weight":"sk-secret"}"#), "weight: expected u32");
        assert_eq!(message(r#"{"name":"a","weight":null}"#), "weight: expected u32");
        assert_eq!(
            message(r#"{"name":"a","inner":{"list":[1,"sk-secret"]}}"#),
            "inner.list[1]: expected u32"
        );
        assert!(message(r#"{"name":"#).starts_with("the body is not JSON"));
    }
}
