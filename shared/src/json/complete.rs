//! What is missing from a document that broke off.

use super::string::Escape;
use super::{Expect, Scanner, Token};

impl<T: Copy + 'static> Scanner<T> {
    /// What makes of the document, cut off inside an object at `depth` or deeper,
    /// one to which another member of that object can be written at once. None
    /// where that cannot be: it is broken, whole, or not in such an object.
    pub fn completion(&self, depth: u8) -> Option<String> {
        let base = depth.checked_sub(1)?;
        if self.is_broken() || self.depth < depth || self.objects >> base & 1 == 0 {
            return None;
        }
        let mut text = String::new();
        let mut expect = self.expect;
        if self.token != Token::None {
            self.end_token(&mut text);
            let is_key = matches!(expect, Expect::Key | Expect::KeyOrEnd);
            expect = if is_key { Expect::Colon } else { Expect::CommaOrEnd };
        }
        let is_outer = self.depth == depth;
        match expect {
            Expect::Colon => text.push_str(":null,"),
            Expect::Value => text.push_str("null,"),
            Expect::Key if !is_outer => text.push_str("\"\":null,"),
            Expect::CommaOrEnd => text.push(','),
            Expect::Key | Expect::KeyOrEnd | Expect::ElementOrEnd => {}
            Expect::Nothing | Expect::Broken | Expect::TooDeep => return None,
        }
        if !is_outer {
            // The comma is for the object at `depth`, not for what is closed before.
            if text.ends_with(',') {
                text.pop();
            }
            for level in (depth..self.depth).rev() {
                text.push(if self.objects >> level & 1 == 1 { '}' } else { ']' });
            }
            text.push(',');
        }
        Some(text)
    }

    fn end_token(&self, text: &mut String) {
        match self.token {
            Token::None => {}
            Token::String => {
                match self.text.escape {
                    Escape::Begun => text.push('\\'),
                    Escape::Unicode(digits, _) => (digits..4).for_each(|_| text.push('0')),
                    Escape::None | Escape::Wrong => {}
                }
                text.push('"');
            }
            Token::Number => {
                if !self.last.is_ascii_digit() {
                    text.push('0');
                }
            }
            Token::Literal(rest, _) => {
                text.extend(rest.iter().map(|&byte| char::from(byte)));
            }
        }
    }

    /// Whether a document that is an array is open, and waits for an element, with
    /// a comma before it or without.
    pub fn waits_for_element(&self) -> Option<bool> {
        let is_array = self.depth == 1 && self.objects & 1 == 0 && self.token == Token::None;
        match self.expect {
            Expect::CommaOrEnd if is_array => Some(true),
            Expect::Value | Expect::ElementOrEnd if is_array => Some(false),
            _ => None,
        }
    }
}
