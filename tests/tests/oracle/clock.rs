//! The time of a history. It goes on only when the test says so, and a day of
//! it takes milliseconds. Each test has a thread, and each thread a time, of its own.

use std::cell::Cell;

/// Unix milliseconds.
pub(crate) type Time = u64;

pub(crate) const SECOND: Time = 1_000;
pub(crate) const MINUTE: Time = 60 * SECOND;
pub(crate) const HOUR: Time = 60 * MINUTE;
pub(crate) const DAY: Time = 24 * HOUR;

/// When every history begins.
pub(crate) const START: Time = 1_795_444_000_000;

thread_local! {
    static NOW: Cell<Time> = const { Cell::new(START) };
}

pub(crate) fn now() -> Time {
    NOW.get()
}

pub(crate) fn begin() {
    NOW.set(START);
}

/// It never goes back.
pub(crate) fn go_to(at: Time) {
    NOW.set(at.max(NOW.get()));
}
