//! Load, for as long as `make test` allows and without limits of time; `make soak`
//! goes on for longer, at the size that Latchkey is made for.

use latchkey_tests::soak::dice::Dice;
use latchkey_tests::soak::kill::Database;
use latchkey_tests::soak::{flood, steady};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_forged_and_unknown_tokens_push_nothing_out_on_sqlite() {
    check_flood(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_forged_and_unknown_tokens_push_nothing_out_on_postgresql() {
    check_flood(Database::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_many_projects_leave_memory_as_it_was_on_sqlite() {
    check_steady(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_many_projects_leave_memory_as_it_was_on_postgresql() {
    check_steady(Database::Postgres).await;
}

async fn check_flood(database: Database) {
    let (tokens, projects, credentials) = (100_000, 200, 3);
    let plan = flood::Plan { database, tokens, projects, credentials, requests: 2_000, live: 200 };
    eprintln!("{}", flood::run(plan, Dice::of_environment()).await);
}

async fn check_steady(database: Database) {
    let plan = steady::Plan {
        database,
        tokens: 5_000,
        projects: 200,
        credentials: 3,
        live: 100,
        warm_up: 200,
        rate: 20,
        changes: Duration::from_secs(6),
        slower: None,
    };
    eprintln!("{}", steady::run(plan, Dice::of_environment()).await);
}
