//! An answer as it passes: what of it reaches the client, and what is read of it.

use crate::balance::error_kind::{self, ErrorKind};
use crate::balance::happened::Happened;
use crate::observe::joined::{Joined, Told};
use crate::observe::strip::Strip;
use crate::observe::{End, Observed, Observer};

/// How it is passed on, in JavaScript's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Unseen by Rust.
    Unread = 0,
    /// Piece by piece through Rust.
    Pieces = 1,
    /// Natively, with a second branch of it for Rust.
    Tee = 2,
    /// Piece by piece, with something taken out.
    Filter = 3,
    /// Piece by piece, and another may go on with it.
    Join = 4,
}

#[derive(Debug, Default)]
pub struct Answer {
    reading: Reading,
    strip: Option<Strip>,
}

#[derive(Debug, Default)]
enum Reading {
    #[default]
    Nothing,
    /// What passes is in Rust's hands.
    Pieces(Observer),
    /// It has passed already.
    Passed(Observer),
    Joined(Box<Joined>),
}

/// What passes of a part of an answer's body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    AsItCame,
    Changed(Vec<u8>),
    /// This, or what came, and then the answer is to end.
    Last(Option<Vec<u8>>),
}

/// What is to be done at the end of an answer's body.
#[derive(Debug, PartialEq, Eq)]
pub enum Ending {
    /// Close it if the upstream did, else abort.
    AsItCame,
    /// Send this, and close it.
    Close(Vec<u8>),
    /// It must not look whole.
    Abort,
}

impl Answer {
    /// `strip` takes something out of a stream. Where `may_go_on`, another stream may
    /// follow it.
    pub fn new(observer: Observer, strip: Option<Strip>, may_go_on: bool) -> Self {
        let strip = strip.filter(|_| observer.is_stream());
        let joint = if may_go_on { observer.joint() } else { None };
        let reading = match joint {
            Some(joint) => Reading::Joined(Box::new(Joined::new(joint, observer))),
            None if strip.is_none() && observer.is_stream() => Reading::Passed(observer),
            None => Reading::Pieces(observer),
        };
        Self { reading, strip }
    }

    pub fn mode(&self) -> Mode {
        match (&self.reading, &self.strip) {
            (Reading::Nothing, _) => Mode::Unread,
            (Reading::Passed(_), _) => Mode::Tee,
            (Reading::Joined(_), _) => Mode::Join,
            (Reading::Pieces(_), Some(_)) => Mode::Filter,
            (Reading::Pieces(_), None) => Mode::Pieces,
        }
    }

    /// A stream that turns out to be malformed ends there, or where it has passed on
    /// already, as soon as that is noticed.
    pub fn read(&mut self, bytes: &[u8]) -> Piece {
        match &mut self.reading {
            Reading::Nothing => Piece::AsItCame,
            Reading::Passed(observer) => {
                observer.feed(bytes);
                if observer.is_malformed() { Piece::Last(None) } else { Piece::AsItCame }
            }
            Reading::Pieces(observer) => {
                let end = observer.feed_until_malformed(bytes);
                let read = end.and_then(|end| bytes.get(..end)).unwrap_or(bytes);
                match (end, self.strip.as_mut().map(|strip| strip.of(read))) {
                    (Some(_), stripped) => Piece::Last(Some(stripped.unwrap_or_else(|| read.to_vec()))),
                    (None, Some(stripped)) => Piece::Changed(stripped),
                    (None, None) => Piece::AsItCame,
                }
            }
            Reading::Joined(joined) => {
                let mut passed = Vec::with_capacity(bytes.len());
                let goes_on = joined.feed(bytes, &mut passed);
                let passed = match &mut self.strip {
                    Some(strip) => strip.of(&passed),
                    None => passed,
                };
                if goes_on { Piece::Changed(passed) } else { Piece::Last(Some(passed)) }
            }
        }
    }

    /// What happened to a stream that ends so, where another may be asked to go on
    /// with it: nothing where it is whole.
    pub fn broke(&mut self, end: End) -> Option<Happened> {
        let Reading::Joined(joined) = &mut self.reading else { return None };
        if !joined.broke(end) {
            return None;
        }
        let broke_off = Happened::BrokeOff { is_silent: end == End::Stalled };
        Some(match joined.failure().map(error_kind::of) {
            None | Some(ErrorKind::Other) => broke_off,
            Some(kind) => Happened::Error { kind },
        })
    }

    pub fn may_go_on(&self) -> bool {
        matches!(&self.reading, Reading::Joined(joined) if joined.may_go_on())
    }

    /// Another answers in place of the one that ended so. What that one told.
    pub fn goes_on_with(&mut self, observer: Observer, end: End) -> Option<Told> {
        let Reading::Joined(joined) = &mut self.reading else { return None };
        observer.is_stream().then(|| joined.goes_on_with(observer, end))
    }

    /// `is_unseen`: so long that it was not read to its end.
    pub fn end(self, end: End, is_unseen: bool) -> (Ending, Option<Observed>) {
        let (rest, observed) = match self.reading {
            Reading::Nothing => return (Ending::AsItCame, None),
            Reading::Pieces(observer) | Reading::Passed(observer) if is_unseen => {
                (Vec::new(), observer.end_unseen())
            }
            Reading::Pieces(observer) | Reading::Passed(observer) => (Vec::new(), observer.end(end)),
            Reading::Joined(joined) => joined.end(end),
        };
        if observed.must_abort {
            return (Ending::Abort, Some(observed));
        }
        let mut rest = match self.strip {
            Some(mut strip) => {
                let mut stripped = strip.of(&rest);
                stripped.append(&mut strip.end());
                stripped
            }
            None => rest,
        };
        rest.extend_from_slice(observed.error_frame.as_deref().unwrap_or_default().as_bytes());
        (Ending::Close(rest), Some(observed))
    }
}

impl Piece {
    /// Of what came.
    pub fn passed<'a>(&'a self, came: &'a [u8]) -> &'a [u8] {
        match self {
            Self::AsItCame | Self::Last(None) => came,
            Self::Changed(passed) | Self::Last(Some(passed)) => passed,
        }
    }
}
