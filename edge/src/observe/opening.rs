//! Whether a stream begins with an error. Until that is known nothing of it has
//! reached the client, and another provider can be asked.

use crate::balance::error_kind::{self, ErrorKind};

/// More than that is not waited for: it is no error then.
const MAX_LEN: usize = 64 * 1024;

/// In JavaScript's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    #[default]
    Unclear = 0,
    Good = 1,
    Faulty = 2,
}

/// The first event of a stream, as far as it has come.
#[derive(Debug, Default)]
pub struct Opening {
    /// From the last line on that is not known to be of no interest.
    bytes: Vec<u8>,
    dropped: usize,
    kind: Option<ErrorKind>,
}

impl Opening {
    pub fn feed(&mut self, piece: &[u8]) -> Seen {
        self.bytes.extend_from_slice(piece);
        let Some(data) = first_data(&self.bytes) else {
            if let Some(end) = self.bytes.iter().rposition(|&byte| byte == b'\n' || byte == b'\r') {
                self.bytes.drain(..=end);
                self.dropped += end + 1;
            }
            return if self.dropped + self.bytes.len() > MAX_LEN { Seen::Good } else { Seen::Unclear };
        };
        if !is_error(data) {
            return Seen::Good;
        }
        self.kind = Some(error_kind::of(data));
        Seen::Faulty
    }

    /// Of the error that it begins with.
    pub fn kind(&self) -> Option<ErrorKind> {
        self.kind
    }
}

/// What the first `data:` line holds, once it is whole. Comments and other fields
/// may precede it (HTML, 9.2.6).
pub(super) fn first_data(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n' || byte == b'\r')?;
    let lines = bytes.get(..end)?.split(|&byte| byte == b'\n' || byte == b'\r');
    let mut data = lines.filter_map(|line| without_bom(line).strip_prefix(b"data:"));
    data.next().map(<[u8]>::trim_ascii)
}

/// One may come before the first line.
fn without_bom(line: &[u8]) -> &[u8] {
    line.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(line)
}

/// In the form of any provider: `{"error": ...}`, or `{"type": "error", ...}`.
fn is_error(data: &[u8]) -> bool {
    let Ok(event) = serde_json::from_slice::<serde_json::Value>(data) else { return false };
    event.get("error").is_some_and(|error| error.is_object() || error.is_string())
        || event.get("type").is_some_and(|kind| kind == "error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(pieces: &[&str]) -> Vec<Seen> {
        let mut opening = Opening::default();
        pieces.iter().map(|piece| opening.feed(piece.as_bytes())).collect()
    }

    #[test]
    fn is_known_with_the_first_event() {
        assert_eq!(seen(&["data: {\"id\":1}\n\n"]), [Seen::Good]);
        assert_eq!(
            seen(&[": waiting\n\n", "event: error\r\nda", "ta: {\"error\":{}", "}\r\n"]),
            [Seen::Unclear, Seen::Unclear, Seen::Unclear, Seen::Faulty]
        );
        assert_eq!(
            seen(&["data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n"]),
            [Seen::Faulty]
        );
        assert_eq!(
            seen(&["data: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n"]),
            [Seen::Good]
        );
        assert_eq!(seen(&["data: {\"error\":null}\n"]), [Seen::Good]);
        assert_eq!(seen(&["data: [DONE]\n"]), [Seen::Good]);
        assert_eq!(seen(&["\u{feff}data: {\"error\":{}}\n"]), [Seen::Faulty]);
        assert_eq!(seen(&[&"x".repeat(MAX_LEN + 1)]), [Seen::Good]);
    }

    #[test]
    fn tells_what_kind_of_error_it_is() {
        let mut opening = Opening::default();
        opening
            .feed(b"data: {\"error\":{\"code\":\"context_length_exceeded\",\"message\":\"too long\"}}\n\n");
        assert_eq!(opening.kind(), Some(ErrorKind::ContextLength));
    }
}
