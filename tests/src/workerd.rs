//! A built worker on bare workerd, its KV and its cache bound to servers of the test's.

use crate::process::{Process, root};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// As in wrangler.toml.
const COMPATIBILITY: &str =
    r#"compatibilityDate = "2026-11-01", compatibilityFlags = ["enable_request_signal"]"#;

#[derive(Debug)]
pub struct Workerd {
    process: Process,
    port: u16,
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
    /// Pinned to this core.
    pub core: Option<usize>,
}

impl Worker {
    /// The edge as `make build` left it.
    pub fn edge(kv: SocketAddr, variables: Vec<(&'static str, String)>) -> Self {
        let build = root().join("edge/build");
        let modules = vec![(build.join("index.js"), "esModule"), (build.join("index_bg.wasm"), "wasm")];
        Self { modules, variables, kv: Some(kv), cache: None, core: None }
    }

    /// A worker of one JavaScript file.
    pub fn script(path: &Path, variables: Vec<(&'static str, String)>) -> Self {
        Self { modules: vec![(path.to_owned(), "esModule")], variables, kv: None, cache: None, core: None }
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
        format!(
            r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    {services}
    (name = "internet", network = (allow = ["local", "public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
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

impl Workerd {
    pub fn start(worker: &Worker) -> Self {
        let folder = TempDir::new().unwrap();
        for (path, _) in &worker.modules {
            let copy = folder.path().join(path.file_name().unwrap());
            std::fs::copy(path, &copy)
                .unwrap_or_else(|error| panic!("{}: {error}; run `make build`", path.display()));
        }
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
        command.args(["serve", "--control-fd=1"]).arg(&config).stdout(Stdio::piped());
        if std::env::var_os("LATCHKEY_TEST_LOGS").is_none() {
            command.stderr(Stdio::null());
        }
        let mut process = Process::spawn(&mut command);
        let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines();
        let port = loop {
            let line =
                lines.next().expect("workerd ended before it listened; see LATCHKEY_TEST_LOGS=1").unwrap();
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "listen" {
                break u16::try_from(event["port"].as_u64().unwrap()).unwrap();
            }
        };
        Self { process, port, _folder: folder }
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
}
