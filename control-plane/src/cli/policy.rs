//! `latchkey policy`

use super::client::{Client, Place};
use super::snapshot::{Output, json};
use super::table::text;
use super::{Failure, block_on, print};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// More than the control plane takes.
const MOST_READ: u64 = 2 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what the edge would answer to a request; exit status 1 if it would refuse it
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// A file with the request, JSON as `/manage/policy/check` takes it; `-` reads it from standard input
    #[arg(default_value = "-")]
    request: PathBuf,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Check(check) = command;
    let request = read(&check.request)?;
    let client = Client::new(&check.place)?;
    let verdict = block_on(async { client.call(Method::POST, "policy/check", Some(&request)).await?.ok() })??;
    if check.output.json {
        json(&verdict)?;
    } else {
        tell(&verdict);
    }
    if verdict["allowed"] == true { Ok(()) } else { Err(Failure::new("the request would be refused")) }
}

fn read(path: &Path) -> Result<Value, Failure> {
    let mut content = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MOST_READ).read_to_end(&mut content)
    } else {
        File::open(path).and_then(|file| file.take(MOST_READ).read_to_end(&mut content))
    };
    let unread = |error: &dyn std::fmt::Display| {
        Failure::new(format!("the request cannot be read from {}: {error}", path.display()))
    };
    read.map_err(|error| unread(&error))?;
    serde_json::from_slice(&content).map_err(|error| unread(&error))
}

fn tell(verdict: &Value) {
    if verdict["allowed"] == true {
        return print("allowed");
    }
    print(format_args!("refused  {} {}", text(verdict, "status"), text(verdict, "code")));
    print(format_args!("message  {}", text(verdict, "message")));
    for field in ["policy", "rule", "param"] {
        print(format_args!("{field:<7}  {}", text(verdict, field)));
    }
}
