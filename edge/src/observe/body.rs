//! A body, by what it turns out to be.

use super::dialect::Dialect;
use super::facts::{Facts, Frame, Kind};
use super::fields::{self, Field};
use super::json::Scanner;
use super::repeat::{Repeat, Told};
use super::sse::{Frames, Lines, Name};

#[derive(Debug)]
pub(crate) struct Body {
    form: Form,
    pub(crate) lines: Lines,
    pub(crate) reader: Reader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing has come yet; what its content type promises.
    Awaited(Promise),
    /// Server-sent events.
    Events,
    /// One JSON document.
    Document,
    /// Neither: it is not read.
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Events,
    Document,
    /// A document that grows by and by.
    Array,
    Opaque,
}

/// How far the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// More must come.
    Open,
    /// It is whole if it ends here by itself.
    Ending,
    /// It said itself that this was its end.
    Whole,
    /// It said itself that it failed.
    Failed,
    /// Something in it is not what its form requires, so that its readers miss it or fail.
    Malformed,
}

/// Reads the JSON of each frame, or of the document.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) dialect: Dialect,
    pub(crate) scanner: Scanner<Field>,
    pub(crate) facts: Facts,
    /// How much of `[DONE]` the frame's data is so far.
    done: usize,
    pub(crate) repeat: Repeat,
    said: Said,
    /// All choices had ended when the last frame did.
    has_finished: bool,
    /// A frame was no JSON where it must be, before the stream said its end.
    is_malformed: bool,
    /// Nothing after such a frame is read.
    is_strict: bool,
    /// So many frames have ended.
    pub(crate) frames: u64,
}

/// What the stream said last of all, which is what its reader goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    End,
    Failure,
}

const DONE: &[u8] = b"[DONE]";

/// The first byte of a byte order mark.
const BOM: u8 = 0xef;

impl Body {
    pub(crate) fn new(dialect: Dialect, content_type: &str) -> Self {
        let content_type = content_type.trim_start().to_ascii_lowercase();
        let promise = if content_type.starts_with("text/event-stream") {
            Promise::Events
        } else if dialect == Dialect::GeminiArray && content_type.contains("json") {
            Promise::Array
        } else if content_type.is_empty()
            || content_type.contains("json")
            || content_type.starts_with("text/")
        {
            Promise::Document
        } else {
            Promise::Opaque
        };
        Self { form: Form::Awaited(promise), lines: Lines::new(), reader: Reader::new(dialect) }
    }

    /// What is left of `bytes` after what is malformed, from [`Self::read_strictly`] on.
    pub(crate) fn feed<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut bytes = bytes;
        if let Form::Awaited(promise) = self.form {
            bytes = bytes.trim_ascii_start();
            if let Some(&first) = bytes.first() {
                self.form = self.reader.form(promise, first);
            }
        }
        match self.form {
            Form::Events => return self.lines.feed(bytes, &mut self.reader),
            Form::Document => self.reader.scan(bytes),
            Form::Awaited(_) | Form::Opaque => {}
        }
        &[]
    }

    pub(crate) fn read_strictly(&mut self) {
        self.reader.is_strict = true;
    }

    pub(crate) fn is_stream(&self) -> bool {
        match self.form {
            Form::Awaited(promise) => matches!(promise, Promise::Events | Promise::Array),
            Form::Events => true,
            Form::Document => self.is_array(),
            Form::Opaque => false,
        }
    }

    /// Whether it is Gemini's array.
    pub(crate) fn is_array(&self) -> bool {
        self.reader.dialect == Dialect::GeminiArray && self.form != Form::Events
    }

    pub(crate) fn is_events(&self) -> bool {
        matches!(self.form, Form::Events | Form::Awaited(Promise::Events))
    }

    /// None where it is not known how such a body ends.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self.form {
            Form::Awaited(Promise::Events | Promise::Array) => {
                self.reader.dialect.has_end().then_some(Mark::Open)
            }
            Form::Awaited(_) | Form::Opaque => None,
            Form::Events => self.reader.mark_of_events(),
            Form::Document => self.reader.mark_of_document(),
        }
    }

    /// Bytes that the model wrote; none where they cannot be told from others.
    pub(crate) fn text(&self) -> Option<u64> {
        let Reader { dialect, facts, scanner, .. } = &self.reader;
        let text = facts.text().saturating_add(scanner.begun_length());
        (text > 0 || (self.is_stream() && dialect.has_end())).then_some(text)
    }

    pub(crate) fn facts(&mut self) -> &mut Facts {
        &mut self.reader.facts
    }
}

impl Reader {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            scanner: Scanner::new(fields::of(dialect)),
            facts: Facts::default(),
            done: 0,
            repeat: Repeat::default(),
            said: Said::Nothing,
            has_finished: false,
            is_malformed: false,
            is_strict: false,
            frames: 0,
        }
    }

    /// By its first character: content types are wrong now and then, and what is
    /// compressed in spite of all is not to be read.
    fn form(&mut self, promise: Promise, first: u8) -> Form {
        let form = match (promise, first) {
            (Promise::Opaque, _) => Form::Opaque,
            (_, b'{' | b'[') => Form::Document,
            (Promise::Events, b'!'..=b'~' | BOM) | (_, b':' | b'd' | b'e' | b'i' | b'r' | BOM) => {
                Form::Events
            }
            _ => Form::Opaque,
        };
        if self.dialect == Dialect::GeminiArray && (form == Form::Events || first == b'{') {
            self.dialect = Dialect::Gemini;
            self.scanner = Scanner::new(fields::of(self.dialect));
        }
        form
    }

    /// Nothing of the frame's data has come yet.
    pub(crate) fn is_before_data(&self) -> bool {
        self.done == 0 && self.scanner.is_untouched()
    }

    fn scan(&mut self, bytes: &[u8]) {
        let facts = &mut self.facts;
        self.scanner.feed(bytes, &mut |field, value, at| facts.note(field, value, at));
    }

    /// Reads the data of a frame, of which nothing has come yet.
    fn scan_frame(&mut self, frame: &[u8]) {
        if let Some(text) = self.repeat.text_of(frame) {
            self.facts.wrote(text);
            return self.scanner.pass_over();
        }
        if !self.repeat.is_learning() {
            self.repeat.forget();
            return self.scan(frame);
        }
        let (before, mut told) = (self.facts.clone(), Told::default());
        let facts = &mut self.facts;
        self.scanner.feed(frame, &mut |field, value, at| {
            told.note(field, value, at);
            facts.note(field, value, at);
        });
        if self.scanner.is_whole() {
            self.repeat.learn(frame, &told, &before, &self.facts);
        } else {
            self.repeat.forget();
        }
    }

    /// What comes after the end, or after an error, changes nothing.
    fn say(&mut self, said: Said) {
        if self.said == Said::Nothing {
            self.said = said;
        }
    }

    fn mark_of_events(&self) -> Option<Mark> {
        match self.said {
            Said::Failure => return Some(Mark::Failed),
            _ if self.is_malformed => return Some(Mark::Malformed),
            Said::End => return Some(Mark::Whole),
            Said::Nothing => {}
        }
        match self.dialect {
            Dialect::Other(_) => None,
            Dialect::Gemini if self.has_finished && self.is_before_data() => Some(Mark::Whole),
            Dialect::Chat if self.has_finished && self.is_before_data() => Some(Mark::Ending),
            _ => Some(Mark::Open),
        }
    }

    /// Whether the frame that ends here is none that its readers could read.
    fn is_misread(&self, name: Name) -> bool {
        let must_be_json = match self.dialect {
            Dialect::Other(_) => false,
            // What it calls otherwise, its SDKs pass over unread.
            Dialect::Messages => name != Name::Other,
            Dialect::Chat | Dialect::Responses | Dialect::Gemini | Dialect::GeminiArray | Dialect::Cohere => {
                true
            }
        };
        // Data that is empty stands for nothing, and keeps a connection alive.
        let is_mark_begun = self.done > 0 && self.done < DONE.len();
        must_be_json && (is_mark_begun || (self.done == 0 && self.scanner.is_no_document()))
    }

    fn mark_of_document(&self) -> Option<Mark> {
        let is_array = self.dialect == Dialect::GeminiArray;
        if is_array && self.facts.frame.has_error {
            return Some(Mark::Failed);
        }
        if self.scanner.is_broken() {
            let mark = if self.scanner.is_no_document() { Mark::Malformed } else { Mark::Open };
            return is_array.then_some(mark);
        }
        if self.scanner.is_whole() && (!is_array || self.facts.has_finished()) {
            return Some(Mark::Whole);
        }
        Some(Mark::Open)
    }
}

impl Frames for Reader {
    #[inline]
    fn data(&mut self, piece: &[u8]) {
        let mut rest = piece;
        if self.done == 0 && self.scanner.is_at_start() && rest.starts_with(b"{") {
            return self.scan_frame(rest);
        }
        self.repeat.forget();
        if self.done > 0 || !rest.starts_with(b"{") && self.scanner.is_untouched() {
            if self.done == 0 {
                rest = rest.trim_ascii_start();
            }
            while let (Some((byte, after)), Some(expected)) = (rest.split_first(), DONE.get(self.done))
                && byte == expected
            {
                self.done += 1;
                rest = after;
            }
            if self.done == DONE.len() {
                self.say(Said::End);
                return;
            }
            if rest.is_empty() {
                return;
            }
            // What was taken for the mark was none.
            let taken = DONE.get(..self.done).unwrap_or_default();
            self.done = 0;
            self.scan(taken);
        }
        self.scan(rest);
    }

    fn end(&mut self, name: Name) {
        let Frame { kind, has_error } = std::mem::take(&mut self.facts.frame);
        self.is_malformed |= self.said == Said::Nothing && self.is_misread(name);
        if name == Name::Error || has_error || kind == Kind::Failed {
            self.say(Said::Failure);
        } else if kind == Kind::Last {
            self.say(Said::End);
        }
        self.has_finished = self.facts.has_finished();
        self.frames = self.frames.saturating_add(1);
        self.done = 0;
        self.scanner.restart();
    }

    fn stray(&mut self) {
        self.is_malformed |= self.said == Said::Nothing && self.dialect.has_end();
    }

    fn is_over(&self) -> bool {
        self.is_strict && self.is_malformed
    }
}
