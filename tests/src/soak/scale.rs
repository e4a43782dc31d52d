//! A whole system whose database holds a crowd, which the real publisher has
//! published: what the long tests of load begin with.

use super::edge::Edge;
use super::kill::Database;
use super::rig::Rig;
use crate::crowd::{Crowd, database};
use crate::edge::inside;
use crate::postgres::Postgres;
use crate::{fixture, keys};
use serde_json::Value;
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::signed::SnapshotVerifier;
use std::fmt;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Objects are named soon, and between two heartbeats it is quiet.
const VARIABLES: [(&str, &str); 2] = [("SNAPSHOT_SETTLE", "1"), ("SNAPSHOT_HEARTBEAT", "60")];
const LOOK: Duration = Duration::from_millis(100);
/// Of an isolate: what the platform allows is twice that.
pub const MAX_MEMORY: u64 = 64_000_000;

#[derive(Debug)]
pub struct Scale {
    pub crowd: Crowd,
    pub rig: Rig,
    /// One isolate, cold.
    pub edge: Edge,
    /// How long filling the database and publishing it took.
    pub began: (Duration, Duration),
    _folder: TempDir,
    _server: Option<Postgres>,
}

impl Scale {
    pub async fn start(database: Database, crowd: Crowd) -> Self {
        let folder = TempDir::new().unwrap();
        let (url, server) = match database {
            Database::Sqlite => {
                (format!("sqlite://{}?mode=rwc", folder.path().join("crowd.db").display()), None)
            }
            Database::Postgres => {
                let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap();
                (server.create_database(), Some(server))
            }
        };
        let started = Instant::now();
        database::fill(&url, &crowd, &fixture::upstream().await).await;
        let filled = started.elapsed();
        let rig = Rig::start(Some(&url), 1, &VARIABLES).await;
        let started = Instant::now();
        while manifest(&rig).is_none_or(|manifest| manifest.base.is_none()) {
            assert!(started.elapsed() < database::patience(&crowd), "no base is published");
            tokio::time::sleep(LOOK).await;
        }
        rig.until_published(0).await;
        let status = rig.must(0, reqwest::Method::GET, "/manage/snapshot", None).await;
        assert_eq!(status["tokens"], crowd.tokens, "{status}");
        let began = (filled, started.elapsed());
        let edge = Edge::start(&rig.kv);
        Self { crowd, rig, edge, began, _folder: folder, _server: server }
    }

    /// What is in KV at the moment.
    pub fn manifest(&self) -> Manifest {
        manifest(&self.rig).unwrap()
    }

    pub async fn memory(&self) -> Memory {
        let isolate = inside(self.edge.worker()).await;
        let resident = self.edge.worker().process().resident();
        Memory { resident, control_plane: self.rig.fleet.resident(0), isolate }
    }
}

/// Of the isolate, in its own words, of the process it is in, and of the control plane.
#[derive(Clone, Debug)]
pub struct Memory {
    pub resident: u64,
    pub control_plane: u64,
    isolate: Value,
}

impl Memory {
    /// The isolate's Wasm memory.
    pub fn bytes(&self) -> u64 {
        self.number("/memory_bytes")
    }

    pub fn number(&self, path: &str) -> u64 {
        let found = self.isolate.pointer(path).and_then(Value::as_u64);
        found.unwrap_or_else(|| panic!("no {path} in {}", self.isolate))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = |kind| self.number(&format!("/stats/objects/{kind}/count"));
        write!(
            f,
            "isolate {} MB ({} shards, {} slices, {} records), process {} MB, control plane {} MB",
            self.bytes() / 1_000_000,
            held("shards"),
            held("slices"),
            held("records"),
            self.resident / 1_000_000,
            self.control_plane / 1_000_000,
        )
    }
}

fn manifest(rig: &Rig) -> Option<Manifest> {
    let verifier = SnapshotVerifier::from(&keys::signer());
    Some(Manifest::decode(&rig.kv.raw(MANIFEST_KEY)?, &verifier).unwrap())
}
