//! What Redis answers about streams.

use super::super::{Entry, LogError, Position};
use redis::Value;
use std::fmt;
use std::str::FromStr;

/// Of an entry. Redis gives them in order: the milliseconds are its clock's,
/// unless that went back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) ms: u64,
    seq: u64,
}

/// An entry with its fields and values.
pub(super) struct Raw {
    pub(super) id: Id,
    fields: Vec<Value>,
}

pub(super) struct Claimed {
    /// Where to go on; the beginning, after the last.
    pub(super) next: Id,
    pub(super) entries: Vec<Raw>,
    /// Were taken by somebody, and are no longer there.
    pub(super) deleted: usize,
}

pub(super) struct Group {
    pub(super) name: String,
    pub(super) pending: u64,
    pub(super) last_delivered: Id,
    /// Not yet given to anyone; Redis does not always know.
    pub(super) lag: Option<u64>,
}

impl Id {
    pub(super) const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The lowest that comes after it.
    pub(super) fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { seq, ..self },
            None => Self { ms: self.ms.saturating_add(1), seq: 0 },
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for Id {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (ms, seq) = text.split_once('-').ok_or(())?;
        Ok(Self { ms: ms.parse().map_err(drop)?, seq: seq.parse().map_err(drop)? })
    }
}

impl Raw {
    /// Of an entry that somebody else put there, nothing is left but its place.
    pub(super) fn entry(self, attempts: u64) -> Entry {
        let mut entry = Entry {
            position: Position(self.id.to_string()),
            received_at: self.id.ms,
            lines: Vec::new(),
            attempts,
        };
        let mut fields = self.fields.into_iter();
        while let (Some(name), Some(Value::BulkString(value))) = (fields.next(), fields.next()) {
            match text(&name).as_deref() {
                Some("lines") => entry.lines = value,
                Some("received_at") => {
                    let at = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
                    entry.received_at = at.unwrap_or(entry.received_at);
                }
                _ => {}
            }
        }
        entry
    }

    fn read(value: Value) -> Option<Self> {
        let [id, Value::Array(fields)] = array(value)? else { return None };
        Some(Self { id: text(&id)?.parse().ok()?, fields })
    }
}

/// Of one stream.
pub(super) fn entries(answer: Value) -> Result<Vec<Raw>, LogError> {
    raws(answer).ok_or_else(unknown)
}

/// `XAUTOCLAIM`.
pub(super) fn claimed(answer: Value) -> Result<Claimed, LogError> {
    let claimed = || {
        let [next, entries, deleted] = array(answer)?;
        let Value::Array(deleted) = deleted else { return None };
        Some(Claimed { next: text(&next)?.parse().ok()?, entries: raws(entries)?, deleted: deleted.len() })
    };
    claimed().ok_or_else(unknown)
}

/// `XINFO GROUPS`.
pub(super) fn groups(answer: Value) -> Result<Vec<Group>, LogError> {
    let group = |value: Value| {
        let Value::Array(fields) = value else { return None };
        let field = |name: &str| {
            fields.chunks_exact(2).find(|pair| text(&pair[0]).as_deref() == Some(name)).map(|pair| &pair[1])
        };
        Some(Group {
            name: text(field("name")?)?,
            pending: number(field("pending")?)?,
            last_delivered: text(field("last-delivered-id")?)?.parse().ok()?,
            lag: field("lag").and_then(number),
        })
    };
    let Value::Array(groups) = answer else { return Err(unknown()) };
    groups.into_iter().map(group).collect::<Option<_>>().ok_or_else(unknown)
}

/// `XPENDING` of a group: the first that is not acknowledged.
pub(super) fn first_pending(answer: Value) -> Result<Option<Id>, LogError> {
    let [_, first, _, _] = array(answer).ok_or_else(unknown)?;
    match first {
        Value::Nil => Ok(None),
        first => text(&first).and_then(|id| id.parse().ok()).map(Some).ok_or_else(unknown),
    }
}

/// `XPENDING` of one entry: how often it was given out; none, if it was
/// acknowledged meanwhile.
pub(super) fn deliveries(answer: Value) -> Option<u64> {
    let [entry] = array(answer)?;
    let [_, _, _, deliveries] = array(entry)?;
    number(&deliveries)
}

pub(super) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

pub(super) fn unknown() -> LogError {
    LogError::Refused("an answer that is not understood; is it Redis 7.0 or later?".to_owned())
}

/// An entry that is gone may be there as nothing.
fn raws(entries: Value) -> Option<Vec<Raw>> {
    let Value::Array(entries) = entries else { return None };
    entries.into_iter().filter(|entry| *entry != Value::Nil).map(Raw::read).collect()
}

fn array<const N: usize>(value: Value) -> Option<[Value; N]> {
    let Value::Array(items) = value else { return None };
    items.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_order() {
        let id = |text: &str| text.parse::<Id>().unwrap();
        assert!(id("9-1") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("5-7").next().to_string(), "5-8");
        assert_eq!(id("5-18446744073709551615").next().to_string(), "6-0");
        assert!("5".parse::<Id>().is_err() && "a-b".parse::<Id>().is_err());
    }

    #[test]
    fn answers_that_are_not_understood_are_no_panic() {
        for odd in [Value::Nil, Value::Int(1), Value::Array(vec![Value::Int(1)]), Value::Array(Vec::new())] {
            assert!(claimed(odd.clone()).is_err() && first_pending(odd.clone()).is_err());
            assert!(deliveries(odd.clone()).is_none());
            assert!(odd == Value::Array(Vec::new()) || groups(odd).is_err());
        }
        assert!(entries(Value::Int(1)).is_err() && entries(Value::Array(Vec::new())).unwrap().is_empty());
    }
}
