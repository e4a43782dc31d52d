//! A scanner of JSON that comes in pieces of any size. It keeps where it is, and
//! of the document only the few values that are wanted: gigabytes take no memory.
//!
//! It is lenient (control characters in strings, odd numbers): it must find what
//! a valid document says, and never mistake one that is unfinished for a whole.

mod complete;
mod string;

pub use string::plain;
use string::{Escape, Keep, Text};

/// As `serde_json`; what is deeper is not read any more.
const MAX_DEPTH: u8 = 127;

/// How deep anything wanted may lie.
const MAX_PATH: usize = 9;

/// A value that is wanted, by where it is: a tree of them is what a scanner looks for.
#[derive(Debug)]
pub struct Want<T: 'static> {
    /// The key in an object; [`EACH`] for the elements of an array.
    key: &'static str,
    /// Under which it is reported; none where only something inside is wanted.
    tag: Option<T>,
    /// Of a string, only how long it is.
    is_length: bool,
    inner: &'static [Want<T>],
    /// Which slots the keys inside take.
    slots: u64,
}

/// The key that stands for every element of an array.
pub const EACH: &str = "[]";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// None when it is no whole number that fits.
    Number(Option<u64>),
    /// Unescaped, and cut where it is longer than what is kept. May not be UTF-8.
    Text(&'a [u8]),
    /// Of a string, in bytes, unescaped.
    Length(u64),
    /// An object or an array begins.
    Object,
    Array,
    /// It ends.
    End,
}

/// What a document ends in, or an unfinished one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// After a colon, after a comma in an array, and at the start.
    Value,
    ElementOrEnd,
    KeyOrEnd,
    /// After a comma.
    Key,
    Colon,
    CommaOrEnd,
    /// The document is whole.
    Nothing,
    /// This is no JSON.
    Broken,
    /// This is nested too deep to be read.
    TooDeep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    None,
    String,
    Number,
    /// What is still to come of `true`, `false` or `null`.
    Literal(&'static [u8], Value<'static>),
}

#[derive(Debug)]
pub struct Scanner<T: 'static> {
    root: &'static Want<T>,
    expect: Expect,
    token: Token,
    depth: u8,
    /// Bit n: the container at depth n + 1 is an object.
    objects: u128,
    /// What is wanted of each container that is open, the outermost first.
    path: [Option<&'static Want<T>>; MAX_PATH],
    /// What is wanted of the elements of each.
    each: [Option<&'static Want<T>>; MAX_PATH],
    /// What is wanted of the value that comes next in an object.
    next: Option<&'static Want<T>>,
    text: Text,
    /// The last character of a number, so far.
    last: u8,
    /// Bytes before the piece that is being read.
    offset: u64,
}

impl<T: Copy + 'static> Want<T> {
    pub const fn value(key: &'static str, tag: T) -> Self {
        Self { key, tag: Some(tag), is_length: false, inner: &[], slots: 0 }
    }

    /// Of a string, only its length is reported.
    pub const fn length(key: &'static str, tag: T, inner: &'static [Self]) -> Self {
        Self { key, tag: Some(tag), is_length: true, inner, slots: Self::slots(inner) }
    }

    pub const fn inside(key: &'static str, inner: &'static [Self]) -> Self {
        Self { key, tag: None, is_length: false, inner, slots: Self::slots(inner) }
    }

    /// Reported itself, too: that it begins and ends, or what it is instead.
    pub const fn both(key: &'static str, tag: T, inner: &'static [Self]) -> Self {
        Self { key, tag: Some(tag), is_length: false, inner, slots: Self::slots(inner) }
    }

    const fn slots(inner: &[Self]) -> u64 {
        let (mut slots, mut at) = (0, 0);
        while at < inner.len() {
            slots |= slot(inner[at].key.as_bytes());
            at += 1;
        }
        slots
    }

    #[inline]
    fn find(&'static self, key: &[u8]) -> Option<&'static Self> {
        // Most keys are none of them, and differ at once.
        if self.slots & slot(key) == 0 {
            return None;
        }
        let (length, first, last) = (key.len(), key.first(), key.last());
        self.inner.iter().find(|want| {
            let wanted = want.key.as_bytes();
            wanted.len() == length && wanted.first() == first && wanted.last() == last && wanted == key
        })
    }
}

/// One bit of 64, by length and first byte.
#[inline]
const fn slot(key: &[u8]) -> u64 {
    match key {
        [first, ..] => 1 << ((key.len() * 7 + *first as usize) % 64),
        [] => 1,
    }
}

impl<T: Copy + 'static> Scanner<T> {
    pub fn new(root: &'static Want<T>) -> Self {
        Self {
            root,
            expect: Expect::Value,
            token: Token::None,
            depth: 0,
            objects: 0,
            path: [None; MAX_PATH],
            each: [None; MAX_PATH],
            next: None,
            text: Text::default(),
            last: 0,
            offset: 0,
        }
    }

    /// For the next document.
    pub fn restart(&mut self) {
        self.expect = Expect::Value;
        self.token = Token::None;
        self.depth = 0;
        self.offset = 0;
    }

    /// Nothing of a document was there yet, white space aside.
    pub fn is_untouched(&self) -> bool {
        self.expect == Expect::Value && self.token == Token::None && self.depth == 0
    }

    /// Nothing at all has come of the document.
    pub fn is_at_start(&self) -> bool {
        self.is_untouched() && self.offset == 0
    }

    /// Goes to the end of a document that its user knows to be whole.
    pub fn pass_over(&mut self) {
        self.expect = Expect::Nothing;
    }

    pub fn is_whole(&self) -> bool {
        // A number ends only by what follows it.
        self.expect == Expect::Nothing || (self.depth == 0 && self.token == Token::Number)
    }

    /// How much there is so far of a string whose length is wanted.
    pub fn begun_length(&self) -> u64 {
        let is_value = self.token == Token::String && self.takes_value();
        let is_wanted = is_value && self.wanted().is_some_and(|want| want.is_length);
        if is_wanted { self.text.whole_length } else { 0 }
    }

    /// It is no JSON, or cannot be read on.
    pub fn is_broken(&self) -> bool {
        matches!(self.expect, Expect::Broken | Expect::TooDeep)
    }

    /// Something is there, and if it ends here, it is no JSON. Of what is too deep
    /// that cannot be said.
    pub fn is_no_document(&self) -> bool {
        !self.is_untouched() && !self.is_whole() && self.expect != Expect::TooDeep
    }

    /// Reads on. `found` is told of each wanted value: its tag, what it is, and at
    /// which byte of the document it ends, or, for what it contains, begins.
    pub fn feed(&mut self, bytes: &[u8], found: &mut impl FnMut(T, Value<'_>, u64)) {
        let mut at = 0;
        while at < bytes.len() && !self.is_broken() {
            at = match self.token {
                Token::None => self.structure(bytes, at, found),
                Token::String => self.string(bytes, at, found),
                Token::Number => self.number(bytes, at, found),
                Token::Literal(rest, value) => self.literal(bytes, at, rest, value, found),
            };
        }
        self.offset = self.offset.saturating_add(bytes.len() as u64);
    }

    /// Reads from between two tokens on, to the end or into one that is not all there.
    #[inline]
    fn structure(&mut self, bytes: &[u8], from: usize, found: &mut impl FnMut(T, Value<'_>, u64)) -> usize {
        let mut at = from;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'"' => at = self.begin_string(bytes, at, found),
                b':' if self.expect == Expect::Colon => self.expect = Expect::Value,
                b',' if self.expect == Expect::CommaOrEnd => {
                    self.expect = if self.is_in_object() { Expect::Key } else { Expect::Value };
                }
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'{' | b'[' if self.takes_value() => self.open(byte == b'{', self.position(at - 1), found),
                b'}' | b']' if self.takes_end(byte == b'}') => self.close(self.position(at - 1), found),
                b'-' | b'0'..=b'9' if self.takes_value() => {
                    self.text.begin(self.kept_of_value());
                    self.token = Token::Number;
                    at = self.number(bytes, at - 1, found);
                }
                b't' | b'f' | b'n' if self.takes_value() => {
                    let (rest, value): (&'static [u8], _) = match byte {
                        b't' => (b"rue", Value::Bool(true)),
                        b'f' => (b"alse", Value::Bool(false)),
                        _ => (b"ull", Value::Null),
                    };
                    at = self.literal(bytes, at, rest, value, found);
                }
                _ => self.expect = Expect::Broken,
            }
            if self.token != Token::None || self.is_broken() {
                return at;
            }
        }
        at
    }

    /// After its quote.
    #[inline]
    fn begin_string(
        &mut self,
        bytes: &[u8],
        from: usize,
        found: &mut impl FnMut(T, Value<'_>, u64),
    ) -> usize {
        let is_key = matches!(self.expect, Expect::Key | Expect::KeyOrEnd);
        if !is_key && !self.takes_value() {
            self.expect = Expect::Broken;
            return from;
        }
        let rest = bytes.get(from..).unwrap_or_default();
        let (text, after) = rest.split_at(plain(rest));
        let end = from + text.len() + 1;
        if after.first() == Some(&b'"') {
            // Nearly always: it is all there, and has nothing to unescape.
            self.end_string(text, text.len() as u64, end, found);
            return end;
        }
        self.text.begin(match (is_key, self.container()) {
            (true, Some(_)) => Keep::All,
            (true, None) => Keep::Nothing,
            (false, _) => self.kept_of_value(),
        });
        self.token = Token::String;
        self.string(bytes, from, found)
    }

    fn string(&mut self, bytes: &[u8], from: usize, found: &mut impl FnMut(T, Value<'_>, u64)) -> usize {
        let Some(end) = self.text.feed(bytes, from) else {
            if self.text.escape == Escape::Wrong {
                self.expect = Expect::Broken;
            }
            return bytes.len();
        };
        self.token = Token::None;
        let length = self.text.whole_length;
        if self.text.is_kept() {
            let text = std::mem::take(&mut self.text);
            self.end_string(text.kept(), length, end, found);
        } else {
            self.end_string(&[], length, end, found);
        }
        end
    }

    #[inline]
    fn end_string(
        &mut self,
        text: &[u8],
        length: u64,
        end: usize,
        found: &mut impl FnMut(T, Value<'_>, u64),
    ) {
        if matches!(self.expect, Expect::Key | Expect::KeyOrEnd) {
            self.next = self.container().and_then(|want| want.find(text));
            self.expect = Expect::Colon;
        } else {
            if let Some(Want { tag: Some(tag), is_length, .. }) = self.wanted() {
                let value = if *is_length { Value::Length(length) } else { Value::Text(text) };
                found(*tag, value, self.position(end));
            }
            self.after_value();
        }
    }

    fn number(&mut self, bytes: &[u8], from: usize, found: &mut impl FnMut(T, Value<'_>, u64)) -> usize {
        let rest = bytes.get(from..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        let (digits, rest) = rest.split_at(length);
        self.text.keep(digits);
        self.last = digits.last().copied().unwrap_or(self.last);
        let end = from + length;
        if !rest.is_empty() {
            self.token = Token::None;
            if let Some(tag) = self.wanted().and_then(|want| want.tag) {
                found(tag, Value::Number(whole_number(self.text.kept())), self.position(end));
            }
            self.after_value();
        }
        end
    }

    fn literal(
        &mut self,
        bytes: &[u8],
        from: usize,
        rest: &'static [u8],
        value: Value<'static>,
        found: &mut impl FnMut(T, Value<'_>, u64),
    ) -> usize {
        let there = bytes.get(from..).unwrap_or_default();
        let length = rest.len().min(there.len());
        let (expected, rest) = rest.split_at(length);
        if there.get(..length) != Some(expected) {
            self.expect = Expect::Broken;
            return from;
        }
        let end = from + length;
        if rest.is_empty() {
            self.token = Token::None;
            if let Some(tag) = self.wanted().and_then(|want| want.tag) {
                found(tag, value, self.position(end));
            }
            self.after_value();
        } else {
            self.token = Token::Literal(rest, value);
        }
        end
    }

    fn open(&mut self, is_object: bool, position: u64, found: &mut impl FnMut(T, Value<'_>, u64)) {
        if self.depth == MAX_DEPTH {
            self.expect = Expect::TooDeep;
            return;
        }
        let wanted = self.wanted();
        if let Some(tag) = wanted.and_then(|want| want.tag) {
            found(tag, if is_object { Value::Object } else { Value::Array }, position);
        }
        let depth = usize::from(self.depth);
        if let (Some(place), Some(each)) = (self.path.get_mut(depth), self.each.get_mut(depth)) {
            *place = wanted;
            *each = if is_object { None } else { wanted.and_then(|want| want.find(EACH.as_bytes())) };
        }
        let bit = 1 << self.depth;
        self.objects = if is_object { self.objects | bit } else { self.objects & !bit };
        self.depth += 1;
        self.expect = if is_object { Expect::KeyOrEnd } else { Expect::ElementOrEnd };
    }

    fn close(&mut self, position: u64, found: &mut impl FnMut(T, Value<'_>, u64)) {
        if let Some(tag) = self.container().and_then(|want| want.tag) {
            found(tag, Value::End, position);
        }
        self.depth -= 1;
        self.after_value();
    }

    fn after_value(&mut self) {
        self.expect = if self.depth == 0 { Expect::Nothing } else { Expect::CommaOrEnd };
    }

    fn takes_value(&self) -> bool {
        matches!(self.expect, Expect::Value | Expect::ElementOrEnd)
    }

    /// Whether the innermost container may end here, and is of this kind.
    fn takes_end(&self, is_object: bool) -> bool {
        match self.expect {
            Expect::KeyOrEnd => is_object,
            Expect::ElementOrEnd => !is_object,
            Expect::CommaOrEnd => self.is_in_object() == is_object,
            Expect::Value
            | Expect::Key
            | Expect::Colon
            | Expect::Nothing
            | Expect::Broken
            | Expect::TooDeep => false,
        }
    }

    fn is_in_object(&self) -> bool {
        self.depth > 0 && self.objects >> (self.depth - 1) & 1 == 1
    }

    /// What is wanted of the container that is open.
    fn container(&self) -> Option<&'static Want<T>> {
        let index = usize::from(self.depth).checked_sub(1)?;
        *self.path.get(index)?
    }

    /// What is wanted of the value that begins or has just ended here.
    fn wanted(&self) -> Option<&'static Want<T>> {
        if self.depth == 0 {
            Some(self.root)
        } else if self.is_in_object() {
            self.next
        } else {
            *self.each.get(usize::from(self.depth).checked_sub(1)?)?
        }
    }

    fn kept_of_value(&self) -> Keep {
        match self.wanted() {
            Some(Want { tag: Some(_), is_length: true, .. }) => Keep::Length,
            Some(Want { tag: Some(_), .. }) => Keep::All,
            _ => Keep::Nothing,
        }
    }

    fn position(&self, at: usize) -> u64 {
        self.offset.saturating_add(at as u64)
    }
}

/// Also `12.0` and `1.2e1`, which some serializers write.
fn whole_number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "whole and within the range in which doubles are exact"
    )]
    (number.trunc() == number && (0.0..9e15).contains(&number)).then_some(number as u64)
}

#[cfg(test)]
mod tests;
