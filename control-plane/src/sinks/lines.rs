//! Events as JSON lines: each as `/manage/events` shows it, with what was captured.

use crate::domain::events::Listed;
use crate::events::form::Event;

pub(super) fn of(events: &[Listed]) -> Vec<u8> {
    let mut lines = Vec::new();
    for event in events {
        // It has nothing that JSON could not express.
        if serde_json::to_writer(&mut lines, &Event::new(event.clone(), event.bodies.is_some())).is_ok() {
            lines.push(b'\n');
        }
    }
    lines
}
