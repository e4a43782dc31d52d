//! Appends events to a file, as JSON lines, on disk before they count as delivered.
//!
//! Each process has files of its own, so that instances may share a folder:
//! `<name>.<when it was opened>.<process>.open.jsonl`, without `open` once it is
//! closed, because it is full or old or its sink is. What is closed is whole. Where a
//! process was killed or the disk failed, the last file of it stays open, and its last
//! line may have no end; that event is delivered again, into another file.

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

/// Closed when dropped, if it is whole.
#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    closed_path: PathBuf,
    bytes: u64,
    opened_at: UnixMs,
    is_whole: bool,
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
                append(&mut current, &folder, &settings, &lines, clock::now())
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
    drop(current.take_if(|file| file.is_over(settings, lines.len(), now)));
    let mut file = match current.take() {
        Some(file) => file,
        None => Current::create(settings, folder, now)?,
    };
    file.append(lines)?;
    *current = Some(file);
    Ok(())
}

impl Current {
    fn create(settings: &Settings, folder: &Path, now: UnixMs) -> io::Result<Self> {
        let path = |at: UnixMs, end: &str| {
            folder.join(format!("{}.{at}.{}.{end}", settings.name, std::process::id()))
        };
        let mut paths = (now..now + MAX_SAME_NAME).map(|at| (path(at, "open.jsonl"), path(at, "jsonl")));
        let free = paths.find(|(open, closed)| !open.exists() && !closed.exists());
        let (path, closed_path) = free.ok_or(io::ErrorKind::AlreadyExists)?;
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        sync_folder(folder)?;
        Ok(Self { file, path, closed_path, bytes: 0, opened_at: now, is_whole: true })
    }

    /// After an error nothing is known of its end.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        self.is_whole = false;
        self.file.write_all(lines)?;
        self.file.sync_data()?;
        self.bytes += lines.len() as u64;
        self.is_whole = true;
        Ok(())
    }

    fn is_over(&self, settings: &Settings, more: usize, now: UnixMs) -> bool {
        let is_full = self.bytes > 0 && self.bytes + more as u64 > settings.max_bytes;
        is_full || now.saturating_sub(self.opened_at) / 1000 >= settings.max_age_seconds
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        if self.is_whole
            && let Err(error) = fs::rename(&self.path, &self.closed_path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the file of a sink stays open");
        }
    }
}

/// So that a new name is there after a power cut.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const NOW: UnixMs = 1_795_444_000_000;

    fn settings() -> Settings {
        Settings { name: "a".to_owned(), max_bytes: 20, max_age_seconds: 60 }
    }

    /// What is in each file, closed ones first.
    fn files(folder: &TempDir) -> Vec<(bool, String)> {
        let paths = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_open = |path: &Path| path.to_str().unwrap().ends_with(".open.jsonl");
        let mut files: Vec<_> =
            paths.map(|path| (is_open(&path), fs::read_to_string(path).unwrap())).collect();
        files.sort();
        files
    }

    fn closed(text: &str) -> (bool, String) {
        (false, text.to_owned())
    }

    fn open(text: &str) -> (bool, String) {
        (true, text.to_owned())
    }

    #[test]
    fn a_full_file_is_closed_before_the_next_line() {
        let folder = TempDir::new().unwrap();
        let mut current = None;
        for lines in ["123456789\n", "987654321\n", "x\n", "longer than it may be at all\n", "y\n"] {
            append(&mut current, folder.path(), &settings(), lines.as_bytes(), NOW).unwrap();
        }
        let full = closed("123456789\n987654321\n");
        assert_eq!(
            files(&folder),
            [full, closed("longer than it may be at all\n"), closed("x\n"), open("y\n")]
        );
    }

    #[test]
    fn an_old_file_is_closed() {
        let folder = TempDir::new().unwrap();
        let mut current = None;
        for (line, at) in [("1\n", NOW), ("2\n", NOW + 59_999), ("3\n", NOW + 60_000)] {
            append(&mut current, folder.path(), &settings(), line.as_bytes(), at).unwrap();
        }
        assert_eq!(files(&folder), [closed("1\n2\n"), open("3\n")]);
        drop(current);
        assert_eq!(files(&folder), [closed("1\n2\n"), closed("3\n")]);
    }

    #[test]
    fn none_takes_the_name_of_another() {
        let folder = TempDir::new().unwrap();
        for line in ["1\n", "2\n", "3\n"] {
            let (mut one, mut two) = (None, None);
            append(&mut one, folder.path(), &settings(), line.as_bytes(), NOW).unwrap();
            append(&mut two, folder.path(), &settings(), line.as_bytes(), NOW).unwrap();
        }
        let each = ["1\n", "1\n", "2\n", "2\n", "3\n", "3\n"].map(closed);
        assert_eq!(files(&folder), each);
    }

    /// `/dev/full` takes nothing, as a full disk.
    #[test]
    fn what_may_be_half_a_line_is_not_closed() {
        let folder = TempDir::new().unwrap();
        let mut current = None;
        append(&mut current, folder.path(), &settings(), b"1\n", NOW).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        current.as_mut().unwrap().file = full;
        append(&mut current, folder.path(), &settings(), b"2\n", NOW).unwrap_err();
        append(&mut current, folder.path(), &settings(), b"2\n", NOW).unwrap();
        drop(current);
        assert_eq!(files(&folder), [closed("2\n"), open("1\n")]);
    }
}
