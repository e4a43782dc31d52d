//! The strings in a body of JSON, or of server-sent events whose data is JSON.
//!
//! They are what patterns are meant for: decoded, and joined where a stream has
//! one text in many frames. Nothing is refused: what cannot be read is left out.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// A string as it is in the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// With its quotes.
    pub(super) range: Range<usize>,
    /// What it says.
    pub(super) text: String,
}

/// Strings that continue each other: those of one place in all frames.
pub(super) type Run = Vec<Literal>;

/// All of them, each in one run.
pub(super) fn runs(body: &str) -> Vec<Run> {
    let mut found = Found::default();
    let start = body.trim_start();
    let at = body.len() - start.len();
    match start.as_bytes().first() {
        // Gemini's stream may be an array, each element of which is a frame.
        Some(b'[') => Scan::new(body, at, true).all(&mut found),
        Some(b'{' | b'"') => Scan::new(body, at, false).all(&mut found),
        _ => {
            let mut from = 0;
            for line in body.split_inclusive(['\n', '\r']) {
                if line.starts_with("data:") {
                    let end = from + line.trim_end_matches(['\n', '\r']).len();
                    Scan::new(&body[..end], from + "data:".len(), false).all(&mut found);
                    found.frame_ends();
                }
                from += line.len();
            }
        }
    }
    let is_document = matches!(start.as_bytes().first(), Some(b'{' | b'"'));
    found.runs(is_document)
}

#[derive(Default)]
struct Found {
    runs: BTreeMap<u64, Run>,
    /// Names of members, which continue nothing.
    names: Vec<Run>,
    /// Of the frame that is being read, with the place of each.
    frame: Vec<(u64, Literal)>,
    /// Which of several texts the frame is about: `index` of a choice or block.
    index: DefaultHasher,
}

impl Found {
    fn frame_ends(&mut self) {
        let index = std::mem::take(&mut self.index).finish();
        for (place, literal) in self.frame.drain(..) {
            self.runs.entry(place ^ index).or_default().push(literal);
        }
    }

    fn runs(mut self, is_document: bool) -> Vec<Run> {
        if is_document {
            self.names.extend(self.frame.drain(..).map(|(_, literal)| vec![literal]));
        }
        self.frame_ends();
        self.names.extend(self.runs.into_values());
        self.names
    }
}

/// Reads JSON without judging it.
struct Scan<'a> {
    text: &'a str,
    at: usize,
    is_array_of_frames: bool,
    levels: Vec<Level>,
}

struct Level {
    is_object: bool,
    /// In an object: the next string is a name.
    awaits_name: bool,
    /// The member's name or the element's number.
    place: u64,
    is_index: bool,
}

impl<'a> Scan<'a> {
    fn new(text: &'a str, at: usize, is_array_of_frames: bool) -> Self {
        Self { text, at, is_array_of_frames, levels: Vec::new() }
    }

    fn all(mut self, found: &mut Found) {
        while let Some(&byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'"' => self.string(found),
                b'{' | b'[' => {
                    let is_object = byte == b'{';
                    self.levels.push(Level { is_object, awaits_name: is_object, place: 0, is_index: false });
                    self.at += 1;
                }
                b'}' | b']' => {
                    self.levels.pop();
                    self.at += 1;
                }
                b',' => {
                    self.comma(found);
                    self.at += 1;
                }
                b'0'..=b'9' => self.number(found),
                _ => self.at += 1,
            }
        }
    }

    fn comma(&mut self, found: &mut Found) {
        let is_root = self.levels.len() == 1;
        let Some(level) = self.levels.last_mut() else { return };
        if level.is_object {
            level.awaits_name = true;
        } else if is_root && self.is_array_of_frames {
            found.frame_ends();
        } else {
            level.place += 1;
        }
    }

    fn number(&mut self, found: &mut Found) {
        let length = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if self.levels.last().is_some_and(|level| level.is_object && level.is_index) {
            self.text[self.at..self.at + length].hash(&mut found.index);
        }
        self.at += length;
    }

    fn string(&mut self, found: &mut Found) {
        let range = self.at..end_of_string(self.text.as_bytes(), self.at);
        self.at = range.end;
        let text = decode(&self.text[range.clone()]);
        if let Some(level) = self.levels.last_mut().filter(|level| level.awaits_name) {
            level.awaits_name = false;
            level.is_index = text.ends_with("index");
            level.place = hash(&text);
            found.names.push(vec![Literal { range, text }]);
        } else {
            let places: Vec<u64> = self.levels.iter().map(|level| level.place).collect();
            found.frame.push((hash(&places), Literal { range, text }));
        }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// After its closing quote, or that of the text.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// What a string says; one that is not well-formed, as well as can be.
fn decode(literal: &str) -> String {
    let inner = literal.strip_prefix('"').unwrap_or(literal);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut parts = inner.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut high = None;
    while let Some(part) = parts.next() {
        let mut chars = part.chars();
        let unit = match chars.next() {
            // The next part is what follows an escaped backslash.
            None => {
                text.push('\\');
                text.push_str(parts.next().unwrap_or_default());
                continue;
            }
            Some('u') => {
                let unit = part.get(1..5).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                if unit.is_some() {
                    chars = part[5..].chars();
                }
                unit.unwrap_or(0xfffd)
            }
            Some('b') => 8,
            Some('f') => 0xc,
            Some('n') => 0xa,
            Some('r') => 0xd,
            Some('t') => 9,
            Some(other) => {
                text.push(other);
                text.push_str(chars.as_str());
                continue;
            }
        };
        let rest = chars.as_str();
        if rest.is_empty() && (0xd800..0xdc00).contains(&unit) {
            high = Some(unit);
            continue;
        }
        text.extend(
            char::decode_utf16(high.take().into_iter().chain([unit])).map(|char| char.unwrap_or('\u{fffd}')),
        );
        text.push_str(rest);
    }
    text.extend(high.map(|_| '\u{fffd}'));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What each run says, sorted; names of members left out.
    fn said(body: &str) -> Vec<String> {
        let mut said: Vec<String> = runs(body)
            .iter()
            .filter(|run| !body[run[0].range.end..].trim_start().starts_with(':'))
            .map(|run| run.iter().map(|literal| literal.text.as_str()).collect())
            .collect();
        said.sort();
        said
    }

    #[test]
    fn the_strings_of_a_document_stand_alone() {
        assert_eq!(said(r#"{"a":["x","y\u0040\n"],"b":{"a":"z"},"c":1}"#), ["x", "y@\n", "z"]);
        assert_eq!(said(" \"alone\""), ["alone"]);
        assert_eq!(said("plain text \"quoted\""), Vec::<String>::new());
        assert_eq!(said(r#"{"a":"not ended \"#), ["not ended \\"]);
    }

    #[test]
    fn a_text_in_many_frames_is_joined() {
        let frame = |index: u32, text: &str| {
            format!(
                "data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"index\":{index}}}]}}\r\n\r\n"
            )
        };
        let body = [
            frame(0, "ada@"),
            frame(1, "not "),
            frame(0, "example"),
            ": ping\n\n".into(),
            frame(1, "this"),
            frame(0, ".com"),
            "data: [DONE]\n\n".into(),
        ]
        .concat();
        assert_eq!(said(&body), ["ada@example.com", "cc", "ccc", "not this"]);
        let array = r#"[{"candidates":[{"content":{"parts":[{"text":"ada"}]}}]}
,{"candidates":[{"content":{"parts":[{"text":"@example.com"}]}}]}]"#;
        assert_eq!(said(array), ["ada@example.com"]);
    }

    #[test]
    fn strings_are_decoded() {
        for (literal, text) in [
            (r#""\"\\\/\b\f\n\r\tA""#, "\"\\/\u{8}\u{c}\n\r\tA"),
            (r#""\u00e9\ud83d\udd11\\u0040""#, "é\u{1f511}\\u0040"),
            (r#""\ud83dx\udd11\uzzzz\u12\ud83d""#, "\u{fffd}x\u{fffd}\u{fffd}zzzz\u{fffd}12\u{fffd}"),
            (r#""\\\\""#, "\\\\"),
            (r#""é\u"#, "é\u{fffd}"),
        ] {
            assert_eq!(decode(literal), text, "{literal}");
        }
    }

    proptest! {
        #[test]
        fn any_string_is_found_as_it_was(text in ".*", is_escaped: bool) {
            let mut literal = serde_json::to_string(&text).unwrap();
            if is_escaped {
                let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                literal = format!("\"{units}\"");
            }
            let body = format!("{{\"a\":[{literal}]}}");
            let runs = runs(&body);
            let [_, run] = runs.as_slice() else { panic!("{runs:?}") };
            prop_assert_eq!(&run[0].text, &text);
            prop_assert_eq!(&body[run[0].range.clone()], &literal);
        }

        #[test]
        fn nothing_is_too_odd(body in "(data:|[{}\\[\\],:\"\\\\u0-9é\n]){0,60}") {
            for run in runs(&body) {
                for literal in run {
                    prop_assert!(body.get(literal.range).is_some());
                }
            }
        }
    }
}
