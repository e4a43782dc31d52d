//! The `latchkey` command.

mod client;
mod dead_letters;
mod edge;
mod events;
mod input;
mod keygen;
mod keys;
mod migrate;
mod policy;
mod routes;
mod serve;
mod sinks;
mod snapshot;
mod table;
mod token;
mod usage;

use crate::config::ConfigError;
use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::process::ExitCode;

/// Latchkey's control plane.
#[derive(Debug, Parser)]
#[command(name = "latchkey", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane; its configuration is in the environment
    Serve,
    /// Print new keys as a dotenv file: all that are needed, or one to rotate
    Keygen(keygen::Keygen),
    /// Look at keys in use, and rotate them
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look at withering tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Say what policies let pass
    #[command(subcommand)]
    Policy(policy::Command),
    /// Say where a project's requests go by their models, and change it
    #[command(subcommand)]
    Routes(routes::Command),
    /// Ask an edge what it knows: its snapshot, and which keys it asks later than others
    Edge(edge::Edge),
    /// Say what was used, added up
    Usage(usage::Usage),
    /// Show events: one for each request
    Events(events::Events),
    /// Say where events go besides the database, and change it
    #[command(subcommand)]
    Sinks(sinks::Command),
    /// Look at events that sinks would never take, deliver or discard them
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Look at the snapshot in KV, compare it with the database, make it anew
    #[command(subcommand)]
    Snapshot(snapshot::Command),
    /// Bring the database to another version of its schema
    #[command(subcommand)]
    Migrate(migrate::Command),
}

/// Why a command failed; the message says what to do.
#[derive(Debug)]
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    fn new(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self { message: error.to_string(), code: 2 }
    }
}

impl Cli {
    pub fn run(self) -> ExitCode {
        match self.command.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(Failure { message, code }) => {
                complain(&message);
                ExitCode::from(code)
            }
        }
    }
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve => serve::run(),
            Self::Keygen(keygen) => keygen::run(&keygen),
            Self::Keys(command) => keys::run(&command),
            Self::Token(command) => token::run(&command),
            Self::Policy(command) => policy::run(&command),
            Self::Routes(command) => routes::run(&command),
            Self::Edge(edge) => edge::run(&edge),
            Self::Usage(usage) => usage::run(&usage),
            Self::Events(events) => events::run(&events),
            Self::Sinks(command) => sinks::run(&command),
            Self::DeadLetters(command) => dead_letters::run(&command),
            Self::Snapshot(command) => snapshot::run(&command),
            Self::Migrate(command) => migrate::run(command),
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::new)?;
    Ok(runtime.block_on(future))
}

/// A line of a command's result.
#[expect(clippy::print_stdout, reason = "what a command prints is its result")]
fn print(line: impl Display) {
    println!("{line}");
}

fn complain(message: &str) {
    eprintln!("latchkey: {message}");
}
