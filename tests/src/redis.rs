//! A real Redis on a free port, in a temporary folder; also a Sentinel, or a node
//! of a Cluster: it is one program.
//!
//! As with `PostgreSQL`, a shell stands between it and the test, so that the
//! server ends and its folder goes when the test does, even by `kill -9`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The server is `$2` and what follows; `$1` is its folder. A line on standard
/// input starts it, the next says that it was killed, and so on; the end of the
/// input ends all.
const GUARD: &str = r#"
folder=$1; shift
trap '' HUP
while read -r _; do
  "$@" >>"$folder/log" 2>&1 </dev/null &
  server=$!
  echo $server
  read -r _ || break
  wait; server=
done
if [ "$server" ]; then kill -KILL $server; wait; fi 2>/dev/null
rm -rf "$folder"
"#;

/// Settings with which nothing that was acknowledged is lost.
pub const DURABLE: [&str; 2] = ["appendonly yes", "appendfsync always"];

#[derive(Debug)]
pub struct Redis {
    folder: PathBuf,
    port: u16,
    guard: Mutex<Guard>,
}

/// The shell, and the server while it runs.
#[derive(Debug)]
struct Guard {
    shell: Child,
    answers: BufReader<ChildStdout>,
    server: Option<u32>,
}

impl Redis {
    /// A durable one for all tests of this process that do not disturb it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&DURABLE))
    }

    /// Lines of `redis.conf`, in which `{port}` and `{folder}` are its own.
    pub fn start(settings: &[&str]) -> Self {
        Self::prepare(settings, &[]).started()
    }

    /// The same, of a Sentinel.
    pub fn sentinel(settings: &[&str]) -> Self {
        Self::prepare(settings, &["--sentinel"]).started()
    }

    /// In a folder where files may be put before [`restart`](Self::restart) starts it.
    pub fn prepare(settings: &[&str], arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("latchkey-redis-").tempdir().unwrap().keep();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let common = ["port {port}", "bind 127.0.0.1", "dir {folder}", "save \"\""];
        let lines = [&common[..], settings].concat().join("\n");
        let lines = lines.replace("{port}", &port.to_string()).replace("{folder}", folder.to_str().unwrap());
        fs::write(folder.join("redis.conf"), lines).unwrap();
        let guard = Mutex::new(Guard::new(&folder, arguments));
        Self { folder, port, guard }
    }

    fn started(self) -> Self {
        self.restart();
        self
    }

    /// `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `redis-cli` prints, an item of a list a line.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        self.run("redis-cli", &[&["-p", &port][..], arguments].concat())
    }

    /// Runs a program in the server's folder; it must succeed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(&self.folder).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// `kill -9`; what is on disk stays.
    pub fn kill(&self) {
        let mut guard = self.guard.lock().unwrap();
        let Some(server) = guard.server.take() else { return };
        signal("KILL", server);
        guard.say();
        until("the server is gone", || TcpStream::connect(("127.0.0.1", self.port)).is_err());
    }

    /// Starts it, at first or after [`kill`](Self::kill), on the same port.
    pub fn restart(&self) {
        let mut guard = self.guard.lock().unwrap();
        assert!(guard.server.is_none(), "it runs");
        guard.say();
        let mut answer = String::new();
        guard.answers.read_line(&mut answer).unwrap();
        let server = answer.trim().parse().unwrap();
        guard.server = Some(server);
        until("Redis answers", || {
            assert!(is_alive(server), "Redis did not start:\n{}", self.log());
            self.answers()
        });
    }

    /// Stops it where it stands, until [`resume`](Self::resume): connections
    /// stay open and nothing answers.
    pub fn pause(&self) {
        self.guard.lock().unwrap().server.inspect(|&server| signal("STOP", server));
    }

    pub fn resume(&self) {
        self.guard.lock().unwrap().server.inspect(|&server| signal("CONT", server));
    }

    /// Its id, while it runs.
    pub fn process(&self) -> u32 {
        self.guard.lock().unwrap().server.unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Anything but that it still loads its data; of TLS, that it listens.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        if stream.write_all(b"PING\r\n").is_err() {
            return true;
        }
        let mut answer = [0; 8];
        let length = stream.read(&mut answer).unwrap_or_default();
        !answer[..length].starts_with(b"-LOADING")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Ok(guard) = self.guard.get_mut() {
            drop(guard.shell.stdin.take());
            let _ = guard.shell.wait();
        }
    }
}

impl Guard {
    /// The server is not started yet.
    fn new(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(folder).arg("redis-server").arg(folder.join("redis.conf"));
        // In a group of its own: Ctrl-C is for the test; the guard sees the test end.
        command.args(arguments).process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, answers, server: None }
    }

    fn say(&mut self) {
        self.shell.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

fn signal(name: &str, process: u32) {
    let arguments = [format!("-{name}"), process.to_string()];
    let _ = Command::new("kill").args(arguments).stderr(Stdio::null()).status();
}

/// A zombie is not.
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rfind(')').is_some_and(|end| !stat[end..].starts_with(") Z"))
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("within 30 s: {what}");
}
