//! The page that Cloudflare shows in place of a provider it cannot reach.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, SERVER};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Response};

const PAGE: &str = include_str!("page.html");

const RAY: &str = "9eded6e1cfd4dcfe";

/// What it calls each status; none for those that it has no page for.
pub(crate) fn title(code: u16) -> Option<&'static str> {
    match code {
        520 => Some("Web server is returning an unknown error"),
        521 => Some("Web server is down"),
        522 => Some("Connection timed out"),
        523 => Some("Origin is unreachable"),
        524 => Some("A timeout occurred"),
        525 => Some("SSL handshake failed"),
        526 => Some("Invalid SSL certificate"),
        530 => Some("Origin DNS error"),
        _ => None,
    }
}

pub(super) fn response(status: StatusCode) -> Response {
    let code = status.as_u16();
    // The page of 530 names the reason by a number of its own.
    let shown = if code == 530 { 1016 } else { code };
    let page = PAGE
        .replace("{code}", &shown.to_string())
        .replace("{title}", title(code).unwrap_or_default())
        .replace("{ray}", RAY);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=UTF-8"),
        (CACHE_CONTROL, "private, max-age=0, no-store, no-cache, must-revalidate, post-check=0, pre-check=0"),
        (SERVER, "cloudflare"),
        (HeaderName::from_static("cf-ray"), "9eded6e1cfd4dcfe-SJC"),
    ];
    (status, headers, page).into_response()
}
