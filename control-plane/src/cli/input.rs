//! JSON that a command is given: in a file, or on standard input.

use super::Failure;
use serde_json::Value;
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// More than the control plane takes.
const MOST_READ: u64 = 2 * 1024 * 1024;

/// `what` is in the message where it cannot be read; the path `-` is standard input.
pub(super) fn read(what: &str, path: &Path) -> Result<Value, Failure> {
    let mut content = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(MOST_READ).read_to_end(&mut content)
    } else {
        File::open(path).and_then(|file| file.take(MOST_READ).read_to_end(&mut content))
    };
    let unread =
        |error: &dyn Display| Failure::new(format!("{what} cannot be read from {}: {error}", path.display()));
    read.map_err(|error| unread(&error))?;
    serde_json::from_slice(&content).map_err(|error| unread(&error))
}
