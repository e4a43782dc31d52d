//! `kill -9` in a loop, for as long as `make test` allows; `make soak` goes on for longer.

use latchkey_tests::soak::dice::Dice;
use latchkey_tests::soak::kill::{Database, Plan, run};

const CHANGES: usize = 150;
const KILLS: usize = 6;
const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_loop_nothing_acknowledged_is_lost_on_sqlite() {
    check(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_a_loop_nothing_acknowledged_is_lost_on_postgresql() {
    check(Database::Postgres).await;
}

async fn check(database: Database) {
    let plan = Plan { database, changes: CHANGES, kills: KILLS, clients: CLIENTS, bases: 0 };
    eprintln!("{}", run(plan, Dice::of_environment()).await);
}
