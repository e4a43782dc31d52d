//! Takes out of a body what a redactor finds.
//!
//! It looks twice: at what the body's strings say, decoded, and joined over the
//! frames of a stream; then at the body as it is.

use super::literals::{self, Run};
use shared::redaction::{REPLACEMENT, Redactor};
use std::ops::Range;

/// What is written in place of what.
type Edit = (Range<usize>, &'static str);

/// The beginning of `body`, up to `end`. What lies beyond is looked at too, so
/// that nothing remains of a match that begins before.
pub(super) fn redact(body: &str, redactor: &Redactor, end: usize) -> String {
    let mut edits: Vec<Edit> = literals::runs(body).iter().flat_map(|run| edits(run, redactor)).collect();
    edits.sort_unstable_by_key(|(range, _)| range.start);
    let (text, end) = apply(body, edits, end);
    let found = redactor.find(&text).into_iter().map(|range| (range, REPLACEMENT)).collect();
    let (mut text, end) = apply(&text, found, end);
    text.truncate(end);
    text
}

/// What was found in a run. What stands in its place is where it begins.
fn edits(run: &Run, redactor: &Redactor) -> Vec<Edit> {
    let said: String = run.iter().map(|literal| literal.text.as_str()).collect();
    let (mut edits, mut found) = (Vec::new(), redactor.find(&said).into_iter().peekable());
    let mut begin = 0;
    for literal in run {
        let end = begin + literal.text.len();
        while let Some(range) = found.peek().filter(|range| range.start < end) {
            let within = range.start.max(begin) - begin..range.end.min(end) - begin;
            let written = if range.start >= begin { REPLACEMENT } else { "" };
            edits.push((literal.place(within.start)..literal.place(within.end), written));
            if range.end > end {
                break;
            }
            found.next();
        }
        begin = end;
    }
    edits
}

/// The text with the edits, which are in order, and where `end` is then: before
/// what was found there.
fn apply(text: &str, edits: Vec<Edit>, end: usize) -> (String, usize) {
    let (mut edited, mut from, mut new_end) = (String::with_capacity(text.len()), 0, None);
    for (range, written) in edits {
        if range.end > end && new_end.is_none() {
            new_end = Some(edited.len() + end.min(range.start) - from);
        }
        edited.push_str(&text[from..range.start]);
        edited.push_str(written);
        from = range.end;
    }
    let new_end = new_end.unwrap_or_else(|| edited.len() + end - from);
    edited.push_str(&text[from..]);
    (edited, new_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(patterns: &[&str], body: &str) -> String {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        super::redact(body, &Redactor::new(&patterns).unwrap(), body.len())
    }

    const MAIL: &str = r"[a-z0-9.]+@[a-z0-9.]+";

    #[test]
    fn every_other_byte_stays_as_it_was() {
        for body in [
            "",
            "{}",
            "{ \"a\" : [1.0e5, \"\\u0041\\/\" ] }\n",
            "data: {\"a\":\"b\"}\r\n\r\ndata: [DONE]\n\n",
            "é \"x",
        ] {
            assert_eq!(redact(&[MAIL], body), body);
        }
        assert_eq!(
            redact(&[MAIL], "{ \"a\":\"\\u00e9 ada@example.com\\n\", \"b\" : \"\\u00e9\" }"),
            "{ \"a\":\"\\u00e9 [redacted]\\n\", \"b\" : \"\\u00e9\" }"
        );
    }

    #[test]
    fn what_is_written_with_escapes_is_found() {
        assert_eq!(redact(&[MAIL], r#"{"a":"ada\u0040example.com"}"#), r#"{"a":"[redacted]"}"#);
        assert_eq!(redact(&["^x\n"], r#"{"a":"x\ny"}"#), r#"{"a":"[redacted]y"}"#);
        assert_eq!(redact(&[], r#"{"a":"\nsk-0123456789abcdefgh"}"#), r#"{"a":"\n[redacted]"}"#);
    }

    #[test]
    fn what_is_no_string_is_found_too() {
        assert_eq!(redact(&["[0-9]{16}"], r#"{"card":4111111111111111}"#), r#"{"card":[redacted]}"#);
        assert_eq!(redact(&[r#""pin":"[^"]*""#], r#"{"pin":"1","b":2}"#), r#"{[redacted],"b":2}"#);
        assert_eq!(redact(&[MAIL], "from ada@example.com"), "from [redacted]");
        assert_eq!(redact(&[MAIL], r#"{"ada@example.com":1}"#), r#"{"[redacted]":1}"#);
    }

    #[test]
    fn what_a_stream_has_in_pieces_is_found() {
        let frame = |text: &&str| {
            format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
        };
        let stream = |texts: &[&str]| texts.iter().map(frame).collect::<String>() + "data: [DONE]\n\n";
        assert_eq!(
            redact(&[MAIL], &stream(&["I am a", "da", "@", "exam", "ple.com and ", "b", "@b.c."])),
            stream(&["I am [redacted]", "", "", "", " and ", "[redacted]", ""])
        );
    }

    #[test]
    fn the_end_stays_where_it_is_unless_it_is_in_a_match() {
        let redactor = Redactor::new(&[MAIL.to_owned()]).unwrap();
        let body = "{\"a\":\"x ada@example.com\",\"b\":\"y\"}";
        let end = |end: usize| super::redact(body, &redactor, end);
        assert_eq!(end(4), "{\"a\"");
        assert_eq!(end(10), "{\"a\":\"x ");
        assert_eq!(end(28), "{\"a\":\"x [redacted]\",\"b\"");
        let plain = "x ada@example.com y";
        assert_eq!(super::redact(plain, &redactor, 5), "x ");
        assert_eq!(super::redact(plain, &redactor, 18), "x [redacted] ");
    }
}
