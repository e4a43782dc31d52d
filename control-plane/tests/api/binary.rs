//! The `latchkey` binary, as it serves.

use crate::edge::{Batch, Isolate, lines};
use crate::world::TOKEN;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

pub(crate) fn serve(folder: &TempDir, settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
    command.arg("serve").env_clear().current_dir(folder.path());
    for name in
        ["ENCRYPTION_KEY", "SNAPSHOT_SIGNING_KEY", "EDGE_CREDENTIAL_KEY", "TOKEN_TAG_KEY", "EDGE_INGEST_KEY"]
    {
        command.env(name, KEY);
    }
    command.env("MANAGEMENT_TOKEN", TOKEN).env("LISTEN_ADDR", "127.0.0.1:0");
    command.env("KV_API_BASE", "http://127.0.0.1:1").env("KV_NAMESPACE_ID", "local");
    command.envs(settings.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server, killed when dropped.
pub(crate) struct Service {
    child: Child,
    address: String,
    /// Read all along: a full pipe would hold the server up.
    log: Option<JoinHandle<String>>,
}

impl Service {
    pub(crate) fn start(folder: &TempDir, settings: &[(&str, &str)]) -> Self {
        let mut child = serve(folder, settings).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Some(std::thread::spawn(move || io::read_to_string(stderr).unwrap()));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address, log }
    }

    /// Ends it as an operator does; returns its log.
    pub(crate) fn end(mut self) -> String {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let log = self.log.take().unwrap().join().unwrap();
        assert!(self.child.wait().unwrap().success(), "{log}");
        log
    }

    pub(crate) fn call(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.call(&format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        ))
    }

    pub(crate) fn take(&self, isolate: &mut Isolate) {
        let batch = Batch { key: 1, ..Batch::new(lines(&[isolate.event(), isolate.event()])) };
        let mut request = "POST /edge/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_owned();
        for (name, value) in batch.request().headers() {
            write!(request, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
        }
        request = request + "\r\n" + std::str::from_utf8(&batch.body).unwrap();
        let answer = self.call(&request);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    pub(crate) fn counts(&self, requests: usize) {
        self.comes_to("/manage/usage", &format!("\"requests\":{requests},"));
    }

    /// What was counted by who was killed then stays in the log until another takes it over.
    pub(crate) fn empties_its_log(&self) {
        self.comes_to("/manage/events/status", "\"waiting_batches\":0,");
    }

    fn comes_to(&self, path: &str, wanted: &str) {
        let has_come = (0..120).any(|_| {
            std::thread::sleep(Duration::from_millis(500));
            self.get(path).contains(wanted)
        });
        assert!(has_come, "{wanted}: {}", self.get(path));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
