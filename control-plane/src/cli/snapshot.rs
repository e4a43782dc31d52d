//! `latchkey snapshot`: with the configuration that `latchkey serve` has, and
//! without needing it to run, except for a rebuild, which the one does that
//! publishes.

use super::{Failure, block_on, environment, print};
use crate::app;
use crate::config::Config;
use crate::snapshot::{self, Overview, Rebuild, Report};
use crate::store::Store;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::io::{IsTerminal, Write};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what is published, and what waits to be
    Status(Output),
    /// Read the snapshot back from KV and compare it with the database
    Verify(Output),
    /// Read the whole database and make all objects anew; waits until they are in use
    Rebuild(Output),
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Output {
    /// For programs
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let config = Config::read(&environment)?;
    block_on(async {
        let store = Store::connect(&config.database_url).await.map_err(Failure::new)?;
        let outcome = match command {
            Command::Status(output) => status(&config, &store, *output).await,
            Command::Verify(output) => verify(&config, &store, *output).await,
            Command::Rebuild(output) => rebuild(&store, *output).await,
        };
        store.close().await;
        outcome
    })?
}

async fn status(config: &Config, store: &Store, output: Output) -> Result<(), Failure> {
    let settings = app::publisher_settings(config);
    let overview = snapshot::overview(&settings, store).await.map_err(Failure::new)?;
    if output.json {
        return json(&overview);
    }
    let Overview { published_version, published_at, pending, lag_ms, size_bytes, tokens, base, in_kv } =
        overview;
    match published_at {
        Some(at) => print(format_args!("published   version {published_version} at {at}")),
        None => print("published   nothing yet"),
    }
    print(format_args!("pending     {pending} changes, the oldest {lag_ms} ms old"));
    print(format_args!("size        {size_bytes} bytes, {tokens} tokens"));
    match base {
        Some(base) => {
            let settling = if base.is_settling { "; another one settles" } else { "" };
            print(format_args!(
                "base        {} tokens, whole database read at {}{settling}",
                base.tokens, base.whole_at
            ));
        }
        None => print("base        none yet: the manifest has everything"),
    }
    match in_kv {
        Ok(found) => {
            print(format_args!("in KV       version {}, {} s old", found.version, found.age_seconds));
        }
        Err(problem) => print(format_args!("in KV       {problem}")),
    }
    Ok(())
}

async fn verify(config: &Config, store: &Store, output: Output) -> Result<(), Failure> {
    let settings = app::publisher_settings(config);
    let mut progress = Progress::new();
    let report = snapshot::verify(&settings, store, &mut |done, total| progress.show(done, total)).await;
    progress.clear();
    let report = report.map_err(Failure::new)?;
    let is_clean = report.is_clean();
    if output.json {
        json(&report)?;
    } else {
        tell(&report);
    }
    if is_clean { Ok(()) } else { Err(Failure::new("the snapshot in KV differs from the database")) }
}

fn tell(report: &Report) {
    let Report { version, objects, tokens, projects, pending, problem_count, problems, .. } = report;
    for problem in problems {
        print(problem);
    }
    if problems.len() as u64 != *problem_count {
        print(format_args!("... {problem_count} problems in all"));
    }
    let verdict = if report.is_clean() { "clean" } else { "differs" };
    print(format_args!(
        "{verdict}: version {version}, {objects} objects, {tokens} valid tokens, {projects} projects, \
         {pending} changes pending"
    ));
}

async fn rebuild(store: &Store, output: Output) -> Result<(), Failure> {
    let mut progress = Progress::new();
    let outcome = snapshot::rebuild(store, &mut |step: Rebuild| progress.say(step.as_str())).await;
    progress.clear();
    let version = outcome.map_err(Failure::new)?;
    if output.json {
        json(&serde_json::json!({ "version": version }))
    } else {
        print(format_args!("rebuilt: in use since version {version}"));
        Ok(())
    }
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    print(serde_json::to_string(value).map_err(Failure::new)?);
    Ok(())
}

/// One line on a terminal that is written over; nothing where there is none.
pub(super) struct Progress {
    is_shown: bool,
    last: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), last: String::new() }
    }

    fn show(&mut self, done: usize, total: usize) {
        self.say(&format!("{done} of {total} objects"));
    }

    pub(super) fn say(&mut self, text: &str) {
        if self.is_shown && self.last != text {
            // A terminal that is gone does not need it.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}").and_then(|()| std::io::stderr().flush());
            text.clone_into(&mut self.last);
        }
    }

    pub(super) fn clear(&mut self) {
        self.say("");
    }
}
