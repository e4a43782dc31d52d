//! `latchkey policy`

use super::client::{Client, Place};
use super::snapshot::{Output, json};
use super::table::{self, Column, text};
use super::{Failure, block_on, input, print};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;

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
    let request = input::read("the request", &check.request)?;
    let client = Client::new(&check.place)?;
    let verdict = block_on(async { client.call(Method::POST, "policy/check", Some(&request)).await?.ok() })??;
    if check.output.json {
        json(&verdict)?;
    } else {
        tell(&verdict);
    }
    if verdict["allowed"] == true { Ok(()) } else { Err(Failure::new("the request would be refused")) }
}

fn tell(verdict: &Value) {
    if verdict["allowed"] == true {
        print("allowed");
    } else {
        print(format_args!("refused  {} {}", text(verdict, "status"), text(verdict, "code")));
        print(format_args!("message  {}", text(verdict, "message")));
        for field in ["policy", "rule", "param"] {
            print(format_args!("{field:<7}  {}", text(verdict, field)));
        }
    }
    if verdict["route"].is_null() {
        return;
    }
    print(format_args!("route    {}\n", text(verdict, "route")));
    let targets = verdict["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    for line in table::lines(&TARGETS, targets, &[]) {
        print(line);
    }
}

const TARGETS: [Column; 5] = [
    Column { title: "TARGET", is_number: false, text: |target| text(target, "provider") },
    Column { title: "MODEL", is_number: false, text: |target| text(target, "model") },
    Column { title: "MAY BE ASKED", is_number: false, text: may_be_asked },
    Column { title: "RULE", is_number: false, text: |target| text(target, "rule") },
    Column { title: "MESSAGE", is_number: false, text: |target| text(target, "message") },
];

fn may_be_asked(target: &Value) -> String {
    if target["allowed"] == true {
        return "yes".to_owned();
    }
    format!("{} {}", text(target, "status"), text(target, "code"))
}
