//! Takes JSON apart without reading it: what `serde_json` cannot hold may stand where no rule reads.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Something whose form is JSON's, without space around it.
#[derive(Clone, Copy)]
pub(super) struct Text<'t>(&'t [u8]);

pub(super) enum Kind<'t> {
    /// Names, as they are written, and values.
    Object(Vec<(Text<'t>, Text<'t>)>),
    Array(Vec<Text<'t>>),
    Leaf,
}

impl<'t> Text<'t> {
    pub(super) fn new(text: &'t [u8]) -> Option<Self> {
        serde_json::from_slice::<IgnoredAny>(text).ok()?;
        let text = Self(text.trim_ascii());
        if let Ok(value) = serde_json::from_slice::<Value>(text.0) {
            assert_eq!(text.value().as_ref(), Some(&value), "taken apart it is something else");
        }
        Some(text)
    }

    pub(super) fn kind(self) -> Kind<'t> {
        match self.0.first() {
            Some(b'{') => {
                let items = self.items();
                Kind::Object(items.chunks(2).map(|member| (member[0], member[1])).collect())
            }
            Some(b'[') => Kind::Array(self.items()),
            _ => Kind::Leaf,
        }
    }

    /// A leaf, or a name: what `serde_json` reads there, if it does.
    pub(super) fn leaf(self) -> Option<Value> {
        serde_json::from_slice(self.0).ok()
    }

    /// What commas and colons divide.
    fn items(self) -> Vec<Self> {
        let inner = self.0[1..self.0.len() - 1].trim_ascii();
        let (mut items, mut start, mut depth) = (Vec::new(), 0, 0);
        let (mut is_string, mut is_escaped) = (false, false);
        for (at, byte) in inner.iter().enumerate() {
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                b'"' => is_string = !is_string,
                _ if is_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b',' | b':' if depth == 0 => {
                    items.push(Self(inner[start..at].trim_ascii()));
                    start = at + 1;
                }
                _ => {}
            }
        }
        if !inner.is_empty() {
            items.push(Self(inner[start..].trim_ascii()));
        }
        items
    }

    /// All of it, where all of it can be read.
    fn value(self) -> Option<Value> {
        match self.kind() {
            Kind::Object(members) => {
                let member =
                    |(name, value): (Self, Self)| Some((name.leaf()?.as_str()?.to_owned(), value.value()?));
                members.into_iter().map(member).collect::<Option<Map<_, _>>>().map(Value::Object)
            }
            Kind::Array(items) => {
                items.into_iter().map(Self::value).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Kind::Leaf => self.leaf(),
        }
    }
}
