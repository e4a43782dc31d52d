//! The one place that reads the clock. Everything else takes the time as an argument.

use shared::id::UnixMs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn now() -> UnixMs {
    // A clock before 1970 counts as 1970: an id or a version made then is still valid.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A point from which to measure a duration.
#[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
pub fn start() -> Instant {
    Instant::now()
}
