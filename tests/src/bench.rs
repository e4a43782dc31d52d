//! The benchmarks: each figure beside its floor or peer, in one run.

pub mod batches;
pub mod change;
pub mod cold;
pub mod consume;
pub mod cost;
pub mod drain;
pub mod forward;
pub mod ingest;
pub mod latency;
pub mod load;
pub mod lookup;
pub mod memory;
pub mod peer;
pub mod policy;
pub mod publish;
pub mod report;
pub mod rig;
pub mod routing;
pub mod stream;
pub mod usage;
