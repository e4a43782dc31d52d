//! The whole service over `EVENT_LOG=redis`.

use crate::binary::{Service, serve};
use crate::edge::{Isolate, lines};
use crate::redis_server::{DURABLE, Redis as Server};
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;

/// What was answered is counted once, whatever is killed.
#[test]
fn events_go_through_redis_and_survive_kills() {
    let (server, folder) = (Server::start(&DURABLE), TempDir::new().unwrap());
    let url = server.url();
    let settings = [("EVENT_LOG", "redis"), ("REDIS_URL", url.as_str()), ("EVENT_LOG_STRICT", "true")];
    let mut isolate = Isolate::new();
    for _ in 0..3 {
        let service = Service::start(&folder, &settings);
        for _ in 0..5 {
            service.take(&mut isolate);
        }
        drop(service);
        server.kill();
        server.restart();
    }
    let service = Service::start(&folder, &settings);
    service.counts(30);
    service.empties_its_log();
    service.counts(30);
    let ready = service.get("/readyz");
    assert!(ready.contains("\"event_log\":\"ok\"") && ready.contains("is on disk"), "{ready}");
    assert_eq!(server.cli(&["XLEN", "latchkey:{default}:events"]), "0");
}

/// In either direction, what the log before still has is counted.
#[test]
fn a_change_of_the_log_drains_the_other() {
    let (server, folder) = (Server::start(&DURABLE), TempDir::new().unwrap());
    let url = server.url();
    let (chosen, other) = (("EVENT_LOG", "redis"), ("EVENT_LOG", "database"));
    let url = ("REDIS_URL", url.as_str());
    let mut isolate = Isolate::new();
    // As one leaves it that is killed before it has counted: a batch in each log.
    let service = Service::start(&folder, &[other]);
    service.take(&mut isolate);
    service.counts(2);
    drop(service);
    let batch = String::from_utf8(lines(&[isolate.event(), isolate.event()])).unwrap();
    let stream = "latchkey:{default}:events";
    server.cli(&[
        "XADD",
        stream,
        "*",
        "received_at",
        &control_plane::clock::now().to_string(),
        "lines",
        &batch,
    ]);
    let service = Service::start(&folder, &[other, url]);
    service.counts(4);
    drop(service);

    let service = Service::start(&folder, &[chosen, url]);
    service.take(&mut isolate);
    service.counts(6);
    // Another control plane, not yet restarted, still appends to the database's.
    let before = Service::start(&folder, &[other]);
    before.take(&mut isolate);
    drop(before);
    service.counts(8);
}

fn failed(folder: &TempDir, settings: &[(&str, &str)]) -> String {
    let mut child = serve(folder, settings).spawn().unwrap();
    let has_ended = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        child.try_wait().unwrap().is_some()
    });
    child.kill().unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert!(has_ended && !status.success(), "it serves");
    String::from_utf8(stderr).unwrap()
}

#[test]
fn strict_does_not_start_with_a_log_that_may_lose_something() {
    let (server, folder) = (Server::start(&["appendonly yes"]), TempDir::new().unwrap());
    let url = server.url();
    let settings = [("EVENT_LOG", "redis"), ("REDIS_URL", url.as_str())];
    let strict = [&settings[..], &[("EVENT_LOG_STRICT", "true")]].concat();
    let message = failed(&folder, &strict);
    assert!(
        message.contains("EVENT_LOG_STRICT") && message.contains("set `appendfsync always`"),
        "{message}"
    );
    // Otherwise it starts, and says so.
    let ready = Service::start(&folder, &settings).get("/readyz");
    assert!(ready.contains("two seconds"), "{ready}");
    server.kill();
    let message = failed(&folder, &strict);
    assert!(message.contains("cannot be reached"), "{message}");
    // Events wait at the edge; all else works.
    let service = Service::start(&folder, &settings);
    assert!(service.get("/manage/projects").starts_with("HTTP/1.1 200"));
}

#[test]
fn no_message_has_the_password() {
    let (server, folder) = (Server::start(&["requirepass right"]), TempDir::new().unwrap());
    let url = format!("redis://:hush@127.0.0.1:{}", server.port());
    let settings = [("EVENT_LOG", "redis"), ("REDIS_URL", url.as_str()), ("EVENT_LOG_STRICT", "true")];
    let message = failed(&folder, &settings);
    assert!(message.contains("authentication failed") && !message.contains("hush"), "{message}");
    let message = failed(&folder, &[settings[0], ("REDIS_URL", "redis://:hush@[::")]);
    assert!(message.contains("REDIS_URL: is not a usable address") && !message.contains("hush"), "{message}");
}
