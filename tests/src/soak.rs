//! The long tests of faults. Their short forms run in `make test`, from the
//! same code with other numbers.

pub mod afterwards;
pub mod client;
pub mod dice;
pub mod disturb;
pub mod edge;
pub mod fleet;
pub mod kill;
pub mod known;
pub mod ledger;
pub mod rig;
pub mod run;
pub mod several;
pub mod view;
pub mod watch;
