//! What is appended to an answer that broke off, so that its reader raises.
//!
//! The break may be anywhere, so what comes first must end what is there. A frame
//! that is cut in the middle of its JSON would be a syntax error for every SDK,
//! an obscure one, and the text in it would be lost or shown as the case may be.
//! Therefore its JSON is completed, with members that make an error of it: in all
//! SDKs the last of two members of one name counts. Since some look at nothing but
//! what they know (Vercel's AI SDK for `OpenAI`), or at errors in the first member
//! only (Google's for Python), a frame with the error alone follows it.

use super::body::Body;
use super::dialect::Dialect;
use super::sse::Rest;
use crate::refusal::Refusal;
use serde_json::json;

/// None where nothing can be appended.
pub(crate) fn of(body: &Body, refusal: &Refusal) -> Option<String> {
    let dialect = body.reader.dialect;
    if body.is_events() {
        let object = object(dialect, refusal, body.reader.frames);
        return Some(after_events(body, dialect, &object));
    }
    if body.is_array() { after_array(body, &object(dialect, refusal, 0)) } else { None }
}

/// The error, as the provider has it in a stream.
fn object(dialect: Dialect, refusal: &Refusal, frames: u64) -> String {
    let body = refusal.body(dialect.api());
    if dialect != Dialect::Responses {
        return body;
    }
    // Its own form is flat; its SDKs look for an `error` all the same.
    // <https://platform.openai.com/docs/api-reference/responses-streaming/error>
    let flat = json!({
        "type": "error",
        "sequence_number": frames,
        "code": refusal.code.as_str(),
        "message": refusal.message,
        "param": null,
    });
    let flat = flat.to_string();
    match (flat.strip_suffix('}'), body.strip_prefix('{')) {
        (Some(flat), Some(error)) => format!("{flat},{error}"),
        _ => flat,
    }
}

fn after_events(body: &Body, dialect: Dialect, object: &str) -> String {
    let name = match dialect {
        Dialect::Messages | Dialect::Responses => "event: error\n",
        _ => "",
    };
    let alone = format!("{name}data: {object}\n\n");
    let rest = body.lines.rest();
    if let (Rest::Data(missing), true) = (rest, body.reader.is_before_data()) {
        return format!("{missing}{object}\n{name}\n");
    }
    match rest {
        Rest::Empty { is_after_cr: false } => alone,
        // Google's for Node takes a frame to end in `\n\n`, `\r\r` or `\r\n\r\n`.
        Rest::Empty { is_after_cr: true } | Rest::Other { has_data: false } => format!("\n{alone}"),
        Rest::Other { has_data: true } => format!("\n\n{alone}"),
        Rest::Between { blank } => match completed(body, dialect, object) {
            Some(rest) => format!("data: {rest}\n{name}\n{alone}"),
            None => format!("{blank}{alone}"),
        },
        Rest::Data(missing) => match completed(body, dialect, object) {
            Some(rest) => format!("{missing}{rest}\n{name}\n{alone}"),
            None => format!("{missing}\n\n{alone}"),
        },
    }
}

/// What completes the frame's data, and makes an error of it.
fn completed(body: &Body, dialect: Dialect, object: &str) -> Option<String> {
    let rest = body.reader.scanner.completion(1)?;
    // Nothing of what the frame holds is to pass for content.
    let emptied = match dialect {
        Dialect::Chat => "\"choices\":[],",
        Dialect::Gemini => "\"candidates\":[],\"usageMetadata\":null,",
        Dialect::Messages => "\"message\":null,\"delta\":null,\"content_block\":null,",
        _ => "",
    };
    Some(format!("{rest}{emptied}{}", object.strip_prefix('{')?))
}

fn after_array(body: &Body, object: &str) -> Option<String> {
    let scanner = &body.reader.scanner;
    if scanner.is_untouched() {
        return Some(format!("[{object}]"));
    }
    if let Some(needs_comma) = scanner.waits_for_element() {
        return Some(format!("{}{object}]", if needs_comma { "," } else { "" }));
    }
    let rest = scanner.completion(2)?;
    Some(format!("{rest}\"candidates\":[],{},{object}]", object.strip_prefix('{')?))
}
