//! Several control planes, one database, one KV: what the long tests work on.

use super::fleet::Fleet;
use super::view::View;
use crate::fixture;
use crate::kv::KvServer;
use crate::stack::Setup;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

/// Beyond it something hangs.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(20);
/// A control plane that does not say who publishes is stopped.
const WORD: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub struct Rig {
    pub fleet: Arc<Fleet>,
    pub kv: Arc<KvServer>,
    /// Where the provider `example` is.
    pub upstream: String,
    _folder: TempDir,
}

impl Rig {
    /// Over a database of its own in a file, unless `url` names another.
    pub async fn start(url: Option<&str>, members: usize, variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let kv = Arc::new(KvServer::start().await);
        let url = url.map(|url| ("DATABASE_URL", url));
        let variables: Vec<_> = variables.iter().copied().chain(url).collect();
        let fleet = Fleet::start(Setup::new(folder.path(), &kv, &variables), members).await;
        let upstream = fixture::upstream().await;
        let rig = Self { fleet, kv, upstream, _folder: folder };
        let provider = json!({
            "base_url": rig.upstream,
            "auth": {"header": "authorization", "prefix": "Bearer "},
            "api": "openai",
            "allowed_endpoints": [{"methods": ["GET"], "path": "/v1/models/**"}],
        });
        rig.must(0, Method::PUT, "/manage/providers/example", Some(provider)).await;
        rig
    }

    /// A call of member `at` that must succeed.
    pub async fn must(&self, at: usize, method: Method, path: &str, body: Option<Value>) -> Value {
        let caller = self.fleet.caller(at).unwrap();
        let (status, answer) = caller.call(method.clone(), path, body).await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    /// A project at the provider `example`: its id and that of its credential.
    pub async fn project(&self, name: &str) -> (String, String) {
        let project = json!({"name": name, "default_provider": "example"});
        let project = self.must(0, Method::POST, "/manage/projects", Some(project)).await;
        let id = project["id"].as_str().unwrap().to_owned();
        let credential = json!({"provider": "example", "label": "x", "api_key": fixture::UPSTREAM_KEY});
        let path = format!("/manage/projects/{id}/credentials");
        let credential = self.must(0, Method::POST, &path, Some(credential)).await;
        (id, credential["id"].as_str().unwrap().to_owned())
    }

    /// A token made by member `at`.
    pub async fn token(&self, at: usize, project: &str) -> Uuid {
        let body = json!({"project_id": project, "name": "x", "expires_at": null});
        let answer = self.must(at, Method::POST, "/manage/tokens", Some(body)).await;
        answer["id"].as_str().unwrap().parse().unwrap()
    }

    pub async fn revoke(&self, at: usize, token: Uuid) {
        self.must(at, Method::DELETE, &format!("/manage/tokens/{token}"), None).await;
    }

    /// Who publishes, of those that answer, in their own words.
    pub async fn leaders(&self) -> Vec<usize> {
        let mut leaders = Vec::new();
        for at in self.fleet.all() {
            if self.publisher_as_told_by(at).await.as_deref() == Some("this") {
                leaders.push(at);
            }
        }
        leaders
    }

    pub async fn publisher_as_told_by(&self, at: usize) -> Option<String> {
        let caller = self.fleet.caller(at)?;
        let call = tokio::time::timeout(WORD, caller.call(Method::GET, "/manage/snapshot", None));
        let (_, status) = call.await.ok()?.ok()?;
        Some(status["publisher"].as_str()?.to_owned())
    }

    /// Waits until one member of those that answer publishes; which.
    pub async fn leader(&self) -> usize {
        let started = Instant::now();
        loop {
            if let [leader] = self.leaders().await[..] {
                return leader;
            }
            assert!(started.elapsed() < PATIENCE, "nobody publishes");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until KV says that the token is revoked.
    pub async fn until_revoked(&self, token: Uuid) -> Duration {
        self.until("the revocation in KV", async || View::now(&self.kv).is_revoked(token)).await
    }

    /// Waits until member `at` says that everything is published.
    pub async fn until_published(&self, at: usize) {
        let published = async || {
            let status = self.must(at, Method::GET, "/manage/snapshot", None).await;
            status["pending"] == 0 && !status["published_at"].is_null()
        };
        self.until("the publication", published).await;
    }

    pub async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) -> Duration {
        let started = Instant::now();
        while !condition().await {
            assert!(started.elapsed() < PATIENCE, "{what} did not happen in {PATIENCE:?}");
            tokio::time::sleep(LOOK).await;
        }
        started.elapsed()
    }

    /// What `latchkey snapshot verify` says; it must find nothing.
    pub async fn verify(&self) -> Value {
        let output = self.fleet.setup().run(&["snapshot", "verify", "--json"]).await;
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "verify: {said} {error}");
        let report: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&report["problem_count"], &report["pending"]), (&json!(0), &json!(0)), "{report}");
        report
    }
}
