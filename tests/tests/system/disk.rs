//! What is acknowledged survives a power cut: seen in the system calls.

use latchkey_tests::edge::call::client;
use latchkey_tests::kv::KvServer;
use latchkey_tests::stack::Setup;
use latchkey_tests::{fixture, keys};
use shared::header::{CALL_NONCE, CALL_SIGNATURE, CALL_TIME};
use shared::signed_call::Call;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PATH: &str = "/edge/events";
/// The database's journal, as a trace names it.
const JOURNAL: &str = "latchkey.db-wal>";

#[tokio::test]
async fn a_batch_is_on_disk_before_it_is_acknowledged() {
    let tried = Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status();
    if !tried.expect("scripts/servers.sh installs strace").success() {
        eprintln!("NOT TESTED: nothing may be traced here");
        return;
    }
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let kv = KvServer::start().await;
    // Nothing else writes meanwhile.
    let quiet = [("SNAPSHOT_HEARTBEAT", "600")];
    let control_plane = Setup::new(folder.path(), &kv, &quiet).traced(&trace).start();

    let (time, nonce, body) = (fixture::now() / 1000, "one", "no event\n");
    let call = Call { time, nonce, method: "POST", path: PATH, body: body.as_bytes() };
    let signature = call.sign(keys::ingest_keys().primary());
    let request = client().post(control_plane.url(PATH)).header("content-type", "application/x-ndjson");
    let request = request.header(CALL_TIME, time).header(CALL_NONCE, nonce).header(CALL_SIGNATURE, signature);
    assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    assert_synced(&std::fs::read_to_string(trace).unwrap());
}

/// Between the request and its answer, the journal was written, and then synced.
#[track_caller]
fn assert_synced(trace: &str) {
    let mut is_asked = false;
    let (mut is_written, mut is_synced) = (false, false);
    // Who waits for the disk, where another thread's call came in between.
    let mut syncing = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.trim_start().split_once(' ').unwrap();
        let call = call.trim_start();
        is_asked |= call.contains(&format!("\"POST {PATH}"));
        let of_journal = is_asked && call.contains(JOURNAL);
        if of_journal && call.contains("write") {
            is_written = true;
        } else if of_journal && is_written && call.contains("sync(") {
            is_synced |= call.ends_with("= 0");
            syncing.extend(call.contains("unfinished").then_some(thread));
        } else if call.contains("sync resumed") && syncing.contains(&thread) {
            is_synced |= call.ends_with("= 0");
        } else if call.contains("\"HTTP/1.1 200") {
            assert!(is_synced, "written: {is_written}, and not synced\n{trace}");
            return;
        }
    }
    panic!("no answer in the trace\n{trace}");
}
