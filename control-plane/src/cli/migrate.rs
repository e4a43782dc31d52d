//! `latchkey migrate`

use super::{Failure, block_on, environment, print};
use crate::config;
use crate::store::migrate as migrations;
use clap::Subcommand;

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Command {
    /// Apply every migration that is missing
    Up,
    /// Undo the last migration, with the data it holds; stop the server first
    Down,
    /// Say which migrations are applied
    Status,
}

pub(super) fn run(command: Command) -> Result<(), Failure> {
    let url = config::database_url(&environment)?;
    match command {
        Command::Up => {
            let applied = block_on(migrations::up(&url))?.map_err(Failure::new)?;
            if applied.is_empty() {
                print("nothing to apply");
            }
            for version in applied {
                print(format_args!("applied {version:04}"));
            }
        }
        Command::Down => {
            let undone = block_on(migrations::down(&url))?.map_err(Failure::new)?;
            print(format_args!("undone {undone:04}"));
        }
        Command::Status => {
            for state in block_on(migrations::status(&url))?.map_err(Failure::new)? {
                let word = if state.is_applied { "applied" } else { "missing" };
                print(format_args!("{:04} {word} {}", state.version, state.description));
            }
        }
    }
    Ok(())
}
