//! The whole way of an event: isolates, the queue, a worker that empties it, the
//! control plane, its database.

use super::kinds::Dialect;
use crate::edge::upstream::Upstream;
use crate::kv::KvServer;
use crate::queue::{Manners, Queue};
use crate::soak::dice::Dice;
use crate::soak::fleet::Fleet;
use crate::soak::path::Path;
use crate::stack::{Caller, Setup};
use crate::workerd::{Worker, Workerd};
use crate::{fixture, keys};
use reqwest::Method;
use serde_json::{Value, json};
use shared::token::Token;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const EDGES: usize = 2;
const TOKENS_A_PROJECT: usize = 3;
const STREAM_USAGE: [&str; 3] = ["ask", "ask_and_strip", "leave"];
/// Beyond it something hangs.
const PATIENCE: Duration = Duration::from_mins(2);
/// Of a hasty provider, and so more than what its good answers take.
const HASTE_MS: u32 = 1_500;

#[derive(Debug)]
pub struct Rig {
    pub upstream: Upstream,
    pub queue: Queue,
    pub tokens: Tokens,
    pub fleet: Arc<Fleet>,
    /// From the workers to the control planes.
    pub path: Path,
    /// `DATABASE_URL`
    pub database: String,
    /// Where a sink of kind `file` writes.
    pub sink_files: PathBuf,
    sink: String,
    edges: Mutex<Vec<Edge>>,
    kv: KvServer,
    _folder: TempDir,
}

/// What a rig is made of.
#[derive(Clone, Debug)]
pub struct Place {
    /// `DATABASE_URL`; a file where there is none.
    pub database: Option<String>,
    /// `REDIS_URL`; the log is in the database where there is none.
    pub redis: Option<String>,
    pub control_planes: usize,
    pub consumers: usize,
    pub manners: Manners,
    /// In place of the `latchkey` that was built beside the test.
    pub program: Option<PathBuf>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            database: None,
            redis: None,
            control_planes: 1,
            consumers: 1,
            manners: crate::queue::USUAL,
            program: None,
        }
    }
}

/// An isolate, and its number among all that there were.
#[derive(Debug)]
struct Edge {
    number: usize,
    worker: Workerd,
}

/// Their texts, and the ids of those in use.
#[derive(Debug)]
pub struct Tokens {
    pub valid: Vec<(String, String)>,
    pub revoked: String,
    pub expired: String,
    pub forged: String,
}

impl Rig {
    pub async fn start(place: Place, mut dice: Dice) -> Self {
        let folder = TempDir::new().unwrap();
        let (kv, upstream) = (KvServer::start().await, Upstream::start().await);
        let in_folder = format!("sqlite://{}?mode=rwc", folder.path().join("latchkey.db").display());
        let database = place.database.unwrap_or(in_folder);
        let sink_files = folder.path().join("sinks");
        std::fs::create_dir(&sink_files).unwrap();
        let mut variables =
            vec![("DATABASE_URL", database.as_str()), ("SINK_FILE_DIR", sink_files.to_str().unwrap())];
        if let Some(redis) = &place.redis {
            variables.extend([("EVENT_LOG", "redis"), ("REDIS_URL", redis), ("EVENT_LOG_STRICT", "true")]);
        }
        let setup = Setup::new(folder.path(), &kv, &variables).of(place.program);
        let fleet = Fleet::start(setup, place.control_planes).await;
        let caller = fleet.caller(0).unwrap();
        let tokens = fill(&caller, upstream.url()).await;
        let sink = json!({"name": "file", "kind": "file", "settings": {"name": "events"}});
        let sink = caller.post("/manage/sinks", sink).await["id"].as_str().unwrap().to_owned();
        until("the publication", async || caller.get("/manage/snapshot").await["pending"] == 0).await;

        let path = Path::start(Arc::clone(&fleet), dice.child()).await;
        let mut queue = Queue::start(place.manners, dice.child()).await;
        for _ in 0..place.consumers {
            queue.deliver_to(worker(&kv, &queue, &path));
        }
        let edge = |number| Edge { number, worker: worker(&kv, &queue, &path) };
        let edges = Mutex::new((0..EDGES).map(edge).collect());
        Self { upstream, queue, tokens, fleet, path, database, sink_files, sink, edges, kv, _folder: folder }
    }

    /// At one edge or another: its number, and the URL there.
    pub fn url(&self, number: usize, path: &str) -> (usize, String) {
        let edges = self.edges.lock().unwrap();
        let edge = &edges[number % edges.len()];
        (edge.number, edge.worker.url(path))
    }

    /// `kill -9` of the oldest edge, in whose place comes another; its number.
    pub fn kill_edge(&self) -> usize {
        let worker = worker(&self.kv, &self.queue, &self.path);
        let mut killed = {
            let mut edges = self.edges.lock().unwrap();
            let number = 1 + edges.iter().map(|edge| edge.number).max().unwrap();
            edges.push(Edge { number, worker });
            edges.remove(0)
        };
        killed.worker.kill();
        killed.number
    }

    /// Of a control plane that answers.
    pub fn caller(&self) -> Caller {
        self.fleet.awake().into_iter().next().unwrap()
    }

    /// Waits until the sink has been given every event.
    pub async fn sink_has_all(&self) {
        let path = format!("/manage/sinks/{}", self.sink);
        until("the last delivery to the sink", async || self.get(&path).await["state"]["lag_events"] == 0)
            .await;
    }

    pub async fn get(&self, path: &str) -> Value {
        self.caller().get(path).await
    }
}

/// Waits for `condition`.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < PATIENCE, "{what} did not happen in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn worker(kv: &KvServer, queue: &Queue, path: &Path) -> Workerd {
    let mut variables = keys::edge_variables();
    variables.push(("SNAPSHOT_REFRESH_MS", "1000".into()));
    variables.push(("CONTROL_PLANE_URL", path.url()));
    Workerd::start(&Worker { queue: Some(queue.address()), ..Worker::edge(kv.binding_address(), variables) })
}

/// Providers of every dialect, a project for each way to learn the usage of a
/// stream, and tokens that are good and bad.
async fn fill(control_plane: &Caller, upstream: &str) -> Tokens {
    for dialect in [Dialect::Chat, Dialect::Anthropic, Dialect::Gemini] {
        for is_hasty in [false, true] {
            let (name, body) = provider(dialect, is_hasty, upstream);
            control_plane.must(Method::PUT, &format!("/manage/providers/{name}"), Some(body)).await;
        }
        let price = json!({"provider": dialect.provider(), "model": "*", "input_usd_per_million": "2.5", "output_usd_per_million": "10"});
        control_plane.post("/manage/prices", price).await;
    }
    let mut valid = Vec::new();
    let mut project_id = Value::Null;
    for stream_usage in STREAM_USAGE {
        let project = json!({"name": stream_usage, "default_provider": "open", "stream_usage": stream_usage});
        project_id = control_plane.post("/manage/projects", project).await["id"].clone();
        for dialect in [Dialect::Chat, Dialect::Anthropic, Dialect::Gemini] {
            for is_hasty in [false, true] {
                let (name, _) = provider(dialect, is_hasty, upstream);
                let path = format!("/manage/projects/{}/credentials", project_id.as_str().unwrap());
                let body = json!({"provider": name, "label": "x", "api_key": fixture::UPSTREAM_KEY});
                control_plane.post(&path, body).await;
            }
        }
        for _ in 0..TOKENS_A_PROJECT {
            let body = json!({"project_id": project_id, "name": stream_usage, "expires_at": null});
            valid.push(token(control_plane, body).await);
        }
    }
    let short = json!({"project_id": project_id, "name": "expired", "expires_in": 1});
    let (_, expired) = token(control_plane, short).await;
    let long = json!({"project_id": project_id, "name": "revoked", "expires_at": null});
    let (id, revoked) = token(control_plane, long).await;
    control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
    let forged = fixture::text(&Token::new(valid[0].0.parse().unwrap(), [7; 20]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    Tokens { valid, revoked, expired, forged }
}

/// Its name and definition.
fn provider(dialect: Dialect, is_hasty: bool, upstream: &str) -> (String, Value) {
    let (header, prefix) = dialect.auth();
    let (api, paths) = match dialect.provider() {
        "claude" => ("anthropic", ["/v1/messages"].as_slice()),
        "gemini" => (
            "gemini",
            ["/v1beta/models/*:generateContent", "/v1beta/models/*:streamGenerateContent"].as_slice(),
        ),
        _ => (
            "openai",
            ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"].as_slice(),
        ),
    };
    let endpoints: Vec<Value> = paths.iter().map(|path| json!({"methods": ["POST"], "path": path})).collect();
    let mut definition = json!({
        "base_url": upstream,
        "auth": {"header": header, "prefix": prefix},
        "api": api,
        "allowed_endpoints": endpoints,
    });
    if !is_hasty {
        return (dialect.provider().to_owned(), definition);
    }
    definition["timeouts"] = json!({"first_byte_ms": HASTE_MS, "idle_ms": HASTE_MS});
    (format!("{}-hasty", dialect.provider()), definition)
}

/// The id of a new one, and its text.
async fn token(control_plane: &Caller, body: Value) -> (String, String) {
    let answer = control_plane.post("/manage/tokens", body).await;
    (answer["id"].as_str().unwrap().to_owned(), answer["token"].as_str().unwrap().to_owned())
}
