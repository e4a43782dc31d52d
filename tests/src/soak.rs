//! The long tests of faults and of load. Their short forms run in `make test`, from the
//! same code with other numbers.

pub mod afterwards;
pub mod client;
pub mod dice;
pub mod disturb;
pub mod edge;
pub mod events;
pub mod fleet;
pub mod flood;
pub mod kill;
pub mod known;
pub mod ledger;
pub mod mutations;
pub mod path;
pub mod pulse;
pub mod rig;
pub mod run;
pub mod scale;
pub mod several;
pub mod steady;
pub mod view;
pub mod watch;
