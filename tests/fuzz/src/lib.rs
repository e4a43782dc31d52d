//! What the fuzzer runs: one function for each kind of object that is decoded.
//! Each takes any bytes, says whether they were accepted, and panics when what
//! must hold of an accepted object does not, or when too much memory was used.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a target's panic is what the fuzzer looks for"
)]

pub mod fresh;
pub mod index;
pub mod keys;
pub mod manifest;
pub mod memory;
pub mod observer;
pub mod parameters;
pub mod projects;
pub mod providers;
pub mod request_body;
pub mod shard;
pub mod token;

/// Whether the bytes were accepted.
pub type Target = fn(&[u8]) -> bool;

/// Every target, by the name that its seeds and its binary have.
pub const TARGETS: [(&str, Target); 10] = [
    ("fresh", fresh::run),
    ("index", index::run),
    ("manifest", manifest::run),
    ("observer", observer::run),
    ("parameters", parameters::run),
    ("projects", projects::run),
    ("providers", providers::run),
    ("request_body", request_body::run),
    ("shard", shard::run),
    ("token", token::run),
];
