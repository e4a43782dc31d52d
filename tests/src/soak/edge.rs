//! The built worker on workerd, as the one who judges in the end.

use crate::keys;
use crate::kv::KvServer;
use crate::workerd::{Worker, Workerd};
use serde_json::Value;

#[derive(Debug)]
pub struct Edge {
    worker: Workerd,
    client: reqwest::Client,
}

impl Edge {
    /// One isolate.
    pub fn start(kv: &KvServer) -> Self {
        let mut variables = keys::edge_variables();
        variables.push(("SNAPSHOT_REFRESH_MS", "1000".into()));
        let worker = Workerd::start(&Worker::edge(kv.binding_address(), variables));
        Self { worker, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    pub fn worker(&self) -> &Workerd {
        &self.worker
    }

    pub fn url(&self, path: &str) -> String {
        self.worker.url(path)
    }

    /// The status of one request with `token`, and the code of a refusal.
    pub async fn ask(&self, token: &str) -> (u16, Option<String>) {
        let request = self.client.get(self.worker.url("/v1/models")).bearer_auth(token);
        let response = request.send().await.unwrap();
        let code = response.headers().get("x-latchkey-error").map(|code| code.to_str().unwrap().to_owned());
        (response.status().as_u16(), code)
    }

    /// The version of the snapshot that it goes by.
    pub async fn version(&self) -> Option<u64> {
        let response = self.client.get(self.worker.url("/healthz")).send().await.unwrap();
        response.json::<Value>().await.unwrap()["snapshot"]["version"].as_u64()
    }
}
