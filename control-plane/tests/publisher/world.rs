//! A database, a KV in this process, and how an edge would read it.

use crate::database::{Database, Postgres, Sqlite};
use crate::kv::{KvServer, NAMESPACE};
use crate::postgres_server::Postgres as Server;
use base64::{Engine, engine::general_purpose::STANDARD};
use control_plane::clock;
use control_plane::snapshot::{PublisherSettings, Report, SnapshotHandle, Status, start, verify};
use control_plane::store::sql::query;
use control_plane::store::{Store, Tx, migrate, outbox};
use sha2::{Digest, Sha256};
use shared::id::{self, UnixMs};
use shared::provider::{Api, Auth, Provider, Timeouts};
use shared::snapshot::config::{self, Project, ProjectSlice, Providers};
use shared::snapshot::index::Index;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::record::TokenRecord;
use shared::snapshot::shard::Shard;
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use shared::snapshot::{MANIFEST_KEY, index_key, project_key, providers_key, shard_key};
use sqlx::{Connection as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const API_TOKEN: &str = "cloudflare-api-token";

pub(crate) struct World<D> {
    pub(crate) kv: Arc<KvServer>,
    pub(crate) store: Store,
    pub(crate) project: Uuid,
    database: Arc<D>,
    settle: Duration,
    heartbeat: Duration,
    pub(crate) lease: Duration,
}

/// A publisher that runs; dropped without [`stop`](Running::stop) it dies on
/// the spot, as a killed process does.
pub(crate) struct Running {
    pub(crate) handle: SnapshotHandle,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn stop(mut self) {
        self.stop.send(true).unwrap();
        (&mut self.task).await.unwrap();
    }

    pub(crate) async fn status(&self) -> Status {
        self.handle.status().await.unwrap()
    }

    pub(crate) async fn caught_up(&self) {
        eventually("everything is published", async || self.status().await.pending == 0).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn signer() -> SnapshotSigner {
    SnapshotSigner::new(&[1; 32])
}

/// Unique, and in order, within this process.
fn new_id() -> Uuid {
    id_of(clock::now())
}

fn id_of(issued_at: UnixMs) -> Uuid {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id::new(issued_at, &random)
}

impl<D: Copied> World<D> {
    /// With one provider and one project, not published.
    pub(crate) async fn new() -> Self {
        let database = Arc::new(D::create());
        let store = open(&database.url()).await;
        let kv = Arc::new(KvServer::start().await);
        let settle = Duration::from_secs(90);
        let heartbeat = Duration::from_mins(1);
        let world =
            Self { kv, store, project: new_id(), database, settle, heartbeat, lease: Duration::from_secs(5) };
        world.seed().await;
        world
    }

    pub(crate) fn settle(mut self, settle: Duration) -> Self {
        self.settle = settle;
        self
    }

    pub(crate) fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.heartbeat = heartbeat;
        self
    }

    pub(crate) fn settings(&self) -> PublisherSettings {
        PublisherSettings {
            deployment_id: "default".into(),
            kv_api_base: self.kv.rest_base().parse().unwrap(),
            kv_namespace_id: NAMESPACE.into(),
            cloudflare_api_token: Some(API_TOKEN.to_owned().into()),
            signer: Arc::new(signer()),
            verifier: SnapshotVerifier::from(&signer()),
            heartbeat: self.heartbeat,
            settle: self.settle,
            lease: self.lease,
            clock: clock::now,
        }
    }

    pub(crate) fn start(&self) -> Running {
        self.start_with(self.settings())
    }

    pub(crate) fn start_with(&self, settings: PublisherSettings) -> Running {
        let (stop, stopped) = watch::channel(false);
        let (handle, task) = start(settings, self.store.clone(), stopped);
        Running { handle, stop, task }
    }

    /// The same KV beside a copy of the database as it is now.
    pub(crate) async fn copy(&self) -> Self {
        let database = Arc::new(self.database.copy().await);
        self.beside(database).await
    }

    /// Another control plane over the same database and KV.
    pub(crate) async fn another(&self) -> Self {
        self.beside(Arc::clone(&self.database)).await
    }

    async fn beside(&self, database: Arc<D>) -> Self {
        let store = open(&database.url()).await;
        let Self { kv, project, settle, heartbeat, lease, .. } = self;
        let (kv, project, settle, heartbeat, lease) = (Arc::clone(kv), *project, *settle, *heartbeat, *lease);
        Self { kv, store, project, database, settle, heartbeat, lease }
    }

    async fn seed(&self) {
        let provider = Provider {
            name: "openai".into(),
            base_url: "https://api.openai.com".into(),
            auth: Auth { header: "authorization".into(), prefix: "Bearer ".into() },
            api: Api::OpenAi,
            allowed_endpoints: vec![],
            default_headers: [].into(),
            allowed_headers: vec![],
            timeouts: Timeouts::default(),
            policy: None,
        };
        let mut tx = self.store.write().await.unwrap();
        query("insert into providers (name, definition, is_built_in, created_at, updated_at) values ('openai', $1, true, 0, 0)")
            .bind(serde_json::to_string(&provider).unwrap())
            .execute(&mut tx)
            .await
            .unwrap();
        insert_project(&mut tx, self.project, 1, 0).await;
        query("insert into credentials (id, project_id, provider, label, hint, weight, priority, is_active, encrypted, sealed, origin, created_at, updated_at) values ($1, $2, 'openai', '', '1234', 1, 0, true, 'e', 'v1.s', 'https://api.openai.com', 0, 0)")
            .bind(new_id())
            .bind(self.project)
            .execute(&mut tx)
            .await
            .unwrap();
        outbox::project_changed(&mut tx, self.project, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Commits `count` tokens with their outbox rows, and wakes nobody.
    pub(crate) async fn create_tokens(&self, count: usize) -> Vec<Uuid> {
        let ids: Vec<Uuid> = (0..count).map(|_| new_id()).collect();
        let mut tx = self.store.write().await.unwrap();
        for id in &ids {
            insert_token(&mut tx, *id, self.project).await;
        }
        tx.commit().await.unwrap();
        ids
    }

    /// A token of another project, all of whose tokens issued before
    /// `valid_from` are revoked.
    pub(crate) async fn create_elsewhere(&self, number: i64, issued_at: UnixMs, valid_from: UnixMs) -> Uuid {
        let (project, token) = (new_id(), id_of(issued_at));
        let mut tx = self.store.write().await.unwrap();
        insert_project(&mut tx, project, number, valid_from.cast_signed()).await;
        insert_token(&mut tx, token, project).await;
        tx.commit().await.unwrap();
        token
    }

    pub(crate) async fn create_token(&self) -> Uuid {
        self.create_tokens(1).await[0]
    }

    pub(crate) async fn revoke(&self, token: Uuid) {
        let mut tx = self.store.write().await.unwrap();
        query("update tokens set revoked_at = 1 where id = $1").bind(token).execute(&mut tx).await.unwrap();
        outbox::token_changed(&mut tx, token, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// A policy that tokens of the world's project may need until then, with its outbox row.
    pub(crate) async fn profile(&self, number: i64, policy: &str, used_until: u64) -> Uuid {
        let id = new_id();
        let mut tx = self.store.write().await.unwrap();
        query("insert into profiles (id, project_id, number, policy, hash, used_until, created_at) values ($1, $2, $3, $4, $5, $6, 0)")
            .bind(id)
            .bind(self.project)
            .bind(number)
            .bind(policy)
            .bind(Sha256::digest(id).as_slice())
            .bind(i64::try_from(used_until).unwrap_or(i64::MAX))
            .execute(&mut tx)
            .await
            .unwrap();
        outbox::project_changed(&mut tx, self.project, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn limit(&self, token: Uuid, profile: Uuid) {
        let mut tx = self.store.write().await.unwrap();
        query("update tokens set profile_id = $2 where id = $1")
            .bind(token)
            .bind(profile)
            .execute(&mut tx)
            .await
            .unwrap();
        outbox::token_changed(&mut tx, token, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn set_active(&self, is_active: bool) {
        let mut tx = self.store.write().await.unwrap();
        query("update projects set is_active = $1").bind(is_active).execute(&mut tx).await.unwrap();
        outbox::project_changed(&mut tx, self.project, clock::now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) fn manifest(&self) -> Option<Manifest> {
        let object = self.kv.raw(MANIFEST_KEY)?;
        Some(Manifest::decode(&object, &SnapshotVerifier::from(&signer())).unwrap())
    }

    /// The index that the manifest names, if it names one.
    pub(crate) fn index(&self) -> Option<Index> {
        let object = self.kv.raw(&index_key(self.manifest()?.base?.index)).expect("an index that is named");
        Some(Index::from_bytes(object).unwrap())
    }

    /// The record an edge would find: the delta first, then the base.
    pub(crate) fn token(&self, id: Uuid) -> Option<TokenRecord> {
        self.manifest()?.delta.token(id).or_else(|| {
            let object = self.kv.raw(&shard_key(self.index()?.shard_of(id)?)).expect("a shard that is named");
            Shard::from_bytes(object).unwrap().find(id)
        })
    }

    /// All records that an edge would find.
    pub(crate) fn records(&self) -> BTreeMap<Uuid, TokenRecord> {
        let shards = self.index().map(|index| index.shards().collect::<Vec<_>>()).unwrap_or_default();
        let base = shards.into_iter().flat_map(|shard| {
            let object = self.kv.raw(&shard_key(shard.hash)).expect("a shard that is named");
            Shard::from_bytes(object).unwrap().iter().collect::<Vec<_>>()
        });
        let delta = self.manifest().map(|manifest| manifest.delta.tokens.iter().collect::<Vec<_>>());
        base.chain(delta.unwrap_or_default()).map(|record| (record.id(), record)).collect()
    }

    /// Whether an edge would find all of these.
    pub(crate) fn has_all(&self, tokens: &[Uuid]) -> bool {
        let records = self.records();
        tokens.iter().all(|token| records.contains_key(token))
    }

    /// The world's project, as an edge would find it.
    pub(crate) fn project(&self) -> Option<Project> {
        self.manifest()?.delta.project(1).cloned().or_else(|| {
            let object =
                self.kv.raw(&project_key(self.index()?.slice_of(1)?)).expect("a slice that is named");
            config::decode::<ProjectSlice>(&object).unwrap().find(1).cloned()
        })
    }

    pub(crate) fn providers(&self) -> Option<Providers> {
        self.manifest()?.delta.providers.or_else(|| {
            let object =
                self.kv.raw(&providers_key(self.index()?.providers())).expect("providers that are named");
            Some(config::decode(&object).unwrap())
        })
    }

    /// The keys of all objects that the manifest names.
    pub(crate) fn named(&self) -> BTreeSet<String> {
        let Some(base) = self.manifest().and_then(|manifest| manifest.base) else { return BTreeSet::new() };
        let Some(index) = self.kv.raw(&index_key(base.index)) else { return [index_key(base.index)].into() };
        let index = Index::from_bytes(index).unwrap();
        let shards = index.shards().map(|shard| shard_key(shard.hash));
        let slices = index.slices().map(|slice| project_key(slice.hash));
        shards.chain(slices).chain([providers_key(index.providers()), index_key(base.index)]).collect()
    }

    /// Every object that the manifest names is there.
    pub(crate) fn is_whole(&self) -> bool {
        self.manifest().is_some() && self.named().iter().all(|key| self.kv.raw(key).is_some())
    }

    /// `latchkey` over the same database and KV.
    pub(crate) fn latchkey(&self, arguments: &[&str]) -> Command {
        let key = |byte: u8| STANDARD.encode([byte; 32]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.args(arguments).env_clear().env("DATABASE_URL", self.database.url());
        command.env("KV_API_BASE", self.kv.rest_base()).env("KV_NAMESPACE_ID", NAMESPACE);
        command.env("MANAGEMENT_TOKEN", "management-token-of-the-tests-0123456789");
        command.env("SNAPSHOT_SIGNING_KEY", key(1)).env("TOKEN_TAG_KEY", key(2));
        command.env("ENCRYPTION_KEY", key(3)).env("EDGE_CREDENTIAL_KEY", key(4));
        command.env("EDGE_INGEST_KEY", key(5));
        command
    }

    /// What `latchkey snapshot verify` says.
    pub(crate) async fn verify(&self) -> Report {
        verify(&self.settings(), &self.store, &mut |_, _| ()).await.unwrap()
    }
}

/// A database that can be copied while it is used, as a backup does.
pub(crate) trait Copied: Database {
    async fn copy(&self) -> Self;
}

impl Copied for Sqlite {
    async fn copy(&self) -> Self {
        let copy = Self::create();
        let mut connection = SqliteConnection::connect(&self.url()).await.unwrap();
        let url = copy.url();
        let path = url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
        sqlx::query("vacuum into $1").bind(path).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        copy
    }
}

impl Copied for Postgres {
    async fn copy(&self) -> Self {
        let copy = Self::create();
        let file = format!("{}.dump", new_id());
        Server::shared().run("pg_dump", &["-Fc", "-f", &file, "-d", &self.url()]);
        Server::shared().run("pg_restore", &["-d", &copy.url(), &file]);
        copy
    }
}

async fn insert_project(tx: &mut Tx, id: Uuid, number: i64, valid_from: i64) {
    query("insert into projects (id, number, name, default_provider, is_active, tokens_valid_from, on_stale, max_snapshot_age, created_at, updated_at) values ($1, $2, $3, 'openai', true, $4, 'serve', 86400, 0, 0)")
        .bind(id)
        .bind(number)
        .bind(format!("project {number}"))
        .bind(valid_from)
        .execute(tx)
        .await
        .unwrap();
}

/// With a secret hash of its own.
async fn insert_token(tx: &mut Tx, id: Uuid, project: Uuid) {
    query("insert into tokens (id, project_id, name, secret_hash, created_at) values ($1, $2, '', $3, $4)")
        .bind(id)
        .bind(project)
        .bind(Sha256::digest(id).as_slice())
        .bind(id::issued_at(id).unwrap().cast_signed())
        .execute(tx)
        .await
        .unwrap();
    outbox::token_changed(tx, id, clock::now()).await.unwrap();
}

async fn open(url: &str) -> Store {
    migrate::up(url).await.unwrap();
    Store::connect(url).await.unwrap()
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("within 20 s: {what}");
}
