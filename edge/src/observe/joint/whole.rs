//! Cuts a stream of events into its frames, however it comes.

/// A frame, and what follows of it, is not waited for beyond that.
const MAX_FRAME: usize = 1024 * 1024;

#[derive(Debug, Default)]
pub(in crate::observe) struct Whole {
    held: Vec<u8>,
    /// Where in it the frame begins, and its last line; up to where was looked.
    frame: usize,
    line: usize,
    seen: usize,
    /// A byte order mark may only come before the first.
    has_begun: bool,
}

const BOM: &[u8] = &[0xef, 0xbb, 0xbf];

impl Whole {
    pub(in crate::observe) fn feed(&mut self, bytes: &[u8]) {
        let Self { held, frame, line, seen, has_begun: _ } = self;
        held.drain(..*frame);
        (*frame, *line, *seen) = (0, *line - *frame, *seen - *frame);
        held.extend_from_slice(bytes);
    }

    /// Up to its blank line, with that; without a byte order mark, as it may be amid another.
    pub(in crate::observe) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let unseen = self.held.get(self.seen..).unwrap_or_default();
            let Some(end) = memchr::memchr2(b'\n', b'\r', unseen).map(|at| at + self.seen) else {
                self.seen = self.held.len();
                return None;
            };
            let after = match self.held.get(end..end + 2) {
                Some(b"\r\n") => end + 2,
                // An LF may follow, which belongs to it.
                None if self.held.get(end) == Some(&b'\r') => return None,
                _ => end + 1,
            };
            let is_blank = end == self.line;
            (self.line, self.seen) = (after, after);
            if is_blank {
                let frame = self.held.get(self.frame..after)?;
                self.frame = after;
                let has_begun = std::mem::replace(&mut self.has_begun, true);
                return frame.strip_prefix(BOM).filter(|_| !has_begun).or(Some(frame));
            }
        }
    }

    pub(in crate::observe) fn is_too_long(&self) -> bool {
        self.held.len() - self.frame > MAX_FRAME
    }

    /// What is left: the beginning of a frame, if anything.
    pub(in crate::observe) fn take(&mut self) -> Vec<u8> {
        let rest = self.held.split_off(self.frame);
        *self = Self::default();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(body: &str, size: usize) -> (Vec<String>, String) {
        let (mut whole, mut frames) = (Whole::default(), Vec::new());
        for piece in body.as_bytes().chunks(size) {
            whole.feed(piece);
            while let Some(frame) = whole.next() {
                frames.push(String::from_utf8(frame.to_vec()).unwrap());
            }
        }
        (frames, String::from_utf8(whole.take()).unwrap())
    }

    proptest! {
        #[test]
        fn frames_are_the_same_however_they_come(
            lines in prop::collection::vec(prop_oneof![Just("data: x"), Just(": c"), Just(""), Just("event: y")], 0..20),
            newline in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            size in 1_usize..30,
        ) {
            let body: String = lines.iter().flat_map(|line| [*line, newline]).collect();
            let (found, rest) = frames(&body, size);
            prop_assert_eq!(found.concat() + &rest, body.clone());
            let blank = lines.iter().filter(|line| line.is_empty()).count();
            // After a CR at the very end an LF may follow.
            let waits = usize::from(newline == "\r" && lines.last() == Some(&""));
            prop_assert_eq!(found.len(), blank - waits);
            let doubled = newline.repeat(2);
            prop_assert!(found.iter().all(|frame| frame == newline || frame.ends_with(&doubled)));
            prop_assert!(rest.is_empty() || waits == 1 || !rest.ends_with(&doubled));
        }
    }

    #[test]
    fn a_frame_without_end_is_not_waited_for() {
        let mut whole = Whole::default();
        whole.feed(&vec![b'x'; MAX_FRAME]);
        assert!(whole.next().is_none() && !whole.is_too_long());
        whole.feed(b"x");
        assert!(whole.is_too_long());
    }
}
