//! A built worker on bare workerd, its KV, its cache and its queue bound to
//! servers of the test's.

use crate::process::{Process, root};
use serde_json::{Value, json};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// As in wrangler.toml.
const COMPATIBILITY: &str =
    r#"compatibilityDate = "2026-11-01", compatibilityFlags = ["enable_request_signal"]"#;

/// Speaks to the worker's queue handler, which no socket can.
const DELIVERY: &str = "deliver.js";
const DELIVERY_SERVICE: &str = r#"(name = "delivery", worker = (
      modules = [(name = "deliver.js", esModule = embed "deliver.js")],
      bindings = [(name = "WORKER", service = "main")],
      compatibilityDate = "2026-11-01", compatibilityFlags = ["service_binding_extra_handlers"])), "#;

#[derive(Debug)]
pub struct Workerd {
    process: Process,
    port: u16,
    /// Of the worker that hands batches to the one under test.
    delivery_port: Option<u16>,
    _folder: TempDir,
}

/// What runs on it.
#[derive(Debug)]
pub struct Worker {
    /// Path and kind (`esModule` or `wasm`) of each module; the first is the main one.
    pub modules: Vec<(PathBuf, &'static str)>,
    pub variables: Vec<(&'static str, String)>,
    pub kv: Option<SocketAddr>,
    /// Behind the Cache API. Without it, that throws.
    pub cache: Option<SocketAddr>,
    /// Behind the binding `EVENTS`; batches can be delivered then.
    pub queue: Option<SocketAddr>,
    /// Pinned to this core.
    pub core: Option<usize>,
}

impl Worker {
    /// The edge as `make build` left it.
    pub fn edge(kv: SocketAddr, variables: Vec<(&'static str, String)>) -> Self {
        Self { kv: Some(kv), ..Self::built(&root().join("edge"), variables) }
    }

    /// A worker in Rust, as `scripts/build-edge.sh` left it.
    pub fn built(folder: &Path, variables: Vec<(&'static str, String)>) -> Self {
        let build = folder.join("build");
        let module = |name: &str, kind| (build.join(name), kind);
        let mut modules = vec![module("index.js", "esModule"), module("index_bg.wasm", "wasm")];
        // The first one is what the runtime calls.
        if build.join("entry.js").exists() {
            modules.insert(0, module("entry.js", "esModule"));
        }
        Self { modules, variables, kv: None, cache: None, queue: None, core: None }
    }

    /// A worker of one JavaScript file.
    pub fn script(path: &Path, variables: Vec<(&'static str, String)>) -> Self {
        let modules = vec![(path.to_owned(), "esModule")];
        Self { modules, variables, kv: None, cache: None, queue: None, core: None }
    }

    fn config(&self) -> String {
        let mut modules = String::new();
        for (path, kind) in &self.modules {
            let name = path.file_name().unwrap().to_str().unwrap();
            write!(modules, "(name = {name:?}, {kind} = embed {name:?}), ").unwrap();
        }
        let mut bindings = String::new();
        for (name, value) in &self.variables {
            write!(bindings, "(name = {name:?}, text = {value:?}), ").unwrap();
        }
        let mut services = String::new();
        if let Some(kv) = self.kv {
            bindings.push_str(r#"(name = "SNAPSHOT", kvNamespace = "kv"), "#);
            write!(services, r#"(name = "kv", external = (address = "{kv}", http = ())), "#).unwrap();
        }
        let mut cache_outbound = "";
        if let Some(cache) = self.cache {
            cache_outbound = r#"cacheApiOutbound = "cache","#;
            write!(services, r#"(name = "cache", external = (address = "{cache}", http = ())), "#).unwrap();
        }
        let mut sockets = String::new();
        if let Some(queue) = self.queue {
            bindings.push_str(r#"(name = "EVENTS", queue = "queue"), "#);
            write!(services, r#"(name = "queue", external = (address = "{queue}", http = ())), "#).unwrap();
            services.push_str(DELIVERY_SERVICE);
            sockets
                .push_str(r#"(name = "delivery", address = "127.0.0.1:0", http = (), service = "delivery")"#);
        }
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    {services}
    (name = "internet", network = (allow = ["local", "public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main"), {sockets}],
);
const worker :Workerd.Worker = (
  modules = [{modules}],
  bindings = [{bindings}],
  {cache_outbound}
  {COMPATIBILITY},
);
"#
        )
    }
}

/// What a worker answered to a batch; messages by their place in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivered {
    pub is_ok: bool,
    pub acknowledged: Vec<usize>,
    /// And after how many seconds.
    pub again: Vec<(usize, u64)>,
}

impl Workerd {
    pub fn start(worker: &Worker) -> Self {
        let folder = TempDir::new().unwrap();
        for (path, _) in &worker.modules {
            let copy = folder.path().join(path.file_name().unwrap());
            std::fs::copy(path, &copy)
                .unwrap_or_else(|error| panic!("{}: {error}; run `make build`", path.display()));
        }
        std::fs::write(folder.path().join(DELIVERY), include_str!("workerd/deliver.js")).unwrap();
        let config = folder.path().join("config.capnp");
        std::fs::write(&config, worker.config()).unwrap();
        let workerd = root().join("node_modules/@cloudflare/workerd-linux-64/bin/workerd");
        let mut command = match worker.core {
            Some(core) => {
                let mut pinned = Command::new("taskset");
                pinned.arg("-c").arg(core.to_string()).arg(workerd);
                pinned
            }
            None => Command::new(workerd),
        };
        // The flag is for the delivery's binding.
        command.args(["serve", "--experimental", "--control-fd=1"]).arg(&config).stdout(Stdio::piped());
        if std::env::var_os("LATCHKEY_TEST_LOGS").is_none() {
            command.stderr(Stdio::null());
        }
        let mut process = Process::spawn(&mut command);
        let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let mut listening = || {
            let lines = lines.by_ref().map(Result::unwrap);
            let mut events = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
            let event = events.find(|event| event["event"] == "listen");
            let event = event.expect("workerd ended before it listened; see LATCHKEY_TEST_LOGS=1");
            (event["socket"] == "delivery", u16::try_from(event["port"].as_u64().unwrap()).unwrap())
        };
        let sockets = 1 + usize::from(worker.queue.is_some());
        let ports: Vec<(bool, u16)> = (0..sockets).map(|_| listening()).collect();
        let find = |is_delivery| ports.iter().find(|(is, _)| *is == is_delivery).map(|(_, port)| *port);
        Self { process, port: find(false).unwrap(), delivery_port: find(true), _folder: folder }
    }

    /// Hands the worker a batch: for each message, how often it was delivered
    /// and its text. Answers which were acknowledged, and after how many seconds
    /// which others are to come again.
    pub async fn deliver(&self, queue: &str, messages: &[(u32, &str)]) -> Delivered {
        let messages: Vec<Value> = messages
            .iter()
            .enumerate()
            .map(|(at, (attempts, body))| json!({"id": at.to_string(), "body": body, "attempts": attempts}))
            .collect();
        let port = self.delivery_port.expect("a worker without a queue");
        let request = crate::edge::call::client().post(format!("http://127.0.0.1:{port}/"));
        let answer = request.json(&json!({"queue": queue, "messages": messages})).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let number = |id: &Value| id.as_str().unwrap().parse::<usize>().unwrap();
        let again = told["retryMessages"].as_array().unwrap().iter();
        Delivered {
            is_ok: told["outcome"] == "ok",
            acknowledged: told["explicitAcks"].as_array().unwrap().iter().map(number).collect(),
            again: again
                .map(|retry| (number(&retry["msgId"]), retry["delaySeconds"].as_u64().unwrap_or_default()))
                .collect(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub fn process(&self) -> &Process {
        &self.process
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }
}
