//! A database with projects, credentials and tokens, as control planes with
//! other keys left them.

use crate::database::Database;
use crate::kv::{KvServer, NAMESPACE};
use base64::{Engine, engine::general_purpose::STANDARD};
use control_plane::clock;
use control_plane::domain::credentials::NewCredential;
use control_plane::domain::projects::NewProject;
use control_plane::domain::rotation::{Pace, Resealed, reseal};
use control_plane::domain::sinks::NewSink;
use control_plane::domain::tokens::{Expiry, NewToken};
use control_plane::domain::{Act, Domain};
use control_plane::secret::Secret;
use control_plane::snapshot::PublisherSettings;
use control_plane::snapshot::by_hand::ByHand;
use control_plane::store::credentials::{self as table, CredentialRow};
use control_plane::store::sql::query;
use control_plane::store::{Store, migrate};
use control_plane::vault::{Place, Vault};
use serde_json::Value;
use shared::key::{Key, KeyId, KeyRing};
use shared::snapshot::signed::{SnapshotSigner, SnapshotVerifier};
use shared::token::TagKeys;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// The keys of one kind are named by a byte.
pub(crate) type Bytes<'a> = &'a [u8];

/// Room for everything.
pub(crate) const UNHURRIED: Pace = Pace { delta_bytes: u64::MAX, patience: Duration::ZERO };

pub(crate) struct World<D> {
    database: D,
    pub(crate) store: Store,
    pub(crate) kv: KvServer,
    pub(crate) publisher: ByHand,
}

impl<D: Database> World<D> {
    pub(crate) async fn start() -> Self {
        let database = D::create();
        migrate::up(&database.url()).await.unwrap();
        let store = Store::connect(&database.url()).await.unwrap();
        let kv = KvServer::start().await;
        let signer = SnapshotSigner::new(&[1; 32]);
        let settings = PublisherSettings {
            deployment_id: "default".into(),
            kv_api_base: kv.rest_base().parse().unwrap(),
            kv_namespace_id: NAMESPACE.into(),
            cloudflare_api_token: None,
            verifier: SnapshotVerifier::from(&signer),
            signer: Arc::new(signer),
            heartbeat: Duration::from_mins(1),
            settle: Duration::from_secs(90),
            lease: Duration::from_secs(10),
            clock: clock::now,
        };
        let publisher = ByHand::start(settings, store.clone()).await.unwrap();
        let world = Self { database, store, kv, publisher };
        world.domain(vault(&[3], &[4]), 2).seed_providers(&act()).await.unwrap();
        world
    }

    /// As a control plane with these keys.
    pub(crate) fn domain(&self, vault: Vault, tag: u8) -> Domain {
        Domain {
            store: self.store.clone(),
            snapshot: self.publisher.handle(),
            vault: Arc::new(vault),
            tags: TagKeys::from(&ring(&[tag])),
            allow_private_upstreams: true,
            surroundings: Arc::default(),
        }
    }

    pub(crate) async fn reseal(&self, vault: &Vault) -> Resealed {
        reseal(&self.store, vault, UNHURRIED, clock::now, &mut |_, _| {}).await.unwrap()
    }

    /// In the order in which they were made.
    pub(crate) async fn all(&self) -> Vec<CredentialRow> {
        let mut tx = self.store.read().await.unwrap();
        let ids: Vec<(Uuid, Uuid)> =
            query("select project_id, id from credentials order by id").fetch_all(&mut tx).await.unwrap();
        let mut rows = Vec::new();
        for (project_id, id) in ids {
            rows.push(table::get(&mut tx, project_id, id).await.unwrap().unwrap());
        }
        rows
    }

    /// Nothing waits to be published.
    pub(crate) async fn forget_outbox(&self) {
        let mut tx = self.store.write().await.unwrap();
        query("delete from outbox").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn changed_projects(&self) -> Vec<Uuid> {
        let mut tx = self.store.read().await.unwrap();
        let text = "select distinct project_id from outbox where project_id is not null order by 1";
        query(text).scalars(&mut tx).await.unwrap()
    }

    /// `latchkey` with these keys in its environment.
    pub(crate) fn latchkey(&self, arguments: &[&str], at_rest: Bytes<'_>, edge: Bytes<'_>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latchkey"));
        command.args(arguments).env_clear().env("DATABASE_URL", self.database.url());
        command.env("KV_API_BASE", self.kv.rest_base()).env("KV_NAMESPACE_ID", NAMESPACE);
        command.env("MANAGEMENT_TOKEN", "management-token-of-the-tests-0123456789");
        command.env("ENCRYPTION_KEY", list(at_rest)).env("EDGE_CREDENTIAL_KEY", list(edge));
        command.env("SNAPSHOT_SIGNING_KEY", list(&[1])).env("TOKEN_TAG_KEY", list(&[2]));
        command.env("EDGE_INGEST_KEY", list(&[5]));
        command
    }
}

/// No two at one time, so that ids are in the order in which they were made.
pub(crate) fn act() -> Act {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = clock::now();
    let next = |last: u64| Some(now.max(last + 1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap();
    Act::system(now.max(last + 1))
}

pub(crate) async fn project(domain: &Domain, name: &str) -> Uuid {
    let new = NewProject {
        name: name.to_owned(),
        default_provider: None,
        on_stale: None,
        max_snapshot_age: None,
        stream_usage: None,
        capture: None,
        policy: None,
    };
    domain.create_project(&act(), new).await.unwrap().id
}

pub(crate) async fn credential(domain: &Domain, project_id: Uuid, api_key: &str) -> Uuid {
    let new = NewCredential {
        provider: "openai".into(),
        label: String::new(),
        api_key: Secret::from(api_key.to_owned()),
        weight: 1,
        priority: 0,
    };
    domain.create_credential(&act(), project_id, new).await.unwrap().id
}

/// A webhook with the byte's key as its secret.
pub(crate) async fn sink(domain: &Domain, name: &str, byte: u8) -> Uuid {
    let settings = serde_json::json!({ "url": "https://hooks.example.com" });
    let new = NewSink {
        name: name.into(),
        kind: "webhook".into(),
        settings: serde_json::from_value(settings).unwrap(),
        secret: Some(Secret::from(list(&[byte]))),
        is_active: true,
        batch_size: None,
        timeout_seconds: 30,
    };
    domain.create_sink(&act(), new).await.unwrap().id
}

pub(crate) async fn token(domain: &Domain, project_id: Uuid, expiry: Expiry) -> Uuid {
    let new = NewToken { project_id, name: "t".into(), expiry, metadata: None, policy: None };
    domain.create_token(&act(), new).await.unwrap().token.id
}

pub(crate) fn vault(at_rest: Bytes<'_>, edge: Bytes<'_>) -> Vault {
    Vault { deployment_id: "default".into(), at_rest: ring(at_rest), edge: ring(edge) }
}

/// What is sealed in `row`, as a control plane and a worker with these keys alone read it.
pub(crate) fn secrets(row: &CredentialRow, at_rest: u8, edge: u8) -> [Option<String>; 2] {
    let place = Place {
        project_id: row.project_id,
        credential_id: row.id,
        provider: &row.provider,
        origin: &row.origin,
    };
    // The two seals have one form.
    let open = |text, key| vault(&[key], &[key]).open(text, place).ok().map(|secret| secret.to_string());
    [open(&row.encrypted, at_rest), open(&row.sealed, edge)]
}

fn ring(bytes: Bytes<'_>) -> KeyRing {
    KeyRing::from_base64_list(&list(bytes)).unwrap()
}

pub(crate) fn list(bytes: Bytes<'_>) -> String {
    bytes.iter().map(|byte| STANDARD.encode([*byte; 32])).collect::<Vec<_>>().join(",")
}

pub(crate) fn id(byte: u8) -> String {
    Key::new([byte; 32]).id().to_string()
}

pub(crate) fn signing_id(byte: u8) -> String {
    KeyId::of(&SnapshotSigner::new(&[byte; 32]).verifying_key()).to_string()
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Of a command that ended well.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(output));
    serde_json::from_slice(&output.stdout).unwrap()
}
