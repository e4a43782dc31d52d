//! One control plane with its database, and a KV that keeps what it is given.

use crate::database::Database;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::response::IntoResponse;
use axum::{Json, Router};
use control_plane::api::{self, Access, ManagementTokens, MetricsTokens, TrustedProxies};
use control_plane::domain::{Act, Domain};
use control_plane::events::consume::CONSUMER;
use control_plane::events::log::database::DatabaseLog;
use control_plane::events::{Consumer, ConsumerSettings, Duty, EventLog, Ingest};
use control_plane::metrics::Metrics;
use control_plane::secret::Secret;
use control_plane::sinks::kind::Surroundings;
use control_plane::snapshot::{self, PublisherSettings, SnapshotHandle};
use control_plane::store::{Store, migrate};
use control_plane::vault::Vault;
use serde_json::{Value, json};
use shared::key::{Key, KeyRing};
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use shared::token::TagKeys;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SECOND_TOKEN: &str = "fedcba9876543210fedcba9876543210";
pub(crate) const API_KEY: &str = "sk-upstream-very-secret-key-1234";

pub(crate) struct World<D> {
    pub(crate) router: Router,
    pub(crate) snapshot: SnapshotHandle,
    pub(crate) domain: Domain,
    pub(crate) store: Store,
    pub(crate) tags: TagKeys,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) metrics: Arc<Metrics>,
    /// `SINK_FILE_DIR`
    pub(crate) files: TempDir,
    // Ends the publisher when dropped.
    shutdown: tokio::sync::watch::Sender<bool>,
    pub(crate) database: Arc<D>,
    kv: String,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Settings {
    is_strict: bool,
    metrics_token: Option<&'static str>,
}

impl<D: Database> World<D> {
    pub(crate) async fn start() -> Self {
        Self::on(Arc::new(D::create())).await
    }

    /// Whose events go into another log than the database's.
    pub(crate) async fn over(log: Arc<dyn EventLog>) -> Self {
        let mut world = Self::start().await;
        world.take_events_into(log);
        world
    }

    /// On a database that there is; its tables may be missing.
    pub(crate) async fn on(database: Arc<D>) -> Self {
        Self::with(database, start_kv().await, Settings::default()).await
    }

    /// Another control plane beside this one, with connections of its own.
    pub(crate) async fn beside(&self) -> Self {
        Self::with(Arc::clone(&self.database), self.kv.clone(), Settings::default()).await
    }

    /// Loopback and private upstreams are refused, and there is no folder for files.
    pub(crate) async fn strict() -> Self {
        let settings = Settings { is_strict: true, ..Settings::default() };
        Self::with(Arc::new(D::create()), start_kv().await, settings).await
    }

    pub(crate) async fn without_kv() -> Self {
        // Bound and dropped: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let kv = format!("http://127.0.0.1:{port}");
        Self::with(Arc::new(D::create()), kv, Settings::default()).await
    }

    /// `/metrics` asks for this token.
    pub(crate) async fn with_metrics_token(token: &'static str) -> Self {
        let settings = Settings { metrics_token: Some(token), ..Settings::default() };
        Self::with(Arc::new(D::create()), start_kv().await, settings).await
    }

    async fn with(database: Arc<D>, kv: String, Settings { is_strict, metrics_token }: Settings) -> Self {
        let url = database.url();
        migrate::up(&url).await.unwrap();
        let metrics = Arc::new(Metrics::new(control_plane::clock::now()));
        let store = Store::connect(&url).await.unwrap().measured(metrics.database.clone());
        let (shutdown, stop) = tokio::sync::watch::channel(false);
        let files = TempDir::new().unwrap();
        let settings = PublisherSettings {
            deployment_id: "test".into(),
            kv_api_base: kv.parse().unwrap(),
            kv_namespace_id: "local".into(),
            cloudflare_api_token: None,
            signer: Arc::new(SnapshotSigner::new(&[1; 32])),
            heartbeat: Duration::from_mins(1),
            verifier: SnapshotVerifier::from(&SnapshotSigner::new(&[1; 32])),
            settle: Duration::from_secs(90),
            lease: Duration::from_secs(2),
            clock: control_plane::clock::now,
        };
        let (snapshot, _) =
            snapshot::start_measured(settings, store.clone(), metrics.publisher.clone(), stop);
        let tags = TagKeys::from(&ring(2));
        let vault = Arc::new(Vault { deployment_id: "test".into(), at_rest: ring(3), edge: ring(4) });
        let domain = Domain {
            store: store.clone(),
            snapshot: snapshot.clone(),
            vault,
            tags: tags.clone(),
            allow_private_upstreams: !is_strict,
            surroundings: Arc::new(Surroundings {
                file_dir: (!is_strict).then(|| files.path().to_owned()),
                allow_private: !is_strict,
            }),
        };
        domain.seed_providers(&Act::system(control_plane::clock::now())).await.unwrap();
        let log: Arc<dyn EventLog> = Arc::new(DatabaseLog::new(store.clone()));
        let router = router(&domain, metrics_token, &log, &metrics);
        Self { router, snapshot, domain, store, tags, log, metrics, files, shutdown, database, kv }
    }

    fn take_events_into(&mut self, log: Arc<dyn EventLog>) {
        self.router = router(&self.domain, None, &log, &self.metrics);
        self.log = log;
    }

    /// Ends the control plane and leaves its database.
    pub(crate) async fn stop(self) -> Arc<D> {
        drop(self.shutdown);
        self.store.close().await;
        self.database
    }

    /// A consumer of events, to be run by hand.
    pub(crate) fn consumer(&self) -> Consumer {
        let settings =
            ConsumerSettings { retention_days: 90, clock: control_plane::clock::now, duty: Duty::Count };
        let metrics = self.metrics.consumer(CONSUMER);
        Consumer::new(self.store.clone(), Arc::clone(&self.log), Arc::default(), settings, metrics)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, None)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(request(Method::POST, path, Some(body))).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(request(Method::PATCH, path, Some(body))).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(request(Method::PUT, path, Some(body))).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(request(Method::DELETE, path, None)).await
    }

    /// The id of a new project.
    pub(crate) async fn project(&self, name: &str) -> String {
        let answer = self.post("/manage/projects", json!({ "name": name })).await.ok(StatusCode::CREATED);
        answer["id"].as_str().unwrap().to_owned()
    }

    /// What was answered on the creation of a token with defaults.
    pub(crate) async fn token(&self, project: &str) -> Value {
        let body = json!({ "project_id": project, "name": "a token" });
        self.post("/manage/tokens", body).await.ok(StatusCode::CREATED)
    }

    /// The path of a new credential.
    pub(crate) async fn credential(&self, project: &str, provider: &str) -> String {
        let path = format!("/manage/projects/{project}/credentials");
        let body = json!({ "provider": provider, "label": "main", "api_key": API_KEY });
        let answer = self.post(&path, body).await.ok(StatusCode::CREATED);
        format!("{path}/{}", answer["id"].as_str().unwrap())
    }
}

fn router(
    domain: &Domain,
    metrics_token: Option<&str>,
    log: &Arc<dyn EventLog>,
    metrics: &Arc<Metrics>,
) -> Router {
    let tokens = [TOKEN, SECOND_TOKEN].map(|token| Secret::from(token.to_owned()));
    let metrics_tokens = metrics_token.map(|token| Secret::from(token.to_owned()));
    let access = Access {
        management: ManagementTokens::new(tokens.into()),
        metrics: MetricsTokens::new(metrics_tokens.into_iter().collect()),
        proxies: TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap()]),
    };
    let ingest = Ingest::new(ring(5), Arc::clone(log), Arc::default(), metrics.ingest.clone());
    api::router(domain.clone(), access, Arc::new(ingest), metrics)
}

impl Answer {
    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn ok(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// An error in the one shape, with this status and code; its message.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> String {
        assert_eq!(
            (self.status.as_u16(), self.body["error"]["code"].as_str()),
            (status, Some(code)),
            "{}",
            self.body
        );
        let request_id = self.headers["x-request-id"].to_str().unwrap();
        assert_eq!(self.body["error"]["request_id"], request_id);
        self.body["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn request(method: Method, path: &str, body: Option<Value>) -> Request<Body> {
    let peer: SocketAddr = "203.0.113.7:5555".parse().unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {TOKEN}"))
        .extension(ConnectInfo(peer));
    match body {
        None => request.body(Body::empty()).unwrap(),
        Some(body) => {
            request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
        }
    }
}

pub(crate) fn ring(byte: u8) -> KeyRing {
    KeyRing::from(Key::new([byte; 32]))
}

type Values = Arc<Mutex<HashMap<String, Bytes>>>;

async fn start_kv() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(kv).with_state(Values::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// As much of Cloudflare's API as the publisher of a small deployment calls.
async fn kv(State(values): State<Values>, method: Method, uri: Uri, body: Bytes) -> axum::response::Response {
    let path = uri.path().to_owned();
    let done = json!({ "success": true, "errors": [], "messages": [], "result": {} });
    let mut values = values.lock().unwrap();
    match method {
        Method::GET if path.ends_with("/keys") => {
            Json(json!({ "success": true, "errors": [], "messages": [], "result": [] })).into_response()
        }
        Method::GET if values.contains_key(&path) => values[&path].clone().into_response(),
        Method::GET => {
            let missing =
                json!({ "success": false, "errors": [{ "code": 10009, "message": "key not found" }] });
            (StatusCode::NOT_FOUND, Json(missing)).into_response()
        }
        _ => {
            values.insert(path, body);
            Json(done).into_response()
        }
    }
}
