//! What is taken out of captured bodies: keys, and what a project's patterns match.
//! One engine where a pattern is saved and where it is applied, of linear time
//! whatever the text.

use regex_lite::{Regex, RegexBuilder};
use std::ops::Range;
use thiserror::Error;

pub const MAX_PATTERNS: usize = 20;

/// Of one pattern, in characters.
pub const MAX_PATTERN_LEN: usize = 256;

/// How large a pattern may be when compiled, in bytes: the smallest that holds it
/// counts. 8 KB are about 250 states. This bounds the time that a character takes.
const SIZES: [usize; 6] = [512, 1024, 2 * 1024, 3 * 1024, 4 * 1024, 8 * 1024];

/// Of all patterns together.
pub const MAX_COMPILED_LEN: usize = 32 * 1024;

/// What stands in place of each match.
pub const REPLACEMENT: &str = "[redacted]";

/// How keys begin, Latchkey's own and those of providers that mark theirs, and how
/// many characters must follow. The first holds anywhere, the others where a word begins.
const KEYS: [(&str, usize); 5] = [("sk-lk-", 1), ("sk-", 16), ("gsk_", 16), ("AIza", 16), ("xai-", 16)];

/// Finds what must not be kept.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    patterns: Vec<Regex>,
}

/// Why patterns are not taken; the number is that of the pattern, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    #[error("has at most {MAX_PATTERNS} patterns")]
    TooMany,
    #[error("pattern {0} has more than {MAX_PATTERN_LEN} characters")]
    TooLong(usize),
    #[error("pattern {0} would take too long: it is larger than 8 KB when compiled; repeat less")]
    TooLarge(usize),
    #[error("together the patterns would take too long: they are larger than 32 KB when compiled")]
    TooLargeTogether,
    #[error("pattern {0} is no regular expression: {1}")]
    Malformed(usize, String),
    #[error("pattern {0} matches the empty text, and so anything")]
    MatchesNothing(usize),
}

impl Redactor {
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        if patterns.len() > MAX_PATTERNS {
            return Err(PatternError::TooMany);
        }
        let compiled = patterns.iter().zip(1..).map(|(pattern, number)| compile(pattern, number));
        let (patterns, sizes): (Vec<_>, Vec<_>) =
            compiled.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        if sizes.into_iter().sum::<usize>() > MAX_COMPILED_LEN {
            return Err(PatternError::TooLargeTogether);
        }
        Ok(Self { patterns })
    }

    /// What to replace, in order; no two touch.
    pub fn find(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = keys(text).collect();
        for pattern in &self.patterns {
            found
                .extend(pattern.find_iter(text).map(|found| found.range()).filter(|range| !range.is_empty()));
        }
        found.sort_unstable_by_key(|range| range.start);
        found.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
        found
    }
}

/// And how large it is.
fn compile(pattern: &str, number: usize) -> Result<(Regex, usize), PatternError> {
    if pattern.chars().count() > MAX_PATTERN_LEN {
        return Err(PatternError::TooLong(number));
    }
    let build = |size: usize| RegexBuilder::new(pattern).size_limit(size).build();
    let Some((regex, size)) = SIZES.into_iter().find_map(|size| Some((build(size).ok()?, size))) else {
        return match build(SIZES[SIZES.len() - 1]) {
            // The builder has no other word for it.
            Err(error) if !error.to_string().contains("size limit") => {
                Err(PatternError::Malformed(number, error.to_string()))
            }
            _ => Err(PatternError::TooLarge(number)),
        };
    };
    if regex.is_match("") { Err(PatternError::MatchesNothing(number)) } else { Ok((regex, size)) }
}

fn keys(text: &str) -> impl Iterator<Item = Range<usize>> {
    KEYS.into_iter().flat_map(move |(start, least)| {
        let is_own = start == KEYS[0].0;
        text.match_indices(start).filter_map(move |(at, _)| {
            let (before, after) = (&text[..at], &text[at + start.len()..]);
            let begins_word = !before.ends_with(|before: char| before.is_ascii_alphanumeric());
            let length = after.bytes().take_while(|byte| is_of_key(*byte)).count();
            (length >= least && (is_own || begins_word)).then(|| at..at + start.len() + length)
        })
    })
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(patterns: &[&str], text: &str) -> String {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let mut text = text.to_owned();
        for range in Redactor::new(&patterns).unwrap().find(&text).into_iter().rev() {
            text.replace_range(range, REPLACEMENT);
        }
        text
    }

    fn refused(pattern: &str) -> PatternError {
        Redactor::new(&["a".to_owned(), pattern.to_owned()]).unwrap_err()
    }

    #[test]
    fn what_matches_is_replaced_once_however_many_patterns_match() {
        assert_eq!(redact(&["[a-z]+@[a-z.]+"], "to ada@example.com, é"), "to [redacted], é");
        assert_eq!(redact(&["abc", "bcd", "f"], "xabcdefy"), "x[redacted]e[redacted]y");
        assert_eq!(redact(&[r"\d"], "call 555"), "call [redacted]");
        // It matches nothing, here and there.
        assert_eq!(redact(&[r"\b"], "a b"), "a b");
    }

    #[test]
    fn keys_are_always_found() {
        for key in [
            "sk-lk-x",
            "sk-proj-abcdefghijkl_0123456789",
            "sk-ant-api03-0123456789abcdef",
            "gsk_0123456789abcdef0",
            "AIzaSyA0123456789_abcdefghijklmnop-qr",
        ] {
            assert_eq!(redact(&[], &format!("(\"{key}\")")), "(\"[redacted]\")", "{key}");
        }
        assert_eq!(redact(&[], "xsk-lk-abc sk-lk-"), "x[redacted] sk-lk-");
        assert_eq!(
            redact(&[], "risk-adjusted-return-on-capital sk-short"),
            "risk-adjusted-return-on-capital sk-short"
        );
    }

    #[test]
    fn what_cannot_be_applied_is_refused_by_its_number() {
        assert!(matches!(refused("("), PatternError::Malformed(2, _)));
        assert!(matches!(refused(r"(?<a>x)\1"), PatternError::Malformed(2, _)));
        assert_eq!(refused(&"é".repeat(MAX_PATTERN_LEN + 1)), PatternError::TooLong(2));
        assert_eq!(refused("(?:a{100}){100}"), PatternError::TooLarge(2));
        assert_eq!(refused("(?:(?:a{1000}){1000}){1000}"), PatternError::TooLarge(2));
        assert_eq!(refused("a*"), PatternError::MatchesNothing(2));
        assert_eq!(refused(""), PatternError::MatchesNothing(2));
        assert_eq!(
            Redactor::new(&vec!["a".to_owned(); MAX_PATTERNS + 1]).unwrap_err(),
            PatternError::TooMany
        );
        let hard = vec!["(?:.?){40}a".to_owned(); MAX_PATTERNS];
        assert_eq!(Redactor::new(&hard).unwrap_err(), PatternError::TooLargeTogether);
        let usual = [
            r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}",
            r"\b(?:\d[ -]?){13,19}\b",
            r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}",
            r"(?i)\b(?:password|secret|token)\b\W{1,5}\S{1,60}",
            r"-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----",
        ];
        Redactor::new(&usual.map(str::to_owned)).unwrap();
    }
}
