//! A string of the document, as far as it came, kept only where it is wanted.

/// Whatever is wanted is shorter, keys and numbers too; texts are cut there anyway.
const MAX_KEPT: usize = crate::event::MAX_TEXT_LEN;

#[derive(Debug)]
pub(super) struct Text {
    kept: [u8; MAX_KEPT],
    length: usize,
    /// Of all of it, in bytes, what is not kept included.
    pub(super) whole_length: u64,
    keep: Keep,
    pub(super) escape: Escape,
    /// The first half of a character that is escaped as two.
    high: Option<u16>,
}

/// What is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    /// How long it is.
    Length,
    All,
}

/// Where in an escape sequence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    None,
    /// After a backslash.
    Begun,
    /// After `\u`: how many hexadecimal digits there were, and what they say.
    Unicode(u8, u16),
    /// What follows the backslash is no escape sequence.
    Wrong,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            kept: [0; MAX_KEPT],
            length: 0,
            whole_length: 0,
            keep: Keep::Nothing,
            escape: Escape::None,
            high: None,
        }
    }
}

impl Text {
    pub(super) fn begin(&mut self, keep: Keep) {
        self.length = 0;
        self.whole_length = 0;
        self.keep = keep;
        self.escape = Escape::None;
        self.high = None;
    }

    pub(super) fn kept(&self) -> &[u8] {
        self.kept.get(..self.length).unwrap_or_default()
    }

    pub(super) fn is_kept(&self) -> bool {
        self.keep == Keep::All
    }

    #[inline]
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        self.whole_length = self.whole_length.saturating_add(bytes.len() as u64);
        if self.keep == Keep::All {
            self.copy(bytes);
        }
    }

    fn copy(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len()).min(MAX_KEPT);
        let length = end - self.length;
        if let (Some(place), Some(bytes)) = (self.kept.get_mut(self.length..end), bytes.get(..length)) {
            place.copy_from_slice(bytes);
            self.length = end;
        }
    }

    /// The index after the closing quote, or none when it is not there.
    #[inline]
    pub(super) fn feed(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            if self.escape != Escape::None {
                at = self.escaped(bytes, at)?;
            }
            let rest = bytes.get(at..)?;
            let length = plain(rest);
            let (text, rest) = rest.split_at(length);
            if self.keep != Keep::Nothing && !text.is_empty() {
                self.end_pair();
                self.keep(text);
            }
            match rest.first()? {
                b'"' => {
                    self.end_pair();
                    return Some(at + length + 1);
                }
                _ => self.escape = Escape::Begun,
            }
            at += length + 1;
        }
    }

    /// Reads an escape sequence; the index after it, or none when it is not all there.
    fn escaped(&mut self, bytes: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            self.escape = match self.escape {
                Escape::Begun if byte == b'u' => Escape::Unicode(0, 0),
                Escape::Begun => {
                    let plain = match byte {
                        b'"' | b'\\' | b'/' => byte,
                        b'b' => 8,
                        b'f' => 12,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        _ => return self.wrong(),
                    };
                    self.end_pair();
                    self.keep(&[plain]);
                    Escape::None
                }
                Escape::Unicode(digits, unit) => {
                    let Some(digit) = char::from(byte).to_digit(16) else { return self.wrong() };
                    let unit = unit << 4 | u16::try_from(digit).unwrap_or_default();
                    if digits < 3 {
                        Escape::Unicode(digits + 1, unit)
                    } else {
                        self.unit(unit);
                        Escape::None
                    }
                }
                Escape::None | Escape::Wrong => return self.wrong(),
            };
            if self.escape == Escape::None {
                return Some(at);
            }
        }
    }

    fn wrong(&mut self) -> Option<usize> {
        self.escape = Escape::Wrong;
        None
    }

    /// What four digits said: a character, or half of one.
    fn unit(&mut self, unit: u16) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(both)) = char::decode_utf16([high, unit]).next() {
                return self.keep_char(both);
            }
            self.keep_char(char::REPLACEMENT_CHARACTER);
        }
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
        } else {
            self.keep_char(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }

    /// A half without its other half stands for nothing.
    fn end_pair(&mut self) {
        if self.high.take().is_some() {
            self.keep_char(char::REPLACEMENT_CHARACTER);
        }
    }

    fn keep_char(&mut self, character: char) {
        self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// How many bytes there are before the next quote or backslash.
#[inline]
pub fn plain(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES);
        if special != 0 {
            return index * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    bytes.len() - tail.len() + tail.iter().position(is_special).unwrap_or(tail.len())
}

const ONES: u64 = u64::MAX / 0xff;
const QUOTES: u64 = ONES * b'"' as u64;
const BACKSLASHES: u64 = ONES * b'\\' as u64;

/// The highest bit of each byte that is zero, up to the first such; of those
/// above it nothing is said.
#[inline]
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}
