//! The control plane as a process, and the whole system around it.

use crate::kv::KvServer;
use crate::process::{Process, binary};
use crate::workerd::{Worker, Workerd};
use crate::{fixture, keys};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the control plane logs, in its folder.
pub const LOG: &str = "control-plane.log";
/// Longer than any call takes: who waits in vain must not wait for ever.
const CALL_LIMIT: Duration = Duration::from_mins(2);

/// How `latchkey` is started: over which database and which KV.
#[derive(Clone, Debug)]
pub struct Setup {
    folder: PathBuf,
    variables: Vec<(String, String)>,
    /// Where system calls are written down.
    trace: Option<PathBuf>,
    /// In place of the one that was built beside the test.
    program: Option<PathBuf>,
}

/// Those by which data reach a disk or a socket.
const TRACED: &str = "trace=read,write,writev,pwrite64,fsync,fdatasync,recvfrom,sendto,sendmsg";

impl Setup {
    /// Over the database in `folder`, unless `variables` name another one.
    pub fn new(folder: &Path, kv: &KvServer, variables: &[(&str, &str)]) -> Self {
        let database = format!("sqlite://{}?mode=rwc", folder.join("latchkey.db").display());
        let (keys, rest_base) = (keys::control_plane_variables(), kv.rest_base());
        let ours = [
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("DATABASE_URL", &database),
            ("KV_API_BASE", &rest_base),
            ("KV_NAMESPACE_ID", crate::kv::NAMESPACE),
            ("SNAPSHOT_HEARTBEAT", "2"),
        ];
        let keys = keys.iter().map(|(name, value)| (*name, value.as_str()));
        // Of two with one name the last one counts.
        let all = keys.chain(ours).chain(variables.iter().copied());
        let variables = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { folder: folder.to_owned(), variables, trace: None, program: None }
    }

    /// `strace` writes its system calls to `file`, each with the file that it is about.
    #[must_use]
    pub fn traced(self, file: &Path) -> Self {
        Self { trace: Some(file.to_owned()), ..self }
    }

    /// Another `latchkey` than the one that was built beside the test.
    #[must_use]
    pub fn of(self, program: Option<PathBuf>) -> Self {
        Self { program, ..self }
    }

    /// `latchkey serve` on a free port.
    pub fn start(&self) -> ControlPlane {
        self.try_start().expect("the control plane ended; see LATCHKEY_TEST_LOGS=1")
    }

    /// None if it ended before it listened, as when its database is down.
    pub fn try_start(&self) -> Option<ControlPlane> {
        let mut command = self.command(&["serve"]);
        if std::env::var_os("LATCHKEY_TEST_LOGS").is_none() {
            let log = File::options().append(true).create(true).open(self.folder.join(LOG)).unwrap();
            command.stderr(log);
        }
        let mut process = Process::spawn(command.stdout(Stdio::piped()));
        let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let first = lines.next()?.ok()?;
        let base = first.strip_prefix("listening on ").expect("its address").to_owned();
        // Whatever else it prints must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Some(ControlPlane { process, caller: Caller { base, client } })
    }

    /// Another command of `latchkey` with the same configuration, to its end.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        tokio::process::Command::from(self.command(arguments)).kill_on_drop(true).output().await.unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let latchkey = self.program.clone().unwrap_or_else(|| binary("latchkey"));
        let mut command = match &self.trace {
            Some(file) => {
                // -D: the child is latchkey itself, so that a kill reaches it.
                let mut command = Command::new("strace");
                command.args(["-D", "-f", "-y", "-s", "64", "-e", TRACED, "-o"]).arg(file).arg(latchkey);
                command
            }
            None => Command::new(latchkey),
        };
        command.args(arguments).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Who makes management calls to one control plane, whether or not it lives.
#[derive(Clone, Debug)]
pub struct Caller {
    base: String,
    client: reqwest::Client,
}

impl Caller {
    /// Where it listens, or did.
    pub fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// Status and body of a management call; no body where there is none.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, url).bearer_auth(keys::MANAGEMENT_TOKEN);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.timeout(CALL_LIMIT).send().await?;
        let status = response.status();
        // An answer that breaks off is none.
        let body = response.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// A call that must succeed.
    pub async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.call(method.clone(), path, body).await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.must(Method::POST, path, Some(body)).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.must(Method::GET, path, None).await
    }

    /// A body that is no single JSON value, as an export's.
    pub async fn text(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(keys::MANAGEMENT_TOKEN);
        request.timeout(CALL_LIMIT).send().await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }
}

/// `latchkey serve` on a free port.
#[derive(Debug)]
pub struct ControlPlane {
    process: Process,
    caller: Caller,
}

impl ControlPlane {
    /// Over the database in `folder`, which may be there already.
    pub fn start(folder: &Path, kv: &KvServer, variables: &[(&str, &str)]) -> Self {
        Setup::new(folder, kv, variables).start()
    }

    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.caller.base)
    }

    /// Status and body of a management call.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        self.caller.call(method, path, body).await.unwrap()
    }

    /// A call that must succeed.
    pub async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        self.caller.must(method, path, body).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        self.caller.post(path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Value {
        self.must(Method::PATCH, path, Some(body)).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.caller.get(path).await
    }
}

/// Control plane, KV, edge and upstream, with a project that can use it.
#[derive(Debug)]
pub struct Stack {
    pub control_plane: ControlPlane,
    pub kv: KvServer,
    pub edge: Workerd,
    pub upstream: String,
    pub project_id: String,
    pub folder: TempDir,
    client: reqwest::Client,
}

impl Stack {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let kv = KvServer::start().await;
        let upstream = fixture::upstream().await;
        let control_plane = ControlPlane::start(folder.path(), &kv, variables);
        let project_id = make_project(&control_plane, &upstream).await;
        let mut edge_variables = keys::edge_variables();
        edge_variables.push(("SNAPSHOT_REFRESH_MS", "1000".into()));
        let edge = Workerd::start(&Worker::edge(kv.binding_address(), edge_variables));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let stack = Self { control_plane, kv, edge, upstream, project_id, folder, client };
        stack.until_settled().await;
        stack
    }

    /// A new token of the project: its id and its text.
    pub async fn token(&self) -> (String, String) {
        let body = json!({"project_id": self.project_id, "name": "test", "expires_at": null});
        let answer = self.control_plane.post("/manage/tokens", body).await;
        assert_eq!(answer["replicated"], true);
        (answer["id"].as_str().unwrap().to_owned(), answer["token"].as_str().unwrap().to_owned())
    }

    /// The status of one request with `token`, and the code of a refusal.
    pub async fn ask(&self, token: &str) -> (u16, Option<String>) {
        let response = self.client.get(self.edge.url("/v1/models")).bearer_auth(token).send().await.unwrap();
        let code = response.headers().get("x-latchkey-error").map(|code| code.to_str().unwrap().to_owned());
        (response.status().as_u16(), code)
    }

    /// Waits until all changes so far are published, and the edge has read that.
    pub async fn until_settled(&self) {
        let published = async || self.control_plane.get("/manage/snapshot").await["pending"] == 0;
        self.until("the publication", published).await;
        let version = self.control_plane.get("/manage/snapshot").await["published_version"].as_u64();
        let at_edge = async || {
            let response = self.client.get(self.edge.url("/healthz")).send().await.unwrap();
            response.json::<Value>().await.unwrap()["snapshot"]["version"].as_u64() >= version
        };
        self.until("the snapshot at the edge", at_edge).await;
    }

    /// Waits, 30 seconds at most, until `condition` holds.
    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) -> Duration {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < Duration::from_secs(30), "{what} did not happen in 30 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        started.elapsed()
    }

    /// A control plane over the same database and KV, in place of one that was killed.
    pub fn restart_control_plane(&mut self) {
        self.control_plane = ControlPlane::start(self.folder.path(), &self.kv, &[]);
    }
}

/// A provider at `upstream`, a project with a credential for it; its id.
pub async fn make_project(control_plane: &ControlPlane, upstream: &str) -> String {
    let provider = json!({
        "base_url": upstream,
        "auth": {"header": "authorization", "prefix": "Bearer "},
        "api": "openai",
        "allowed_endpoints": [
            {"methods": ["POST"], "path": "/v1/chat/completions"},
            {"methods": ["GET"], "path": "/v1/models/**"},
        ],
    });
    control_plane.must(Method::PUT, "/manage/providers/example", Some(provider)).await;
    let project =
        control_plane.post("/manage/projects", json!({"name": "test", "default_provider": "example"})).await;
    let project_id = project["id"].as_str().unwrap().to_owned();
    let credential = json!({"provider": "example", "label": "test", "api_key": fixture::UPSTREAM_KEY});
    control_plane.post(&format!("/manage/projects/{project_id}/credentials"), credential).await;
    project_id
}

/// A loopback port that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
