//! What sinks may do here.

use super::reader::Reader;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Sinks {
    /// `SINK_FILE_DIR`, default none: the folder in which sinks of kind `file` write; without it there can
    /// be none.
    pub file_dir: Option<PathBuf>,
}

impl Sinks {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let file_dir = reader.text("SINK_FILE_DIR").map(PathBuf::from);
        if let Some(Err(error)) = file_dir.as_deref().map(try_to_write) {
            reader.problem("SINK_FILE_DIR", &format!("must be a folder in which files can be made: {error}"));
            return None;
        }
        Some(Self { file_dir })
    }
}

fn try_to_write(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".latchkey-{}", std::process::id()));
    OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
    fs::remove_file(path)
}
