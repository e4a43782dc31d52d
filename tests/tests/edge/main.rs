//! The edge on real workerd, before snapshots made by hand: every refusal, what
//! passes and what does not, and what it does when KV or the upstream fails it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a failure is a failed test, and tests measure time"
)]

mod bench;
mod bodies;
mod capture;
mod copies;
mod credentials;
mod delivery;
mod events;
mod faults;
mod faulty_streams;
mod forged_tokens;
mod fresh_tokens;
mod freshness;
mod health;
mod kv_faults;
mod leaving_clients;
mod manifest_faults;
mod memory;
mod paths;
mod policy;
mod raw_answers;
mod refusals;
mod request_headers;
mod response_headers;
mod resume;
mod rotation;
mod route_faults;
mod routing;
mod sdk_faults;
mod sdk_routes;
mod sdk_tools;
mod snapshot_objects;
mod streams;
mod upstream_failures;
mod usage;
mod wrong_lengths;
