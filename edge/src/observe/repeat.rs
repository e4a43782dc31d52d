//! Frames that are as the one before them, but for strings that do not matter:
//! most of a stream is that. To compare costs less than to read.

use super::facts::Facts;
use super::fields::Field;
use super::json::{Value, plain};

/// What is longer is read each time.
const MAX_LEN: usize = 2048;
const MAX_STRINGS: usize = 24;
/// After so many frames that no other was like, no more are learned.
const MAX_LEARNED: u8 = 16;

/// A frame that told nothing new but text, and where in it strings may differ.
#[derive(Debug, Default)]
pub(crate) struct Repeat {
    /// Empty: none is known.
    frame: Vec<u8>,
    strings: Vec<Free>,
    /// Since the last one that was like another.
    learned: u8,
}

/// Where a string's content is.
#[derive(Clone, Copy, Debug)]
struct Free {
    start: usize,
    end: usize,
    is_text: bool,
}

/// What a frame told while it was read: where its strings end that matter.
#[derive(Debug, Default)]
pub(crate) struct Told {
    fixed: Vec<u64>,
    text: Vec<u64>,
    is_more: bool,
}

impl Told {
    pub(crate) fn note(&mut self, field: Field, value: Value<'_>, at: u64) {
        match (field, value) {
            (Field::Arguments, _) => self.is_more = true,
            (Field::Text, Value::Length(_)) => self.text.push(at),
            (_, Value::Text(_)) => self.fixed.push(at),
            _ => {}
        }
        self.is_more |= self.fixed.len() > MAX_STRINGS || self.text.len() > MAX_STRINGS;
    }
}

impl Repeat {
    /// How many bytes of text there are in a frame like the last one: it tells
    /// nothing else that is new.
    #[inline]
    pub(crate) fn text_of(&mut self, frame: &[u8]) -> Option<u64> {
        if self.frame.is_empty() {
            return None;
        }
        let (mut rest, mut from, mut text) = (frame, 0, 0);
        for Free { start, end, is_text } in &self.strings {
            rest = rest.strip_prefix(self.frame.get(from..*start)?)?;
            let length = plain(rest);
            if *is_text {
                text += length as u64;
            }
            // Its quote is the first byte of what must follow.
            rest = rest.get(length..)?;
            from = *end;
        }
        if rest != self.frame.get(from..)? {
            return None;
        }
        self.learned = 0;
        Some(text)
    }

    /// The last frame that was learned was found again.
    #[cfg(test)]
    pub(crate) fn has_repeated(&self) -> bool {
        self.learned == 0 && !self.frame.is_empty()
    }

    pub(crate) fn is_learning(&self) -> bool {
        self.learned < MAX_LEARNED
    }

    /// `frame` was read, which is a whole document, and told this.
    pub(crate) fn learn(&mut self, frame: &[u8], told: &Told, before: &Facts, after: &Facts) {
        if !before.is_same_but_for_text(after) {
            return self.forget();
        }
        // Else the one before still holds.
        if let Some(strings) = free(frame, told) {
            self.learned += 1;
            self.strings = strings;
            self.frame.clear();
            self.frame.extend_from_slice(frame);
        }
    }

    /// Something else was told meanwhile.
    pub(crate) fn forget(&mut self) {
        self.frame.clear();
    }
}

/// The strings of a document that may be others; none if that is not worth it.
fn free(document: &[u8], told: &Told) -> Option<Vec<Free>> {
    if document.len() > MAX_LEN || told.is_more || document.contains(&b'\\') {
        return None;
    }
    let mut strings = Vec::new();
    let mut at = 0;
    while let Some(quote) = document.get(at..)?.iter().position(|byte| *byte == b'"') {
        let start = at + quote + 1;
        let end = start + plain(document.get(start..)?);
        at = end + 1;
        let is_key = document.get(at..)?.trim_ascii_start().starts_with(b":");
        if !is_key && !told.fixed.contains(&(at as u64)) {
            strings.push(Free { start, end, is_text: told.text.contains(&(at as u64)) });
        }
    }
    let are_all_found = strings.iter().filter(|string| string.is_text).count() == told.text.len();
    (strings.len() <= MAX_STRINGS && are_all_found).then_some(strings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::dialect::Dialect;
    use crate::observe::fields;
    use crate::observe::json::Scanner;

    fn learned(document: &str) -> Repeat {
        let (mut scanner, mut told) = (Scanner::new(fields::of(Dialect::Chat)), Told::default());
        scanner.feed(document.as_bytes(), &mut |field, value, at| told.note(field, value, at));
        let mut repeat = Repeat::default();
        repeat.learn(document.as_bytes(), &told, &Facts::default(), &Facts::default());
        repeat
    }

    #[test]
    fn only_strings_that_do_not_matter_may_differ() {
        let frame = |id, model, text, more| {
            format!(
                r#"{{"id":"{id}","model":"{model}","choices":[{{"delta":{{"content":"{text}"}}}}]{more}}}"#
            )
        };
        let mut repeat = learned(&frame("a", "m", "so", ""));
        let mut text = |frame: String| repeat.text_of(frame.as_bytes());
        assert_eq!(text(frame("a", "m", "so", "")), Some(2));
        assert_eq!(text(frame("bcd", "m", "", "")), Some(0));
        assert_eq!(text(frame("", "m", "sö [1] {}", "")), Some(10));
        for other in [
            frame("a", "n", "so", ""),
            frame("a", "m", "so", r#","usage":null"#),
            frame("a", "m", "so", " "),
            frame("a", "m", r#"\""#, ""),
            frame("a", "m", r#"so","refusal":"no"#, ""),
            frame("a", "m", "so", "")[1..].to_owned(),
            frame("a", "m", "so", "")[..40].to_owned(),
        ] {
            assert_eq!(text(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_not_learned() {
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(MAX_LEN));
        let many = format!("[{}]", vec![r#""x""#; MAX_STRINGS + 1].join(","));
        for document in [r#"{"id":"a\"b"}"#, &long, &many, r#"{"choices":[{"delta":{"content":"\n"}}]}"#] {
            assert_eq!(learned(document).text_of(document.as_bytes()), None, "{document}");
        }
    }
}
