//! Appends events to a file, as JSON lines, on disk before they count as delivered.
//!
//! Each process has files of its own, so that instances may share a folder:
//! `<name>.<process>.jsonl`, and `<name>.<process>.<when it was closed>.jsonl`
//! for those that are full or old. A line that was cut off by a crash has no
//! end; the next process begins another file, and its event is delivered again.

use super::kind::{Kind, Opening, Secrecy};
use super::{Delivered, Sink, SinkError, lines};
use crate::clock;
use crate::domain::events::Listed;
use serde::Deserialize;
use shared::id::UnixMs;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that may have been begun in one millisecond by processes of one number.
const MAX_SAME_NAME: u64 = 1_000;

pub const KIND: Kind =
    Kind { name: "file", secret: Secrecy::None, batch_size: 1_000, max_batch_size: 10_000, open };

#[derive(Debug)]
struct FileSink {
    folder: PathBuf,
    settings: Settings,
    current: Arc<Mutex<Option<Current>>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    #[serde(default = "hundred_megabytes")]
    max_bytes: u64,
    #[serde(default = "a_day")]
    max_age_seconds: u64,
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    bytes: u64,
    opened_at: UnixMs,
}

fn hundred_megabytes() -> u64 {
    100_000_000
}

fn a_day() -> u64 {
    24 * 60 * 60
}

fn open(opening: Opening<'_>) -> Result<Arc<dyn Sink>, String> {
    let settings: Settings = opening.settings()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !(1..=64).contains(&settings.name.len()) || !settings.name.bytes().all(is_plain) {
        return Err("name: must be 1 to 64 letters, digits, hyphens or underscores".to_owned());
    }
    if settings.max_bytes < 1_000_000 || settings.max_age_seconds < 60 {
        return Err("max_bytes is at least 1000000, max_age_seconds at least 60".to_owned());
    }
    let folder = opening.surroundings.file_dir.clone();
    let folder = folder.ok_or("the control plane writes no files unless SINK_FILE_DIR says where")?;
    Ok(Arc::new(FileSink { folder, settings, current: Arc::default() }))
}

impl Sink for FileSink {
    fn deliver<'a>(&'a self, events: &'a [Listed]) -> Delivered<'a> {
        Box::pin(async move {
            let (folder, settings) = (self.folder.clone(), self.settings.clone());
            let (current, lines) = (Arc::clone(&self.current), lines::of(events));
            let written = tokio::task::spawn_blocking(move || {
                let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                let written = append(&mut current, &folder, &settings, &lines, clock::now());
                if written.is_err() {
                    // Its end may be half a line.
                    *current = None;
                }
                written
            });
            let failed =
                |error: String| SinkError::unavailable(format!("the file cannot be written: {error}"));
            written
                .await
                .map_err(|error| failed(error.to_string()))?
                .map_err(|error| failed(error.to_string()))
        })
    }
}

fn append(
    current: &mut Option<Current>,
    folder: &Path,
    settings: &Settings,
    lines: &[u8],
    now: UnixMs,
) -> io::Result<()> {
    if let Some(full) = current.take_if(|file| file.is_over(settings, lines.len(), now)) {
        full.close(settings, folder, now)?;
    }
    let file = match current {
        Some(file) => file,
        none => none.insert(Current::create(settings, folder, now)?),
    };
    file.file.write_all(lines)?;
    file.file.sync_data()?;
    file.bytes += lines.len() as u64;
    Ok(())
}

impl Current {
    fn create(settings: &Settings, folder: &Path, now: UnixMs) -> io::Result<Self> {
        // The name of a file that is left by a process of the same number is taken.
        let mut paths = (0..MAX_SAME_NAME).map(|count| folder.join(name(settings, now + count)));
        let path = paths.find(|path| !path.exists());
        let path = path.ok_or(io::ErrorKind::AlreadyExists)?;
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        sync_folder(folder)?;
        Ok(Self { file, path, bytes: 0, opened_at: now })
    }

    fn is_over(&self, settings: &Settings, more: usize, now: UnixMs) -> bool {
        let is_full = self.bytes > 0 && self.bytes + more as u64 > settings.max_bytes;
        is_full || now.saturating_sub(self.opened_at) / 1000 >= settings.max_age_seconds
    }

    /// What is closed no longer has `open` in its name.
    fn close(self, settings: &Settings, folder: &Path, _now: UnixMs) -> io::Result<()> {
        let closed =
            folder.join(format!("{}.{}.{}.jsonl", settings.name, self.opened_at, std::process::id()));
        fs::rename(self.path, closed)?;
        sync_folder(folder)
    }
}

fn name(settings: &Settings, at: UnixMs) -> String {
    format!("{}.{at}.{}.open.jsonl", settings.name, std::process::id())
}

/// So that a new name is there after a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
