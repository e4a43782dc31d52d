//! Server-sent events that come in pieces of any size, after the
//! [WHATWG's parsing rules](https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
//! Nothing is kept: data is passed on as it comes.

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What names of frames begin with that matter, each by another letter.
const WORDS: [(&[u8], Name); 3] =
    [(b"error", Name::Error), (b"message_", Name::Message), (b"content_block_", Name::Message)];

/// What a frame is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Name {
    #[default]
    None,
    /// `error` alone.
    Error,
    /// One of those that Anthropic's messages consist of.
    Message,
    Other,
}

/// Whom the lines tell of what they hold.
pub(crate) trait Frames {
    /// A piece of the data of a frame; where it has several lines, with the
    /// newlines between them.
    fn data(&mut self, piece: &[u8]);
    /// A blank line ends the frame.
    fn end(&mut self, name: Name);
    /// A line that is no field's, but looks like the data of a frame.
    fn stray(&mut self) {}
    /// Nothing is to be read any more.
    fn is_over(&self) -> bool {
        false
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At the very start, after so many bytes of a byte order mark.
    Bom(usize),
    Start,
    /// In a field's name, so far like this one.
    Name(Field, usize),
    /// Where one space may be that is no part of the value.
    Before(Field),
    Data,
    /// At the start of the frame's name.
    Naming,
    /// In it, so far like this one of [`WORDS`].
    Named(usize, usize),
    /// In a comment, another field, or an event of another name.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
}

/// What a line that broke off needs, so that another can follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// At the start of a line, of a frame that has no data yet.
    Empty { is_after_cr: bool },
    /// At the start of a line, of a frame with data. A blank line ends it.
    Between { blank: &'static str },
    /// In a data line: in its name, of which this is missing, or in its value.
    Data(&'static str),
    /// In another line; the frame has data, or has none.
    Other { has_data: bool },
}

#[derive(Debug)]
pub(crate) struct Lines {
    line: Line,
    /// The last byte was a CR, so that an LF would belong to it.
    is_after_cr: bool,
    has_data: bool,
    name: Name,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Event => "event",
        }
    }
}

impl Lines {
    pub(crate) fn new() -> Self {
        Self { line: Line::Bom(0), is_after_cr: false, has_data: false, name: Name::None }
    }

    /// What is left of `bytes` where nothing is to be read any more.
    pub(crate) fn feed<'a>(&mut self, bytes: &'a [u8], frames: &mut impl Frames) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if self.line == Line::Start && frames.is_over() {
                break;
            }
            rest = match self.line {
                Line::Start => self.start(rest, byte, after, frames),
                Line::Data => self.skip(rest, |piece| frames.data(piece)),
                Line::Other => self.skip(rest, |_| {}),
                Line::Before(field) => {
                    self.value(field, frames);
                    if byte == b' ' { after } else { rest }
                }
                Line::Name(field, matched) => self.field(field, matched, rest, byte, after, frames),
                Line::Naming | Line::Named(..) if is_newline(byte) => self.end_line(rest),
                Line::Naming => {
                    self.name = Name::Other;
                    match WORDS.iter().position(|(word, _)| word.first() == Some(&byte)) {
                        Some(word) => self.line = Line::Named(word, 1),
                        None => self.line = Line::Other,
                    }
                    after
                }
                Line::Named(word, matched) => {
                    self.named(word, matched, byte);
                    after
                }
                Line::Bom(matched) if BOM.get(matched) == Some(&byte) => {
                    self.line = if matched + 1 == BOM.len() { Line::Start } else { Line::Bom(matched + 1) };
                    after
                }
                Line::Bom(matched) => {
                    self.line = if matched == 0 { Line::Start } else { Line::Other };
                    rest
                }
            };
        }
        rest
    }

    fn named(&mut self, word: usize, matched: usize, byte: u8) {
        let Some((word_is, name)) = WORDS.get(word) else { return };
        let is_same = word_is.get(matched) == Some(&byte);
        let is_all = is_same && matched + 1 == word_is.len();
        self.name = if is_all { *name } else { Name::Other };
        // Whatever follows `error` makes another name of it; the others only begin so.
        let goes_on = is_same && (!is_all || *name == Name::Error);
        self.line = if goes_on { Line::Named(word, matched + 1) } else { Line::Other };
    }

    #[inline]
    fn start<'a>(&mut self, rest: &'a [u8], byte: u8, after: &'a [u8], frames: &mut impl Frames) -> &'a [u8] {
        let is_second_half = self.is_after_cr && byte == b'\n';
        self.is_after_cr = false;
        if is_second_half {
            return after;
        }
        match byte {
            b'\n' | b'\r' => {
                self.is_after_cr = byte == b'\r';
                // A frame without data is none, so that its name is forgotten.
                if self.has_data {
                    frames.end(self.name);
                }
                self.has_data = false;
                self.name = Name::None;
                return after;
            }
            b'd' => {
                if let Some(value) = rest.strip_prefix(b"data: ") {
                    self.value(Field::Data, frames);
                    return value;
                }
                self.line = Line::Name(Field::Data, 1);
            }
            b'e' => self.line = Line::Name(Field::Event, 1),
            b'{' | b'[' | b'"' | b'<' => {
                frames.stray();
                self.line = Line::Other;
            }
            _ => self.line = Line::Other,
        }
        after
    }

    fn field<'a>(
        &mut self,
        field: Field,
        matched: usize,
        rest: &'a [u8],
        byte: u8,
        after: &'a [u8],
        frames: &mut impl Frames,
    ) -> &'a [u8] {
        match field.name().as_bytes().get(matched) {
            Some(&expected) if expected == byte => {
                self.line = Line::Name(field, matched + 1);
                after
            }
            None if byte == b':' => {
                self.line = Line::Before(field);
                after
            }
            // A name alone has an empty value.
            None if is_newline(byte) => {
                self.value(field, frames);
                rest
            }
            _ => {
                self.line = Line::Other;
                rest
            }
        }
    }

    fn value(&mut self, field: Field, frames: &mut impl Frames) {
        match field {
            Field::Data => {
                if self.has_data {
                    frames.data(b"\n");
                }
                self.has_data = true;
                self.line = Line::Data;
            }
            Field::Event => {
                self.name = Name::None;
                self.line = Line::Naming;
            }
        }
    }

    /// Goes to the end of the line, or of what there is of it.
    fn skip<'a>(&mut self, rest: &'a [u8], pass: impl FnOnce(&'a [u8])) -> &'a [u8] {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let (piece, rest) = rest.split_at(end);
        if !piece.is_empty() {
            pass(piece);
        }
        self.end_line(rest)
    }

    /// `rest` begins with a newline, or is empty.
    fn end_line<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some((&newline, after)) = rest.split_first() else { return rest };
        self.is_after_cr = newline == b'\r';
        self.line = Line::Start;
        after
    }

    pub(crate) fn rest(&self) -> Rest {
        match self.line {
            Line::Start if self.has_data => {
                // After a CR an LF alone would only complete the line's end.
                Rest::Between { blank: if self.is_after_cr { "\n\n" } else { "\n" } }
            }
            Line::Bom(0) | Line::Start => Rest::Empty { is_after_cr: self.is_after_cr },
            Line::Name(Field::Data, matched) => Rest::Data("data: ".get(matched..).unwrap_or_default()),
            Line::Before(Field::Data) => Rest::Data(" "),
            Line::Data => Rest::Data(""),
            Line::Bom(_)
            | Line::Name(..)
            | Line::Before(_)
            | Line::Naming
            | Line::Named(..)
            | Line::Other => Rest::Other { has_data: self.has_data },
        }
    }
}

fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
