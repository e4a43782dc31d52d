//! Files: their lines, and that they are on disk. What is full or old: at the foot of `sinks/file.rs`.

use super::listed_of;
use control_plane::domain::events::Listed;
use control_plane::sinks::kind::Surroundings;
use control_plane::sinks::{Opening, Sink, SinkError, file};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

const LUNARY: &str = include_str!("golden/lunary.json");

fn event(name: &str) -> Listed {
    let golden: Value = serde_json::from_str(LUNARY).unwrap();
    listed_of(&golden["from_events"][name]["event"])
}

fn open(folder: &Path, settings: &Value) -> Result<Arc<dyn Sink>, String> {
    let surroundings = Surroundings { file_dir: Some(folder.to_owned()), ..Surroundings::default() };
    (file::KIND.open)(Opening { settings, secret: None, surroundings: &surroundings })
}

/// Each file's name and events.
fn files(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let events = |text: String| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut files: Vec<_> = entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap();
            assert!(text.ends_with('\n'));
            (entry.file_name().into_string().unwrap(), events(text))
        })
        .collect();
    files.sort_by_key(|(name, _)| name.clone());
    files
}

#[tokio::test]
async fn events_are_lines_of_the_processs_file() {
    let folder = TempDir::new().unwrap();
    let sink = open(folder.path(), &json!({ "name": "events" })).unwrap();
    let (one, two) = (event("success"), event("failed_429"));
    sink.deliver(&[one.clone(), two.clone()]).await.unwrap();
    sink.deliver(std::slice::from_ref(&two)).await.unwrap();
    let [(name, events)] = files(folder.path()).try_into().unwrap();
    let process = std::process::id();
    assert!(name.starts_with("events.1") && name.ends_with(&format!(".{process}.open.jsonl")), "{name}");
    let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    assert_eq!(ids, [&json!(one.event.id), &json!(two.event.id), &json!(two.event.id)]);
    assert_eq!(events[0]["model"], json!(one.event.model));

    drop(sink);
    let [(closed, events)] = files(folder.path()).try_into().unwrap();
    assert_eq!((closed, events.len()), (name.replace(".open", ""), 3));
}

#[tokio::test]
async fn what_was_captured_is_there_whole() {
    let folder = TempDir::new().unwrap();
    let sink = open(folder.path(), &json!({ "name": "events" })).unwrap();
    let mut told: Value = serde_json::from_str(LUNARY).unwrap();
    let event = &mut told["from_events"]["success"]["event"];
    (event["request_body"], event["response_body"]) = ("two\nlines \u{1}ü".into(), "\"".into());
    sink.deliver(&[listed_of(event)]).await.unwrap();
    let [(_, events)] = files(folder.path()).try_into().unwrap();
    assert_eq!(
        (&events[0]["request_body"], &events[0]["response_body"]),
        (&json!("two\nlines \u{1}ü"), &json!("\""))
    );
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_folder_that_is_gone_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("later");
    let sink = open(&path, &json!({ "name": "events" })).unwrap();
    let error = sink.deliver(&[event("success")]).await.unwrap_err();
    let SinkError::Unavailable { message, .. } = error else { panic!("{error}") };
    assert!(message.starts_with("the file cannot be written: "), "{message}");
    fs::create_dir(&path).unwrap();
    sink.deliver(&[event("success")]).await.unwrap();
    assert_eq!(files(&path).len(), 1);
}

#[test]
fn settings() {
    let folder = TempDir::new().unwrap();
    let wrong = |settings: Value| open(folder.path(), &settings).unwrap_err();
    for name in ["", "a/b", "..", "a b", "ü"] {
        assert!(wrong(json!({ "name": name })).starts_with("name: must be"), "{name}");
    }
    assert_eq!(wrong(json!({})), "missing field `name`");
    assert!(wrong(json!({ "name": "a", "max_bytes": 999_999 })).contains("max_bytes is at least"));
    assert!(wrong(json!({ "name": "a", "max_age_seconds": 59 })).contains("max_age_seconds at least"));
    let settings = json!({ "name": "a" });
    let opening = Opening { settings: &settings, secret: None, surroundings: &Surroundings::default() };
    assert!((file::KIND.open)(opening).unwrap_err().contains("SINK_FILE_DIR"));
}

/// Seen in the system calls of a process that delivers twice.
#[test]
fn what_is_delivered_is_on_disk() {
    let tried = Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status();
    if !tried.expect("scripts/servers.sh installs strace").success() {
        eprintln!("NOT TESTED: nothing may be traced here");
        return;
    }
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "20", "-e", "trace=write,fsync,fdatasync", "-o"]).arg(&trace);
    command.arg(std::env::current_exe().unwrap());
    let test = ["--exact", "file::events_are_lines_of_the_processs_file"];
    assert!(command.args(test).stdout(Stdio::null()).status().unwrap().success());
    let trace = fs::read_to_string(trace).unwrap();
    // Nothing else goes to the file, so one of its calls is not told in two lines for another's.
    let calls: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains(".open.jsonl>"))
        .map(|line| line.split_whitespace().nth(1).unwrap().split('(').next().unwrap())
        .collect();
    assert_eq!(calls, ["write", "fdatasync", "write", "fdatasync"], "{trace}");
    let created = trace.lines().position(|line| line.contains(" fsync(")).unwrap();
    let written = trace.lines().position(|line| line.contains(".open.jsonl>")).unwrap();
    assert!(created < written, "the folder was not synced first\n{trace}");
}
