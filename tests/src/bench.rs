//! The benchmarks: each figure beside its floor or peer, in one run.

pub mod forward;
pub mod load;
pub mod report;
pub mod rig;
