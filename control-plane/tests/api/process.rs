//! The `latchkey` command itself.

use super::Database;
use crate::database::Database as _;
use crate::edge::{Batch, Isolate, lines};
use crate::world::TOKEN;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn latchkey(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.args(arguments).env_clear();
    command
}

/// A database, and a folder to run in.
struct Place {
    database: Database,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { database: Database::create(), folder: TempDir::new().unwrap() }
    }
}

fn configured(arguments: &[&str], place: &Place) -> Command {
    let mut command = latchkey(arguments);
    command.current_dir(place.folder.path()).env("DATABASE_URL", place.database.url());
    for name in
        ["ENCRYPTION_KEY", "SNAPSHOT_SIGNING_KEY", "EDGE_CREDENTIAL_KEY", "TOKEN_TAG_KEY", "EDGE_INGEST_KEY"]
    {
        command.env(name, KEY);
    }
    command.env("MANAGEMENT_TOKEN", TOKEN).env("LISTEN_ADDR", "127.0.0.1:0");
    command
        .env("KV_API_BASE", "http://127.0.0.1:1")
        .env("KV_NAMESPACE_ID", "local")
        .env("LOG_FORMAT", "json");
    command
}

/// Starts a server; its address is the first line it prints.
fn serve(place: &Place) -> (Child, String) {
    let mut child =
        configured(&["serve"], place).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let address = address(&mut child);
    (child, address)
}

fn address(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().strip_prefix("listening on http://").unwrap().to_owned()
}

fn call(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn terminate(child: &Child) {
    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[test]
fn a_configuration_that_is_wrong_names_every_variable() {
    let output = latchkey(&["serve"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("MANAGEMENT_TOKEN") && message.contains("KV_NAMESPACE_ID"), "{message}");
}

/// As their files are called, without the end.
fn migrations() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    let mut names: Vec<String> =
        files.filter_map(|name| Some(name.to_str()?.strip_suffix(".up.sql")?.to_owned())).collect();
    names.sort();
    names
}

/// What `latchkey migrate` says that it did.
fn said<'a>(what: &str, names: impl IntoIterator<Item = &'a String>) -> String {
    let lines: Vec<String> = names.into_iter().map(|name| format!("{what} {}\n", &name[..4])).collect();
    lines.concat()
}

#[test]
fn migrations_from_the_command_line() {
    let place = Place::new();
    let run = |argument: &str| {
        let output = configured(&["migrate", argument], &place).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let all = migrations();
    let status = |applied: usize| {
        let state = |(at, name): (usize, &String)| {
            let (version, description) = name.split_once('_').unwrap();
            let state = if at < applied { "applied" } else { "missing" };
            format!("{version} {state} {}\n", description.replace('_', " "))
        };
        all.iter().enumerate().map(state).collect::<String>()
    };
    assert_eq!(run("status"), (true, status(0)));
    assert_eq!(run("up"), (true, said("applied", all.iter())));
    assert_eq!(run("up"), (true, "nothing to apply\n".to_owned()));
    assert_eq!(run("down"), (true, said("undone", all.iter().rev().take(1))));
    assert_eq!(run("status"), (true, status(all.len() - 1)));
    for name in all.iter().rev().skip(1) {
        assert_eq!(run("down"), (true, said("undone", [name])));
    }
    let (success, message) = run("down");
    assert!(!success && message.contains("nothing to undo"), "{message}");
}

#[test]
fn those_that_migrate_together_migrate_once() {
    let place = Place::new();
    let start = || configured(&["migrate", "up"], &place).stdout(Stdio::piped()).spawn().unwrap();
    let all: Vec<Child> = (0..6).map(|_| start()).collect();
    let mut said: Vec<String> = Vec::new();
    for child in all {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        said.push(String::from_utf8(output.stdout).unwrap());
    }
    said.sort();
    assert_eq!(said[0], self::said("applied", &migrations()));
    assert!(said[1..].iter().all(|each| each == "nothing to apply\n"), "{said:?}");
}

#[test]
fn those_that_start_together_on_an_empty_database_all_serve() {
    let place = Place::new();
    let start = || {
        let mut command = configured(&["serve"], &place);
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut all: Vec<Child> = (0..4).map(|_| start()).collect();
    for child in &mut all {
        let address = address(child);
        let list = format!(
            "GET /manage/audit?action=provider.create&limit=100 HTTP/1.1\r\nhost: x\r\n\
             connection: close\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        );
        let list = call(&address, &list);
        assert_eq!(list.matches("\"provider.create\"").count(), 8, "{list}");
    }
    for mut child in all {
        terminate(&child);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_token_is_inspected_from_standard_input() {
    let mut child = latchkey(&["token", "inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"019b3f2c-5a00-7000-8000-000000000000\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && found["issued_at"].as_str().unwrap().starts_with("202"));
    let output = latchkey(&["token", "inspect", "sk-lk-wrong"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_request_in_flight_is_finished_before_the_end() {
    let place = Place::new();
    let (mut child, address) = serve(&place);
    let mut stream = TcpStream::connect(&address).unwrap();
    let head = format!(
        "POST /manage/projects HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: 12\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    terminate(&child);
    std::thread::sleep(Duration::from_millis(300));
    assert!(TcpStream::connect(&address).is_err(), "no new connections");
    stream.write_all(br#"{"name":"a"}"#).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(child.wait().unwrap().success());
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains(r#""path":"/manage/projects""#) && !log.contains(TOKEN), "{log}");
}

/// Events that were answered are counted, though the process was killed at once.
#[test]
fn events_survive_a_kill() {
    let place = Place::new();
    let mut isolate = Isolate::new();
    let mut sent = 0;
    for _ in 0..3 {
        let (mut child, address) = serve(&place);
        for _ in 0..5 {
            let events = [isolate.event(), isolate.event()];
            let batch = Batch { key: 1, ..Batch::new(lines(&events)) };
            let mut request = "POST /edge/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
            for (name, value) in batch.request().headers() {
                write!(request, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
            }
            request.push_str("\r\n");
            request.push_str(&String::from_utf8(batch.body).unwrap());
            let answer = call(&address, &request);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            sent += events.len();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (mut child, address) = serve(&place);
    let usage = format!(
        "GET /manage/usage HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
    );
    // What a killed process had taken waits for 30 seconds.
    let counted = (0..120).any(|_| {
        std::thread::sleep(Duration::from_millis(500));
        call(&address, &usage).contains(&format!("\"requests\":{sent},"))
    });
    assert!(counted, "{}", call(&address, &usage));
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

/// What was answered is there after the process was killed.
#[test]
fn a_change_survives_a_kill() {
    let place = Place::new();
    let (mut child, address) = serve(&place);
    let headers = format!("host: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n");
    let body = r#"{"name":"kept"}"#;
    let length = body.len();
    let create = format!(
        "POST /manage/projects HTTP/1.1\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    assert!(call(&address, &create).starts_with("HTTP/1.1 201"));
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, address) = serve(&place);
    let list = call(&address, &format!("GET /manage/projects HTTP/1.1\r\n{headers}\r\n"));
    assert!(list.contains("\"kept\""), "{list}");
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

/// Nor when the delivery fails, nor where it is misplaced.
#[test]
fn no_secret_of_a_sink_is_in_the_log() {
    let place = Place::new();
    let mut command = configured(&["serve"], &place);
    command.env("ALLOW_PRIVATE_UPSTREAMS", "true").env("LOG_LEVEL", "debug");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        errors.read_to_string(&mut log).unwrap();
        log
    });
    let address = address(&mut child);
    let post = |path: &str, body: &str| {
        let length = body.len();
        call(
            &address,
            &format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            ),
        )
    };
    let sink = |settings: &str, secret: &str| {
        let body = format!(
            r#"{{"name":"a","kind":"webhook","settings":{settings},"secret":"{secret}","timeout_seconds":1}}"#
        );
        post("/manage/sinks", &body)
    };
    for (settings, secret) in [(r#"{"url":"hush-url"}"#, KEY), (r#"{"url":"http://127.0.0.1:1"}"#, "hush")] {
        assert!(sink(settings, secret).starts_with("HTTP/1.1 400"));
    }
    let made = sink(r#"{"url":"http://127.0.0.1:1"}"#, KEY);
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    let id = made.split_once("\"id\":\"").unwrap().1.split_once('"').unwrap().0;
    let tested = post(&format!("/manage/sinks/{id}/test"), "{}");
    assert!(tested.contains("it cannot be reached"), "{tested}");
    terminate(&child);
    assert!(child.wait().unwrap().success());
    let log = log.join().unwrap();
    assert!(log.contains("/manage/sinks") && !log.contains(&KEY[..10]) && !log.contains("hush"), "{log}");
}
