//! The benchmarks: each figure beside its floor or peer, in one run.

pub mod change;
pub mod cold;
pub mod forward;
pub mod load;
pub mod lookup;
pub mod memory;
pub mod peer;
pub mod publish;
pub mod report;
pub mod rig;
pub mod stream;
pub mod usage;
