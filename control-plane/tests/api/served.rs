//! The control plane of a world, as commands reach it.

use super::World;
use crate::world::TOKEN;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::AbortHandle;

/// The control plane of a world on a port, until it is dropped.
pub(super) struct Served {
    pub(super) url: String,
    serving: AbortHandle,
}

impl Served {
    pub(super) async fn of(world: &World) -> Self {
        Self::at(world, "127.0.0.1:0").await
    }

    pub(super) async fn at(world: &World, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = world.router.clone();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, serving: serving.abort_handle() }
    }

    pub(super) fn latchkey(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.args(arguments).args(["--url", &self.url]).env_clear().env("MANAGEMENT_TOKEN", TOKEN);
        command.kill_on_drop(true);
        command
    }

    /// What it prints, if it ends well.
    pub(super) async fn says(&self, arguments: &[&str]) -> String {
        let output = self.latchkey(arguments).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty());
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it complains of, as it fails.
    pub(super) async fn complains(&self, arguments: &[&str]) -> String {
        let output = self.latchkey(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    }

    pub(super) async fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        let said = self.says(arguments).await;
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
