//! A stream that may be gone on with by another: what passes of each, and what both
//! say of themselves.

use super::joint::{Joint, Verdict, Whole};
use super::opening::first_data;
use super::{End, Observed, Observer};
use shared::event::Usage;

/// Only whole frames pass, so that what the client has ends between two.
#[derive(Debug)]
pub struct Joined {
    joint: Joint,
    frames: Whole,
    /// Reads the stream that comes.
    observer: Observer,
    /// What has come of it and did not pass.
    rest: Vec<u8>,
    /// The one that the client has, as long as another is compared with it.
    before: Option<Broken>,
    /// A frame was too long to wait for its end: all passes as it comes.
    is_plain: bool,
    /// The one that comes does not begin as the client's.
    differs: bool,
}

#[derive(Debug)]
struct Broken {
    observer: Observer,
    rest: Vec<u8>,
    end: End,
}

/// What a stream that is gone on with by another has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub usage: Usage,
    /// Bytes that the model wrote, if they can be told.
    pub text_bytes: Option<u64>,
}

impl Joined {
    /// Of a stream that begins.
    pub fn new(joint: Joint, observer: Observer) -> Self {
        let (frames, rest) = (Whole::default(), Vec::new());
        Self { joint, frames, observer, rest, before: None, is_plain: false, differs: false }
    }

    /// Appends to `out` what passes of `bytes`. Whether the stream goes on: it does
    /// not after an error, nor after what is not what the client has.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        if self.is_plain {
            out.extend_from_slice(bytes);
            self.observer.feed(bytes);
            return !self.observer.is_malformed();
        }
        self.frames.feed(bytes);
        while let Some(frame) = self.frames.next() {
            self.observer.feed(frame);
            if self.observer.has_failed() || self.observer.is_malformed() {
                self.rest.extend_from_slice(frame);
                return false;
            }
            match self.joint.frame(frame) {
                Verdict::Pass => out.extend_from_slice(frame),
                Verdict::Instead(frame) => out.extend_from_slice(&frame),
                Verdict::Drop => {}
                Verdict::Differs => return self.differs(),
            }
            if !self.joint.is_comparing() {
                self.before = None;
            }
        }
        if self.frames.is_too_long() {
            if self.joint.is_comparing() {
                return self.differs();
            }
            self.joint.close();
            self.is_plain = true;
            let held = self.frames.take();
            self.observer.feed(&held);
            out.extend_from_slice(&held);
        }
        true
    }

    fn differs(&mut self) -> bool {
        self.differs = true;
        self.joint.close();
        false
    }

    /// The stream has ended so. Whether it broke off: it did not where it was ended
    /// because it differs.
    pub fn broke(&mut self, end: End) -> bool {
        self.read_rest();
        !self.differs && self.observer.is_broken_by(end)
    }

    /// Reads what is left of a frame. After an error, or what differs, nothing counts.
    fn read_rest(&mut self) {
        let mut rest = self.frames.take();
        if self.differs || self.observer.has_failed() || self.observer.is_malformed() {
            return;
        }
        self.observer.feed(&rest);
        self.rest.append(&mut rest);
    }

    /// What the provider said, if it was that which ended the stream.
    pub fn failure(&self) -> Option<&[u8]> {
        if self.observer.has_failed() { first_data(&self.rest) } else { None }
    }

    /// Whether another may go on with it.
    pub fn may_go_on(&self) -> bool {
        self.joint.may_go_on()
    }

    /// Another is asked the same, after the last one ended so. What that one told.
    pub fn goes_on_with(&mut self, observer: Observer, end: End) -> Told {
        let mut last = std::mem::replace(&mut self.observer, observer);
        let told = Told { usage: last.usage(), text_bytes: last.text_bytes() };
        let rest = std::mem::take(&mut self.rest);
        self.before.get_or_insert(Broken { observer: last, rest, end });
        self.frames = Whole::default();
        self.joint.compare();
        told
    }

    /// What is still to be sent, without the error frame. Where none went on, the
    /// client's stream counts; what was used is the last one's all the same.
    pub fn end(mut self, end: End) -> (Vec<u8>, Observed) {
        self.read_rest();
        if self.before.is_some() && !self.differs && !self.observer.is_broken_by(end) {
            // Its end may be what joins it.
            match self.joint.frame(&self.rest) {
                Verdict::Pass => self.before = None,
                Verdict::Instead(rest) => (self.rest, self.before) = (rest, None),
                Verdict::Drop | Verdict::Differs => {}
            }
        }
        if end == End::ClientLeft {
            self.rest.clear();
        }
        let Some(before) = self.before.take() else {
            return (self.rest, self.observer.end(end));
        };
        let last = self.observer.end(end);
        if end == End::ClientLeft {
            return (self.rest, last);
        }
        let told = before.observer.end(before.end);
        let Observed { completion, error_code, error_frame, must_abort, .. } = told;
        (before.rest, Observed { completion, error_code, error_frame, must_abort, ..last })
    }
}

#[cfg(test)]
mod tests;
