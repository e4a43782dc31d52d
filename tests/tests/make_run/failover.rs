//! docs/failover.md, followed from its beginning to its end.

use crate::alone;
use latchkey_tests::local::LocalRun;
use tempfile::TempDir;

#[test]
fn the_walk_through_of_failover_does_what_it_shows() {
    let _alone = alone();
    let home = TempDir::new().unwrap();
    let run = LocalRun::start(home.path());
    run.follow("docs/failover.md");
    assert!(run.stop(), "it did not end well");
}
