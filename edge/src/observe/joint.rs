//! A stream that broke off is gone on with by another, where that begins with exactly
//! what the client has: the same text, and nothing but text. It is compared as it
//! comes, frame by frame, and only what is new of it passes.

mod said;
mod whole;

use super::dialect::Dialect;
use said::{Begins, Said};
pub(super) use whole::Whole;

/// More of an answer's text is not kept: it is not gone on with.
const MAX_TEXT: usize = 256 * 1024;

/// The forms of streams that can be joined. The events of `OpenAI`'s responses are
/// numbered and named: none begins like another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Chat,
    Messages,
    Gemini,
}

#[derive(Debug)]
pub struct Joint {
    form: Form,
    had: Had,
    /// So much of the text has come again, where another is compared.
    compared: Option<usize>,
}

/// What the client has.
#[derive(Debug, Default)]
struct Had {
    has_opening: bool,
    has_block: bool,
    text: String,
    /// Its end, or what is not text, or too much: nothing can follow it.
    is_closed: bool,
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    /// The client has it.
    Drop,
    /// The client has a part of it; this is the rest.
    Instead(Vec<u8>),
    /// It is not what the client has.
    Differs,
}

impl Joint {
    /// None where such streams cannot be joined.
    pub(crate) fn of(dialect: Dialect) -> Option<Self> {
        let form = match dialect {
            Dialect::Chat => Form::Chat,
            Dialect::Messages => Form::Messages,
            Dialect::Gemini | Dialect::GeminiArray => Form::Gemini,
            Dialect::Responses | Dialect::Cohere | Dialect::Other(_) => return None,
        };
        Some(Self { form, had: Had::default(), compared: None })
    }

    pub(super) fn may_go_on(&self) -> bool {
        !self.had.is_closed
    }

    /// From now on comes another stream, from its start.
    pub(super) fn compare(&mut self) {
        self.compared = Some(0);
    }

    pub(super) fn is_comparing(&self) -> bool {
        self.compared.is_some()
    }

    /// Nothing can follow what has passed.
    pub(super) fn close(&mut self) {
        self.had.is_closed = true;
    }

    pub(super) fn frame(&mut self, frame: &[u8]) -> Verdict {
        let said = said::of(self.form, frame);
        let Some(at) = self.compared else {
            match said {
                Some(said) => self.had.note(&said, &said.text),
                None => self.close(),
            }
            return Verdict::Pass;
        };
        let Some(said) = said else { return Verdict::Differs };
        let awaited = self.had.text.get(at..).unwrap_or_default();
        if awaited.len() > said.text.len() {
            if said.is_end || !awaited.starts_with(&said.text) {
                return Verdict::Differs;
            }
            self.compared = Some(at + said.text.len());
            return Verdict::Drop;
        }
        let Some(new) = said.text.strip_prefix(awaited) else { return Verdict::Differs };
        if new.is_empty() && self.had.has_all_of(&said) {
            self.compared = Some(self.had.text.len());
            return Verdict::Drop;
        }
        let verdict = if new.len() == said.text.len() {
            Verdict::Pass
        } else {
            said::with_text(self.form, frame, new).map_or(Verdict::Differs, Verdict::Instead)
        };
        self.had.note(&said, new);
        self.compared = None;
        verdict
    }
}

impl Had {
    fn note(&mut self, said: &Said, new: &str) {
        self.has_opening |= said.begins == Some(Begins::Answer);
        self.has_block |= said.begins == Some(Begins::Text);
        self.is_closed |= said.is_end || self.text.len() + new.len() > MAX_TEXT;
        if !self.is_closed {
            self.text.push_str(new);
        }
    }

    /// But for its text.
    fn has_all_of(&self, said: &Said) -> bool {
        let has_begun = match said.begins {
            Some(Begins::Answer) => self.has_opening,
            Some(Begins::Text) => self.has_block,
            None => true,
        };
        has_begun && !said.is_end
    }
}

#[cfg(test)]
mod tests;
