//! Bodies that a project has captured: kept as they pass, up to a bound, and
//! redacted before they go into the event.

mod literals;
mod redact;

use shared::event::{Bodies, MAX_BODIES_LEN};
use shared::redaction::Redactor;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

/// What is kept of a body: what can be told, and [`MARGIN`] beyond it.
const MAX_KEPT: usize = MAX_BODIES_LEN + MARGIN;

/// How much of the end of a body that is not whole is never told: a match that
/// would begin there may need what is not there. In bytes.
const MARGIN: usize = 16 * 1024;

/// What all bodies that pass through an isolate at one time may take.
const ROOM: usize = 8 * 1024 * 1024;

/// The two bodies of one request.
#[derive(Debug)]
pub struct Capture {
    redactor: Rc<Redactor>,
    room: Room,
    request: Option<Kept>,
    response: Option<Kept>,
}

/// How much more may be kept, of all requests under way.
#[derive(Clone, Debug)]
pub struct Room(Rc<Cell<usize>>);

/// The beginning of a body, if not all of it.
struct Kept {
    bytes: Vec<u8>,
    is_cut: bool,
    room: Room,
}

/// A body that can be told.
struct Told {
    text: String,
    is_cut: bool,
}

/// Whether bodies of this content type are text.
pub fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/") || essence.contains("json")
}

impl Capture {
    pub fn new(redactor: Rc<Redactor>, room: Room) -> Self {
        Self { redactor, room, request: None, response: None }
    }

    /// The request's body, whole.
    pub fn request(&mut self, body: &[u8]) {
        self.request.get_or_insert(Kept::new(&self.room)).add(body);
    }

    /// The answer's headers are there; says whether its body is to be shown.
    pub fn answered(&mut self, content_type: &str) -> bool {
        self.response = is_text(content_type).then(|| Kept::new(&self.room));
        self.response.is_some()
    }

    /// A part of the answer's body, as the client gets it.
    pub fn response(&mut self, piece: &[u8]) {
        if let Some(response) = &mut self.response {
            response.add(piece);
        }
    }

    /// More of the answer passed than was shown.
    pub fn response_is_cut(&mut self) {
        if let Some(response) = &mut self.response {
            response.is_cut = true;
        }
    }

    /// What the event tells. This takes time.
    pub fn bodies(self) -> Bodies {
        let Self { redactor, request, response, .. } = self;
        let tell = |kept: Option<Kept>| kept.and_then(|kept| kept.told(&redactor));
        fit(tell(request), tell(response))
    }
}

impl Default for Room {
    fn default() -> Self {
        Self(Rc::new(Cell::new(ROOM)))
    }
}

impl Kept {
    fn new(room: &Room) -> Self {
        Self { bytes: Vec::new(), is_cut: false, room: room.clone() }
    }

    fn add(&mut self, piece: &[u8]) {
        let room = &self.room.0;
        let length = piece.len().min(MAX_KEPT - self.bytes.len()).min(room.get());
        self.is_cut |= length < piece.len();
        room.set(room.get() - length);
        self.bytes.extend_from_slice(&piece[..length]);
    }

    /// None if it is no text after all.
    fn told(&self, redactor: &Redactor) -> Option<Told> {
        let text = match str::from_utf8(&self.bytes) {
            Ok(text) => text,
            // The cut is in the middle of a character.
            Err(error) if self.is_cut && error.error_len().is_none() => {
                str::from_utf8(&self.bytes[..error.valid_up_to()]).ok()?
            }
            Err(_) => return None,
        };
        let end = if self.is_cut {
            text.floor_char_boundary(text.len().saturating_sub(MARGIN))
        } else {
            text.len()
        };
        // A database takes no NUL.
        let text = redact::redact(text, redactor, end).replace('\0', "\u{fffd}");
        Some(Told { text, is_cut: self.is_cut })
    }
}

/// Bodies are in no log.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.bytes.len())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.room.0.set(self.room.0.get() + self.bytes.len());
    }
}

/// Cuts what is too long together; either has at least half of the space.
fn fit(request: Option<Told>, response: Option<Told>) -> Bodies {
    let length = |told: &Option<Told>| told.as_ref().map_or(0, |told| told.text.chars().map(written).sum());
    let lengths: [usize; 2] = [length(&request), length(&response)];
    let cut = |told: Option<Told>, other: usize| match told {
        Some(mut told) => {
            let end = end_within(&told.text, MAX_BODIES_LEN - other.min(MAX_BODIES_LEN / 2));
            told.is_cut |= end < told.text.len();
            told.text.truncate(end);
            (Some(told.text), told.is_cut)
        }
        None => (None, false),
    };
    let (request_body, request_body_cut) = cut(request, lengths[1]);
    let (response_body, response_body_cut) = cut(response, lengths[0]);
    Bodies { request_body, request_body_cut, response_body, response_body_cut }
}

/// The end of the longest beginning that is written with so many bytes.
fn end_within(text: &str, room: usize) -> usize {
    let mut length = 0;
    let beyond = text.char_indices().find(|(_, char)| {
        length += written(*char);
        length > room
    });
    beyond.map_or(text.len(), |(at, _)| at)
}

/// How many bytes a character takes in a string of JSON.
fn written(char: char) -> usize {
    match char {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        char if char < ' ' => 6,
        char => char.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn capture(patterns: &[&str]) -> Capture {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Capture::new(Rc::new(Redactor::new(&patterns).unwrap()), Room::default())
    }

    fn bodies(request: &str, response: &str) -> Bodies {
        let mut capture = capture(&["secret[0-9]*"]);
        capture.request(request.as_bytes());
        assert!(capture.answered("application/json; charset=utf-8"));
        response.as_bytes().chunks(1_000).for_each(|piece| capture.response(piece));
        capture.bodies()
    }

    fn written_len(body: Option<&String>) -> usize {
        serde_json::to_string(body.unwrap()).unwrap().len() - 2
    }

    #[test]
    fn short_bodies_are_kept_whole() {
        let kept = bodies("{\"a\":\"é secret1\"}", "");
        assert_eq!(kept.request_body.as_deref(), Some("{\"a\":\"é [redacted]\"}"));
        assert_eq!(kept.response_body.as_deref(), Some(""));
        assert!(!kept.request_body_cut && !kept.response_body_cut);
        let half = "x".repeat(MAX_BODIES_LEN / 2);
        assert!(!bodies(&half, &half).request_body_cut);
        assert!(!bodies(&"x".repeat(MAX_BODIES_LEN), "").request_body_cut);
    }

    #[test]
    fn what_is_no_text_is_not_kept() {
        let mut capture = capture(&[]);
        capture.request(b"\xff\xfe{");
        assert!(!capture.answered("image/png") && !capture.answered(""));
        capture.response(b"x");
        assert_eq!(capture.bodies(), Bodies::default());
        for kind in [
            "text/plain",
            "TEXT/EVENT-STREAM;charset=utf-8",
            "application/problem+json",
            "application/x-ndjson",
        ] {
            assert!(is_text(kind), "{kind}");
        }
        for kind in ["", "audio/mpeg", "application/octet-stream", "multipart/form-data; boundary=json"] {
            assert!(!is_text(kind), "{kind}");
        }
    }

    #[test]
    fn each_has_at_least_half_of_the_space() {
        let long = "é".repeat(MAX_BODIES_LEN);
        let kept = bodies(&long, &long);
        assert_eq!(
            (written_len(kept.request_body.as_ref()), written_len(kept.response_body.as_ref())),
            (16_384, 16_384)
        );
        assert!(kept.request_body_cut && kept.response_body_cut);
        let kept = bodies("short", &long);
        assert_eq!((kept.request_body.as_deref(), kept.request_body_cut), (Some("short"), false));
        assert_eq!(written_len(kept.response_body.as_ref()), MAX_BODIES_LEN - 5 - 1);
        // Three bytes of a character at the very end.
        let mut capture = capture(&[]);
        capture.request(format!("{}\u{1f511}", "x".repeat(MAX_KEPT - 3)).as_bytes());
        assert_eq!(capture.bodies().request_body.unwrap().len(), MAX_KEPT - 3 - MARGIN);
    }

    /// What is found in a long string takes no more with it.
    #[test]
    fn a_cut_within_a_string_leaves_its_beginning() {
        let body = format!("{{\"content\":\"{}\"}}", "secret1, \\n".repeat(10_000));
        let kept = bodies(&body, "");
        let request = kept.request_body.unwrap();
        assert!(
            kept.request_body_cut && written_len(Some(&request)) > MAX_BODIES_LEN - 64,
            "{}",
            request.len()
        );
        assert!(
            request.starts_with("{\"content\":\"[redacted], \\n[redacted], ") && !request.contains("secret")
        );
    }

    /// A match that the cut would divide must not be told by its half.
    #[test]
    fn nothing_of_a_match_is_left_before_a_cut() {
        let filler = |length: usize| ".".repeat(length);
        for at in [MAX_BODIES_LEN - 3, MAX_BODIES_LEN, MAX_KEPT - 3, MAX_KEPT] {
            for size in [10, MARGIN - 100] {
                let body = format!("{}secret{}{}", filler(at), "7".repeat(size), filler(MAX_KEPT));
                let kept = bodies(&body, "").request_body.unwrap();
                assert!(!kept.contains("secret") && !kept.contains('7'), "{at} {size}");
                assert!(kept.len() <= MAX_BODIES_LEN);
            }
        }
    }

    #[test]
    fn an_isolate_keeps_no_more_than_it_has_room_for() {
        let room = Room::default();
        let begin = || {
            let mut capture = Capture::new(Rc::new(Redactor::default()), room.clone());
            capture.request(&vec![b'x'; MAX_KEPT]);
            capture
        };
        let all: Vec<Capture> = (0..ROOM / MAX_KEPT + 2).map(|_| begin()).collect();
        assert_eq!(room.0.get(), 0);
        let last = all.into_iter().last().unwrap().bodies();
        assert_eq!((last.request_body.as_deref(), last.request_body_cut), (Some(""), true));
        assert_eq!(room.0.get(), ROOM);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn both_fit_into_the_line(
            request in "([a-z\"\\\\\u{1}\n\u{0}é🔑]{0,9}){0,40}",
            repeated in 1_usize..500,
            response in "([a-z\"\\\\\u{1}\n\u{0}é🔑]{0,9}){0,40}",
            again in 1_usize..500,
        ) {
            let (request, response) = (request.repeat(repeated), response.repeat(again));
            let kept = bodies(&request, &response);
            prop_assert!(written_len(kept.request_body.as_ref()) + written_len(kept.response_body.as_ref()) <= MAX_BODIES_LEN);
            for (body, told, is_cut) in [
                (request, kept.request_body.unwrap(), kept.request_body_cut),
                (response, kept.response_body.unwrap(), kept.response_body_cut),
            ] {
                let body = body.replace('\0', "\u{fffd}");
                prop_assert!(body.starts_with(&told));
                prop_assert_eq!(is_cut, told != body);
            }
        }
    }
}
