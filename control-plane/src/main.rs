//! The `latchkey` command.

use clap::Parser;
use control_plane::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    Cli::parse().run()
}
