//! Takes out of a stream the chunk that was only asked for to learn the usage:
//! `OpenAI`'s last one, which has usage and no choices.

use super::json::{EACH, Scanner, Value, Want};
use super::sse::{Frames, Lines, Name, Rest};

/// How much of a frame is held back until it is known which it is. A usage chunk
/// is far shorter; of any other, what decides comes in the first few hundred bytes.
pub const MAX_HELD: usize = 16 * 1024;

/// All bytes that go in come out, in order, those of the one chunk excepted.
#[derive(Debug)]
pub struct Strip {
    lines: Lines,
    frame: Frame,
    /// The beginning of the frame, which came in earlier pieces.
    held: Vec<u8>,
    /// The frame is not the one, so that all of it goes through.
    is_passing: bool,
    /// The frame that was taken out ended in a CR: an LF belongs to it.
    is_after_cr: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Choices,
    Choice,
    Usage,
}

static CHUNK: Want<Part> = Want::inside(
    "",
    &[
        Want::both("choices", Part::Choices, &[Want::both(EACH, Part::Choice, &[])]),
        Want::both("usage", Part::Usage, &[]),
    ],
);

#[derive(Debug)]
struct Frame {
    scanner: Scanner<Part>,
    has_choices: bool,
    has_choice: bool,
    has_usage: bool,
    /// Set when it ended: whether it is the one.
    verdict: Option<bool>,
}

impl Default for Strip {
    fn default() -> Self {
        Self::new()
    }
}

impl Strip {
    pub fn new() -> Self {
        let frame = Frame {
            scanner: Scanner::new(&CHUNK),
            has_choices: false,
            has_choice: false,
            has_usage: false,
            verdict: None,
        };
        Self { lines: Lines::new(), frame, held: Vec::new(), is_passing: false, is_after_cr: false }
    }

    /// Appends to `out` what may go on.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let (mut from, mut at) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.is_after_cr) && rest.starts_with(b"\n") {
                self.lines.feed(b"\n", &mut self.frame);
                at += 1;
                from = at;
                continue;
            }
            let length = memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
            let line = rest.get(..length).unwrap_or_default();
            at += length;
            self.lines.feed(line, &mut self.frame);
            let is_over = match self.frame.verdict.take() {
                Some(true) if !self.is_passing => {
                    self.held.clear();
                    from = at;
                    self.is_after_cr = line.ends_with(b"\r");
                    continue;
                }
                Some(_) => true,
                // Between frames, or after the name of one.
                None => matches!(self.lines.rest(), Rest::Empty { .. }),
            };
            self.is_passing |= self.frame.is_another() || self.held.len() + (at - from) > MAX_HELD;
            if is_over || self.is_passing {
                out.append(&mut self.held);
                out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
                from = at;
            }
            self.is_passing &= !is_over;
        }
        self.held.extend_from_slice(bytes.get(from..).unwrap_or_default());
    }

    /// What of these may go on.
    pub fn of(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::with_capacity(bytes.len());
        self.feed(bytes, &mut passed);
        passed
    }

    /// What is still held back when the stream ends, however it does.
    pub fn end(self) -> Vec<u8> {
        self.held
    }
}

impl Frame {
    /// It cannot be the one any more.
    fn is_another(&self) -> bool {
        self.has_choice || self.scanner.is_broken()
    }
}

impl Frames for Frame {
    fn data(&mut self, piece: &[u8]) {
        let (mut choices, mut choice, mut usage) = (self.has_choices, self.has_choice, self.has_usage);
        self.scanner.feed(piece, &mut |part, value, _| match part {
            Part::Choices => choices |= value == Value::Array,
            Part::Choice => choice = true,
            Part::Usage => usage |= value == Value::Object,
        });
        (self.has_choices, self.has_choice, self.has_usage) = (choices, choice, usage);
    }

    fn end(&mut self, _name: Name) {
        let is_whole = self.scanner.is_whole();
        self.verdict = Some(is_whole && self.has_choices && !self.has_choice && self.has_usage);
        self.scanner.restart();
        (self.has_choices, self.has_choice, self.has_usage) = (false, false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DELTA: &str =
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é\"}}],\"usage\":null}";
    const USAGE: &str = "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}";
    const FILTERS: &str = "data: {\"choices\":[],\"prompt_filter_results\":[{}],\"usage\":null}";

    fn strip(body: &[u8], size: usize) -> Vec<u8> {
        let (mut strip, mut out) = (Strip::new(), Vec::new());
        body.chunks(size.max(1)).for_each(|piece| strip.feed(piece, &mut out));
        out.extend(strip.end());
        out
    }

    proptest! {
        #[test]
        fn takes_out_the_one_chunk(
            frames in prop::collection::vec(prop_oneof![
                Just(DELTA), Just(USAGE), Just(FILTERS), Just(": comment"), Just("data: [DONE]"), Just("data: {broken"),
                Just("event: x"), Just("data: {\"usage\":{}}"), Just("id: 1"), Just("data: {\"choices\":[]}"),
            ], 0..12),
            newline in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            size in 1_usize..200,
            cut in any::<prop::sample::Index>(),
        ) {
            let join = |frames: &[&str]| -> String {
                frames.iter().flat_map(|frame| [*frame, newline, newline]).collect()
            };
            let body = join(&frames);
            let kept: Vec<&str> = frames.into_iter().filter(|frame| *frame != USAGE).collect();
            prop_assert_eq!(String::from_utf8(strip(body.as_bytes(), size)).unwrap(), join(&kept));
            // Cut anywhere, the whole frames are treated alike, and the rest goes through.
            let cut = &body.as_bytes()[..cut.index(body.len() + 1)];
            prop_assert_eq!(strip(cut, size), strip(cut, usize::MAX));
        }
    }

    #[test]
    fn holds_back_only_what_may_be_the_one() {
        let (mut strip, mut out) = (Strip::new(), Vec::new());
        strip.feed(b"data: {\"id\":\"c\",\"choices\":[", &mut out);
        assert!(out.is_empty());
        strip.feed(b"{\"index\":0", &mut out);
        assert!(out.ends_with(b"\"index\":0"));
        strip.feed(b"}]}\n\n: comment\ndata: [DO", &mut out);
        assert!(out.ends_with(b"data: [DO"));
        strip.feed(b"NE]\n\n", &mut out);
        out.clear();
        strip.feed(b"data: {\"x\":\"", &mut out);
        strip.feed(&[b'x'; MAX_HELD], &mut out);
        assert!(out.len() > MAX_HELD && strip.held.is_empty());
        strip.feed(b"\"}\n\n", &mut out);
        out.clear();
        strip.feed(USAGE.as_bytes(), &mut out);
        strip.feed(b"\r\n\r", &mut out);
        strip.feed(b"\ndata", &mut out);
        assert!(out.is_empty());
        assert_eq!(strip.end(), b"data");
    }
}
