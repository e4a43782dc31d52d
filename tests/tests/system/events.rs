//! From requests to their sums, for as long as `make test` allows; `make soak`
//! goes on for longer.

use latchkey_tests::soak::dice::Dice;
use latchkey_tests::soak::events::storm::Storm;
use latchkey_tests::soak::events::{Plan, Trouble, isolates, run};
use latchkey_tests::soak::kill::Database;
use std::time::Duration;

const REQUESTS: usize = 2_000;
const AT_ONCE: usize = 16;
const DOWN: Duration = Duration::from_secs(20);
const KILLS: usize = 4;
const STORM: Storm = Storm { kills: 3, pause: Duration::from_secs(5) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_counted_once_on_sqlite() {
    check(Database::Sqlite, Trouble::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_counted_once_on_postgresql() {
    check(Database::Postgres, Trouble::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_control_plane_down_meanwhile_each_is_counted_afterwards() {
    check(Database::Sqlite, Trouble::Down(DOWN)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_control_plane_killed_in_the_midst_each_is_counted_once_on_sqlite() {
    check(Database::Sqlite, Trouble::Killed(KILLS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_control_plane_killed_in_the_midst_each_is_counted_once_on_postgresql() {
    check(Database::Postgres, Trouble::Killed(KILLS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolate_that_is_killed_loses_its_last_group_and_that_is_seen() {
    eprintln!("{}", isolates::run(KILLS, Dice::of_environment()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_each_is_counted_once_with_the_log_in_sqlite() {
    check(Database::Sqlite, Trouble::Storm(STORM)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_storm_each_is_counted_once_with_the_log_in_redis() {
    check(Database::Postgres, Trouble::Storm(STORM)).await;
}

async fn check(database: Database, trouble: Trouble) {
    let is_over_redis = database == Database::Postgres && matches!(trouble, Trouble::Storm(_));
    let plan = Plan { database, is_over_redis, requests: REQUESTS, at_once: AT_ONCE, trouble, program: None };
    eprintln!("{}", run(plan, Dice::of_environment()).await);
}
