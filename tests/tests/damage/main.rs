//! Every object of a snapshot, damaged in every way that a store or a network
//! could, before what the edge holds of it: refused, without a panic, and
//! without a change to what is held.
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod damage;
mod decoders;
mod fresh;
mod hashed;
mod isolate;
mod manifest;
mod world;
