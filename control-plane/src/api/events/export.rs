//! Everything that matches, as it is read: a page of the database at a time is
//! in memory. An export that fails midway is cut off, so that it cannot pass for whole.

use super::Event;
use crate::domain::events::Filter;
use crate::domain::{self, Domain};
use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::Value;
use uuid::Uuid;

/// The columns, in this order; each is a field of an [`Event`].
const COLUMNS: [&str; 29] = [
    "id",
    "started_at",
    "first_byte_at",
    "ended_at",
    "project_id",
    "token_id",
    "provider",
    "method",
    "endpoint",
    "model_requested",
    "model",
    "status",
    "error_code",
    "completion",
    "requests",
    "bytes_in",
    "bytes_out",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "usage_source",
    "cost_usd",
    "snapshot_version",
    "colo",
    "country",
    "isolate_id",
    "seq",
    "attempts",
];

/// One JSON object a line.
pub(super) fn json_lines(domain: Domain, filter: Filter) -> Response {
    let pages = pages(domain, filter, String::new(), |event, to| {
        to.push_str(&event.to_string());
        to.push('\n');
    });
    answer(pages, "application/x-ndjson", "attachment; filename=\"events.jsonl\"")
}

/// RFC 4180, with a header.
pub(super) fn csv(domain: Domain, filter: Filter) -> Response {
    let header = COLUMNS.join(",") + "\r\n";
    let pages = pages(domain, filter, header, |event, to| {
        let fields = COLUMNS.map(|column| field(&event[column]));
        to.push_str(&fields.join(","));
        to.push_str("\r\n");
    });
    answer(pages, "text/csv; charset=utf-8", "attachment; filename=\"events.csv\"")
}

fn answer(body: Body, kind: &'static str, name: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], body).into_response()
}

/// `start`, then all events as `write` has them.
fn pages(domain: Domain, filter: Filter, start: String, write: fn(&Value, &mut String)) -> Body {
    let first = Some((Uuid::max(), start));
    Body::from_stream(stream::try_unfold(first, move |next| {
        let (domain, filter) = (domain.clone(), filter.clone());
        async move {
            let Some((before, mut text)) = next else { return Ok(None) };
            let rows = domain.export_events(&filter, before).await?;
            let rest = rows.last().map(|last| (last.event.id, String::new()));
            for row in rows {
                write(&serde_json::to_value(Event::new(row, filter.with_bodies))?, &mut text);
            }
            Ok::<_, domain::Error>(Some((text, rest)))
        }
    }))
}

fn field(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        Value::Array(_) | Value::Object(_) => quoted(&value.to_string()),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text that a spreadsheet would compute gets an apostrophe in front: clients choose some of these.
fn quoted(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let apostrophe = if is_formula { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_quoted_and_compute_nothing() {
        assert_eq!(field(&json!(null)), "");
        assert_eq!(field(&json!(5)), "5");
        assert_eq!(field(&json!("a,\"b\"\nc")), "\"a,\"\"b\"\"\nc\"");
        assert_eq!(field(&json!("=1+1")), "\"'=1+1\"");
        assert_eq!(field(&json!([{ "a": 1 }])), "\"[{\"\"a\"\":1}]\"");
    }
}
