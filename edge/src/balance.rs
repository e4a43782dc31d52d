//! Who is asked: which of a route's targets, with which of the project's
//! credentials, and who next when that one fails.
//!
//! Nothing here does I/O, looks at a clock or rolls dice.

pub mod breaker;
pub mod error_kind;
pub mod happened;
pub mod key;
pub mod signs;
pub mod standings;

#[cfg(test)]
mod testing;
