//! Whether what is acknowledged would survive a power cut: `kill -9` leaves what
//! the system has not written yet, so this looks at the system calls instead.

use crate::edge::call::client;
use crate::kv::KvServer;
use crate::process::Process;
use crate::redis::Redis;
use crate::stack::Setup;
use crate::{fixture, keys};
use shared::header::{CALL_NONCE, CALL_SIGNATURE, CALL_TIME};
use shared::signed_call::Call;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PATH: &str = "/edge/events";

/// How a trace names what it must show.
struct Signs {
    /// The call arrives.
    asked: &'static str,
    /// The file that is to be written and synced.
    file: &'static str,
    /// The answer goes.
    answered: &'static str,
}

const DATABASE: Signs =
    Signs { asked: "\"POST /edge/events", file: "latchkey.db-wal>", answered: "\"HTTP/1.1 200" };
const REDIS: Signs = Signs { asked: "XADD", file: ".incr.aof>", answered: "-0\\r\\n\"" };

/// Whether processes may be traced here.
pub fn is_traceable() -> bool {
    let tried = Command::new("strace").args(["-f", "true"]).stderr(Stdio::null()).status();
    tried.expect("scripts/servers.sh installs strace").success()
}

/// Of a batch that the control plane takes into the log in `SQLite`; an error
/// says that it was acknowledged before it was on disk. `program` stands in for `latchkey`.
pub async fn in_sqlite(program: Option<PathBuf>) -> Result<(), String> {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let kv = KvServer::start().await;
    // Nothing else writes meanwhile.
    let quiet = [("SNAPSHOT_HEARTBEAT", "600")];
    let control_plane = Setup::new(folder.path(), &kv, &quiet).of(program).traced(&trace).start();

    let (time, nonce, body) = (fixture::now() / 1000, "one", "no event\n");
    let call = Call { time, nonce, method: "POST", path: PATH, body: body.as_bytes() };
    let signature = call.sign(keys::ingest_keys().primary());
    let request = client().post(control_plane.url(PATH)).header("content-type", "application/x-ndjson");
    let request = request.header(CALL_TIME, time).header(CALL_NONCE, nonce).header(CALL_SIGNATURE, signature);
    assert_eq!(request.body(body).send().await.unwrap().status(), 200);
    judge(&fs::read_to_string(trace).unwrap(), &DATABASE)
}

/// Of an entry of a stream, with Redis as `settings` say.
pub fn in_redis(settings: &[&str]) -> Result<(), String> {
    let server = Redis::start(settings);
    let trace = server.folder().join("trace");
    let _tracer = attach(server.process(), &trace);
    let add = ["XADD", "events", "*", "lines", "no event"];
    // The first opens what is open from then on.
    server.cli(&add);
    server.cli(&add);
    judge(&fs::read_to_string(trace).unwrap(), &REDIS)
}

/// `strace` of a process that runs.
fn attach(process: u32, trace: &Path) -> Process {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "64", "-e", "trace=read,write,fsync,fdatasync", "-o"]).arg(trace);
    let mut tracer = Process::spawn(command.args(["-p", &process.to_string()]).stderr(Stdio::piped()));
    let mut lines = BufReader::new(tracer.child().stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("attached")), "strace did not attach");
    std::thread::spawn(move || lines.for_each(drop));
    tracer
}

/// Between the last call and its answer, the file was written, and then synced.
fn judge(trace: &str, signs: &Signs) -> Result<(), String> {
    let mut is_asked = false;
    let (mut is_written, mut is_synced) = (false, false);
    // Who waits for the disk, where another thread's call came in between.
    let mut syncing = Vec::new();
    for line in trace.lines() {
        let (thread, call) = line.trim_start().split_once(' ').unwrap();
        let call = call.trim_start();
        is_asked |= call.contains(signs.asked);
        let of_file = is_asked && call.contains(signs.file);
        if of_file && call.contains("write") {
            is_written = true;
        } else if of_file && is_written && call.contains("sync(") {
            is_synced |= call.ends_with("= 0");
            syncing.extend(call.contains("unfinished").then_some(thread));
        } else if call.contains("sync resumed") && syncing.contains(&thread) {
            is_synced |= call.ends_with("= 0");
        } else if is_asked && call.contains(signs.answered) {
            let said = format!("written: {is_written}, and not synced\n{trace}");
            return if is_synced { Ok(()) } else { Err(said) };
        }
    }
    Err(format!("no answer in the trace\n{trace}"))
}
