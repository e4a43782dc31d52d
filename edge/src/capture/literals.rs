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
    /// Places in `text`, and between the quotes.
    marks: Vec<(usize, usize)>,
}

impl Literal {
    fn new(body: &str, range: Range<usize>) -> Self {
        let literal = &body[range.clone()];
        let inner = literal.strip_prefix('"').unwrap_or(literal);
        let (text, marks) = decode(inner.strip_suffix('"').unwrap_or(inner));
        Self { range, text, marks }
    }

    /// Where in the body a place in the text is.
    pub(super) fn place(&self, at: usize) -> usize {
        let last = self.marks.partition_point(|(place, _)| *place <= at).checked_sub(1);
        let (place, inner) = last.map_or((0, 0), |last| self.marks[last]);
        self.range.start + 1 + inner + (at - place)
    }
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
        let literal = Literal::new(self.text, range);
        if let Some(level) = self.levels.last_mut().filter(|level| level.awaits_name) {
            level.awaits_name = false;
            level.is_index = literal.text.ends_with("index");
            level.place = hash(&literal.text);
            found.names.push(vec![literal]);
        } else {
            let places: Vec<u64> = self.levels.iter().map(|level| level.place).collect();
            found.frame.push((hash(&places), literal));
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

/// What is between the quotes, and where the places around each escape are in
/// either. What is not well-formed is read as well as can be.
fn decode(inner: &str) -> (String, Vec<(usize, usize)>) {
    let (mut text, mut marks, mut at) = (String::with_capacity(inner.len()), Vec::new(), 0);
    while let Some(plain) = inner[at..].find('\\') {
        text.push_str(&inner[at..at + plain]);
        at += plain;
        marks.push((text.len(), at));
        let (char, length) = escaped(&inner[at..]);
        text.push(char);
        at += length;
        marks.push((text.len(), at));
    }
    text.push_str(&inner[at..]);
    (text, marks)
}

/// The character that an escape stands for, and how long it is.
fn escaped(from: &str) -> (char, usize) {
    let Some(char) = from[1..].chars().next() else { return ('\\', 1) };
    match char {
        'b' => ('\u{8}', 2),
        'f' => ('\u{c}', 2),
        'n' => ('\n', 2),
        'r' => ('\r', 2),
        't' => ('\t', 2),
        'u' => {
            let Some(unit) = unit(from) else { return (char::REPLACEMENT_CHARACTER, 2) };
            // Half of a pair alone is no character.
            let pair = from.get(6..).and_then(self::unit);
            match (
                char::decode_utf16([unit]).next(),
                char::decode_utf16([unit].into_iter().chain(pair)).next(),
            ) {
                (Some(Ok(char)), _) => (char, 6),
                (_, Some(Ok(char))) => (char, 12),
                _ => (char::REPLACEMENT_CHARACTER, 6),
            }
        }
        other => (other, 1 + other.len_utf8()),
    }
}

/// The number in `\uXXXX`.
fn unit(from: &str) -> Option<u16> {
    let digits = from.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok()
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
            assert_eq!(Literal::new(literal, 0..literal.len()).text, text, "{literal}");
        }
    }

    proptest! {
        #[test]
        fn any_string_is_found_as_it_was(text in ".*", is_escaped: bool) {
            let mut literal = serde_json::to_string(&text).unwrap();
            if is_escaped {
                let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                literal = format!("\"{}\"", units.concat());
            }
            let body = format!("{{\"a\":[{literal}]}}");
            let runs = runs(&body);
            let [_, run] = runs.as_slice() else { panic!("{runs:?}") };
            prop_assert_eq!(&run[0].text, &text);
            for (at, char) in text.char_indices() {
                let written = &body[run[0].place(at)..run[0].place(at + char.len_utf8())];
                let quoted = format!("\"{written}\"");
                prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), char.to_string());
            }
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
