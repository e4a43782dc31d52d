//! `make soak`: the long tests, one after another. `soak NAME...` runs only
//! those, `soak --list` says which there are.

#![allow(clippy::print_stdout, reason = "a command for developers")]

use latchkey_tests::soak::run::{TESTS, run};
use std::process::ExitCode;

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.iter().any(|name| name == "--list") {
        for test in TESTS {
            println!("{:24} {:>9}  {}", test.name, test.takes, test.what);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = names.iter().find(|name| TESTS.iter().all(|test| test.name != **name)) {
        println!("there is no long test `{unknown}`; --list says which there are");
        return ExitCode::FAILURE;
    }
    let mut failed = 0;
    for test in TESTS.iter().filter(|test| names.is_empty() || names.iter().any(|name| test.name == name)) {
        failed += usize::from(!run(test).await);
    }
    println!("{}", if failed == 0 { "all passed".to_owned() } else { format!("{failed} failed") });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
