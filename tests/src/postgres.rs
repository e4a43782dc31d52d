//! A real `PostgreSQL` on a free port, in a temporary folder.
//!
//! Between it and the test stands a shell that waits for the end of a pipe which
//! only the test holds. So the server ends and its folder goes when the test
//! does, even by `kill -9`, and nothing has to run in the test for that.
//!
//! `PostgreSQL` does not run as root: for root it runs as the user `postgres`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

const USER: &str = "latchkey";
/// Looked for in what must not tell it.
pub const PASSWORD: &str = "hush-postgres";

/// The server is `$2` and what follows; `$1` is its folder. A line on standard
/// input starts it, the next says that it was killed, and so on; the end of the
/// input ends all. HUP comes when the test leaves a paused server behind, which
/// then hears nothing before CONT.
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
if [ "$server" ]; then kill -QUIT $server; kill -CONT $server; wait; fi 2>/dev/null
rm -rf "$folder"
"#;

#[derive(Debug)]
pub struct Postgres {
    place: Place,
    guard: Mutex<Guard>,
}

#[derive(Debug)]
struct Place {
    folder: PathBuf,
    programs: PathBuf,
    owner: Option<Owner>,
    port: u16,
}

/// Who the server runs as, if not as we do.
#[derive(Clone, Copy, Debug)]
struct Owner {
    uid: u32,
    gid: u32,
}

/// The shell, and the server while it runs.
#[derive(Debug)]
struct Guard {
    shell: Child,
    answers: BufReader<ChildStdout>,
    postmaster: Option<u32>,
}

impl Postgres {
    /// One for all tests of this process that do not kill it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        let place = Place::new();
        let guard = Mutex::new(Guard::new(&place));
        let server = Self { place, guard };
        server.place.initialize();
        server.restart();
        server
    }

    /// `DATABASE_URL` of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.place.port)
    }

    /// Makes an empty database and returns its URL.
    pub fn create_database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.run("createdb", &[&name]);
        self.url(&name)
    }

    /// What `psql` prints, without headers: `a|b` a line.
    pub fn psql(&self, url: &str, sql: &str) -> String {
        self.run("psql", &["--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
    }

    /// `kill -9` of all its processes at once, as a power cut would; the data stay.
    pub fn kill(&self) {
        let mut guard = self.guard.lock().unwrap();
        let Some(postmaster) = guard.postmaster.take() else { return };
        // Stopped first, so that it starts no process that the list does not have.
        signal("STOP", &[postmaster]);
        let all = family(postmaster);
        signal("KILL", &all);
        until("every process is gone", || !all.iter().any(|&process| is_alive(process)));
        guard.say();
    }

    /// Starts it after [`kill`](Self::kill), on the same port.
    pub fn restart(&self) {
        let mut guard = self.guard.lock().unwrap();
        assert!(guard.postmaster.is_none(), "it runs");
        guard.say();
        let mut answer = String::new();
        guard.answers.read_line(&mut answer).unwrap();
        let postmaster = answer.trim().parse().unwrap();
        guard.postmaster = Some(postmaster);
        until("PostgreSQL accepts connections", || {
            let is_ready = self.command("pg_isready").arg("-q").status().unwrap().success();
            assert!(is_ready || is_alive(postmaster), "PostgreSQL did not start:\n{}", self.place.log());
            is_ready
        });
    }

    /// Stops all its processes where they stand, until [`resume`](Self::resume):
    /// connections stay open and nothing answers.
    pub fn pause(&self) {
        signal("STOP", &self.processes());
    }

    pub fn resume(&self) {
        signal("CONT", &self.processes());
    }

    /// A program of `PostgreSQL` or of the system, run as the server's user, in
    /// its folder; the clients among them find this server.
    pub fn command(&self, program: &str) -> Command {
        self.place.command(program)
    }

    /// Runs such a program, which must succeed, and returns what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.place.run(program, arguments)
    }

    /// Where it keeps its data and its log.
    pub fn folder(&self) -> &Path {
        &self.place.folder
    }

    pub fn port(&self) -> u16 {
        self.place.port
    }

    fn processes(&self) -> Vec<u32> {
        self.guard.lock().unwrap().postmaster.map(family).unwrap_or_default()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(guard) = self.guard.get_mut() {
            drop(guard.shell.stdin.take());
            let _ = guard.shell.wait();
        }
    }
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("latchkey-postgres-").tempdir().unwrap().keep();
        let owner = Owner::needed();
        if let Some(Owner { uid, gid }) = owner {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, programs: programs(), owner, port }
    }

    fn initialize(&self) {
        let password = self.folder.join("password");
        fs::write(&password, PASSWORD).unwrap();
        let password = format!("--pwfile={}", password.display());
        // Without syncing what a power cut would lose before the first test.
        let form =
            ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", "--no-sync", "--no-instructions"];
        let place = ["-D", "data", "-U", USER, &password];
        self.run("initdb", &[&place[..], &form[..]].concat());
    }

    fn command(&self, program: &str) -> Command {
        let ours = self.programs.join(program);
        let mut command = Command::new(if ours.exists() { ours } else { program.into() });
        if let Some(Owner { uid, gid }) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
            .current_dir(&self.folder)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", USER)
            .env("PGPASSWORD", PASSWORD);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Guard {
    /// The server is not started yet.
    fn new(place: &Place) -> Self {
        let mut command = place.command("sh");
        command.args(["-c", GUARD, "sh"]).arg(&place.folder).arg(place.programs.join("postgres"));
        command.args(["-D", "data", "-p", &place.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            // Nothing stays in /dev/shm when it is killed.
            "dynamic_shared_memory_type=mmap",
        ] {
            command.args(["-c", setting]);
        }
        // In a group of its own: Ctrl-C is for the test; the guard sees the test end.
        let mut shell =
            command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(shell.stdout.take().unwrap());
        Self { shell, answers, postmaster: None }
    }

    fn say(&mut self) {
        self.shell.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Owner {
    fn needed() -> Option<Self> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            return None;
        }
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find_map(|line| line.strip_prefix("postgres:"));
        let user = user.expect("PostgreSQL does not run as root, and there is no user `postgres`");
        let mut numbers = user.split(':').skip(1).map(|number| number.parse().unwrap());
        Some(Self { uid: numbers.next().unwrap(), gid: numbers.next().unwrap() })
    }
}

/// The folder that has `initdb`: Debian keeps it off the PATH.
fn programs() -> PathBuf {
    let told = Command::new("pg_config").arg("--bindir").output();
    let told = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())).ok();
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    packaged.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut all = told.into_iter().chain(packaged.into_iter().rev()).chain(on_path);
    all.find(|folder| folder.join("initdb").exists())
        .expect("the tests need PostgreSQL's server programs; scripts/servers.sh installs them")
}

fn signal(name: &str, processes: &[u32]) {
    let processes = processes.iter().map(u32::to_string);
    // One that ended meanwhile makes `kill` complain.
    let _ = Command::new("kill").arg(format!("-{name}")).args(processes).stderr(Stdio::null()).status();
}

/// proc(5), /proc/pid/stat: state and parent follow the name in parentheses.
fn stat(process: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// A zombie is not.
fn is_alive(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| state != 'Z')
}

/// A process and its children.
fn family(parent: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_in = |process| process == parent || stat(process).is_some_and(|(_, of)| of == parent);
    all.filter(|&process| is_in(process)).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_400 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("within 60 s: {what}");
}
