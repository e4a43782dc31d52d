//! The JavaScript side of the runtime, as Rust sees it: a file for each purpose.

pub(super) mod copies;
pub(super) mod exchange;
pub(super) mod queue;
