//! `make run`'s own program, on free ports and with a home of its own.

use crate::page;
use crate::process::{Process, binary, root};
use crate::stack::free_port;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A local run that has said what to paste.
#[derive(Debug)]
pub struct LocalRun {
    process: Process,
    pub edge: String,
    pub control_plane: String,
    pub upstream: String,
    /// The curl that it printed.
    pub curl: String,
    /// The command that it printed for what was used.
    usage: String,
    home: PathBuf,
}

impl LocalRun {
    pub fn start(home: &Path) -> Self {
        let [edge, control_plane, upstream] = [free_port(), free_port(), free_port()];
        let mut command = Command::new(root().join("node_modules/.bin/node"));
        command
            .arg("scripts/run.mjs")
            .current_dir(root())
            .env(
                "PATH",
                format!("{}:{}", root().join("node_modules/.bin").display(), std::env::var("PATH").unwrap()),
            )
            .env("LATCHKEY_HOME", home)
            .env("EDGE_PORT", edge.to_string())
            .env("CONTROL_PLANE_PORT", control_plane.to_string())
            .env("EXAMPLE_UPSTREAM_PORT", upstream.to_string())
            .env_remove("OPENAI_API_KEY")
            .stdout(Stdio::piped());
        let mut process = Process::spawn(&mut command);
        let mut lines = BufReader::new(process.child().stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = Vec::new();
        for line in lines.by_ref() {
            let is_last = line.starts_with("Ctrl-C");
            said.push(line);
            if is_last {
                break;
            }
        }
        let from = said.iter().position(|line| line.starts_with("curl "));
        let from = from.unwrap_or_else(|| panic!("no curl was printed:\n{}", said.join("\n")));
        let to = said.iter().position(|line| line.starts_with("  -d ")).unwrap();
        let usage = said.iter().find_map(|line| line.strip_prefix("What was used: ")).unwrap().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            edge: format!("http://127.0.0.1:{edge}"),
            control_plane: format!("http://127.0.0.1:{control_plane}"),
            upstream: format!("http://127.0.0.1:{upstream}"),
            curl: said[from..=to].join("\n"),
            usage,
            home: home.to_owned(),
        }
    }

    /// The token in the printed curl.
    pub fn token(&self) -> &str {
        let (_, from) = self.curl.split_once("Bearer ").unwrap();
        from.split('"').next().unwrap()
    }

    /// What the pasted curl prints.
    pub fn paste(&self) -> String {
        let output =
            Command::new("bash").args(["-c", &self.curl.replace("curl -N", "curl -sSN")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Follows a page that is written for `make run` as it is by itself.
    pub fn follow(&self, page: &str) {
        let home = format!("{}/", self.home.display());
        // As whoever moved the two has them set.
        let latchkey = format!(
            "LATCHKEY_HOME={home} CONTROL_PLANE_URL={} {}",
            self.control_plane,
            binary("latchkey").display()
        );
        let places = [
            ("http://127.0.0.1:8787", self.edge.as_str()),
            ("http://127.0.0.1:8080", &self.control_plane),
            ("http://127.0.0.1:8089", &self.upstream),
            (".latchkey/", &home),
            ("target/debug/latchkey", &latchkey),
        ];
        page::follow(page, &places);
    }

    /// What the command for what was used prints.
    pub fn used(&self) -> String {
        let (_, port) = self.control_plane.rsplit_once(':').unwrap();
        let mut command = Command::new("bash");
        command.args(["-c", &self.usage]).current_dir(root());
        // As whoever chose them has them set.
        let output =
            command.env("LATCHKEY_HOME", &self.home).env("CONTROL_PLANE_PORT", port).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// As Ctrl-C does; true if it ended well.
    pub fn stop(mut self) -> bool {
        self.process.signal("INT");
        self.process.child().wait().unwrap().success()
    }
}

impl Drop for LocalRun {
    /// Its children are in groups of their own: only it can end them.
    fn drop(&mut self) {
        if matches!(self.process.child().try_wait(), Ok(None)) {
            self.process.signal("INT");
            let _ = self.process.child().wait();
        }
    }
}
