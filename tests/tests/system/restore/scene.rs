//! A day in the life of a deployment: what there was at the backup, what was
//! done after it, and the way back.

use crate::traffic::Traffic;
use latchkey_tests::fixture::UPSTREAM_KEY;
use latchkey_tests::keys;
use latchkey_tests::postgres::Postgres;
use latchkey_tests::stack::{Setup, Stack};
use latchkey_tests::workerd::{Worker, Workerd};
use reqwest::Method;
use serde_json::{Value, json};
use shared::snapshot::index::Index;
use shared::snapshot::manifest::Manifest;
use shared::snapshot::signed::SnapshotVerifier;
use shared::snapshot::{MANIFEST_KEY, index_key, project_key, providers_key, shard_key};
use std::collections::BTreeSet;
use std::process::Command;

pub(super) enum Database {
    Sqlite,
    /// With the URL of a database of its own.
    Postgres(&'static Postgres, String),
}

pub(super) struct Scene {
    pub(super) stack: Stack,
    database: Database,
    /// Goes on with a token that nothing happens to.
    pub(super) traffic: Traffic,
    revoked_id: String,
    /// Revoked after the backup.
    pub(super) revoked: String,
    inactive_id: String,
    /// Of a project that is deactivated after the backup.
    of_inactive: String,
    /// Created after the backup.
    pub(super) lost: String,
    /// The same, of a project created after the backup.
    pub(super) of_new_project: String,
}

impl Database {
    pub(super) fn postgres() -> Self {
        let server = Postgres::shared();
        Self::Postgres(server, server.create_database())
    }
}

impl Scene {
    pub(super) async fn start(database: Database) -> Self {
        let stack = Stack::start_with(&variables(&database)).await;
        let (_, kept) = stack.token().await;
        let (revoked_id, revoked) = stack.token().await;
        let (inactive_id, of_inactive) = project(&stack, "inactive later").await;
        let traffic = Traffic::start(stack.edge.url("/v1/models"), kept);
        let (lost, of_new_project) = Default::default();
        let scene = Self {
            stack,
            database,
            traffic,
            revoked_id,
            revoked,
            inactive_id,
            of_inactive,
            lost,
            of_new_project,
        };
        // So that the backup has a base, whose objects will be gone.
        scene.latchkey(&["snapshot", "rebuild"]).await;
        scene.stack.until_settled().await;
        scene
    }

    pub(super) fn back_up(&self) {
        let folder = self.stack.folder.path();
        match &self.database {
            Database::Sqlite => {
                let copy = format!(
                    "import sqlite3; sqlite3.connect({:?}).execute('vacuum into ?', ({:?},))",
                    folder.join("latchkey.db").display(),
                    folder.join("backup.db").display()
                );
                let status = Command::new("python3").args(["-c", &copy]).status().unwrap();
                assert!(status.success());
            }
            Database::Postgres(server, url) => {
                server.run("pg_dump", &["--format=custom", "--file=backup.dump", url]);
            }
        }
    }

    /// Changes, compactions, and the deletion of what no manifest names any more.
    pub(super) async fn a_day_goes_by(&mut self) {
        let Self { stack, .. } = self;
        stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{}", self.revoked_id), None).await;
        let inactive = format!("/manage/projects/{}", self.inactive_id);
        stack.control_plane.patch(&inactive, json!({"is_active": false})).await;
        self.lost = stack.token().await.1;
        self.of_new_project = project(stack, "new").await.1;
        self.latchkey(&["snapshot", "rebuild"]).await;
        self.stack.until_settled().await;
        self.forget_old_objects();
        let edge = &self.stack.edge;
        let known = async || self.answers(edge).await == ["token_revoked", "project_inactive", "200", "200"];
        self.stack.until("what happened that day", known).await;
    }

    /// What the publisher does a day after an object is no longer named, and KV
    /// minutes after a token was announced.
    fn forget_old_objects(&self) {
        let kv = &self.stack.kv;
        let base = self.manifest().base.unwrap();
        let index = Index::from_bytes(kv.raw(&index_key(base.index)).unwrap()).unwrap();
        let mut named = BTreeSet::from([
            MANIFEST_KEY.to_owned(),
            index_key(base.index),
            providers_key(index.providers()),
        ]);
        named.extend(index.shards().map(|shard| shard_key(shard.hash)));
        named.extend(index.slices().map(|slice| project_key(slice.hash)));
        let old: Vec<String> = kv.keys("").into_iter().filter(|key| !named.contains(key)).collect();
        assert!(old.iter().any(|key| key.starts_with("index/")), "{old:?}");
        assert!(old.iter().any(|key| key.starts_with("shard/")), "{old:?}");
        for key in &old {
            kv.remove(key);
        }
    }

    pub(super) async fn stop(&mut self) {
        let process = self.stack.control_plane.process();
        process.signal("TERM");
        while process.child().try_wait().unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub(super) fn restore(&self) {
        let folder = self.stack.folder.path();
        match &self.database {
            Database::Sqlite => {
                for name in ["latchkey.db-wal", "latchkey.db-shm"] {
                    let _ = std::fs::remove_file(folder.join(name));
                }
                std::fs::copy(folder.join("backup.db"), folder.join("latchkey.db")).unwrap();
            }
            Database::Postgres(server, url) => {
                let name = url.rsplit('/').next().unwrap();
                server.run("dropdb", &[name]);
                server.run("createdb", &[name]);
                let into = format!("--dbname={url}");
                server.run("pg_restore", &["--exit-on-error", "--no-owner", &into, "backup.dump"]);
            }
        }
    }

    pub(super) fn start_again(&mut self) {
        self.stack.control_plane = self.setup().start();
    }

    /// A cold one.
    pub(super) fn isolate(&self) -> Workerd {
        let mut variables = keys::edge_variables();
        variables.push(("SNAPSHOT_REFRESH_MS", "1000".into()));
        Workerd::start(&Worker::edge(self.stack.kv.binding_address(), variables))
    }

    /// At `edge`, sooner or later: what was revoked is valid, what was made is unknown.
    pub(super) async fn is_as_it_was_yesterday(&self, edge: &Workerd) {
        let known = async || self.answers(edge).await == ["200", "200", "invalid_token", "invalid_token"];
        self.stack.until("the restored state", known).await;
    }

    async fn answers(&self, edge: &Workerd) -> Vec<String> {
        let mut answers = Vec::new();
        for token in [&self.revoked, &self.of_inactive, &self.lost, &self.of_new_project] {
            answers.push(self.ask(edge, token).await);
        }
        answers
    }

    /// The code of a refusal, or the status.
    pub(super) async fn ask(&self, edge: &Workerd, token: &str) -> String {
        let request = reqwest::Client::new().get(edge.url("/v1/models")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        match answer.headers().get("x-latchkey-error") {
            Some(code) => code.to_str().unwrap().to_owned(),
            None => answer.status().as_u16().to_string(),
        }
    }

    fn manifest(&self) -> Manifest {
        let verifier = SnapshotVerifier::from(&keys::signer());
        Manifest::decode(&self.stack.kv.raw(MANIFEST_KEY).unwrap(), &verifier).unwrap()
    }

    /// Replaces the manifest in KV by one from `ms` later; its version.
    pub(super) fn put_manifest_ahead(&self, ms: u64) -> u64 {
        let mut manifest = self.manifest();
        manifest.version += ms;
        manifest.created_at += ms;
        self.stack.kv.set_raw(MANIFEST_KEY, &manifest.encode(&keys::signer()).unwrap());
        manifest.version
    }

    pub(super) async fn version_at(&self, edge: &Workerd) -> Option<u64> {
        let health: Value = reqwest::get(edge.url("/healthz")).await.unwrap().json().await.unwrap();
        health["snapshot"]["version"].as_u64()
    }

    /// What is in KV is what the database says.
    pub(super) async fn verify_is_clean(&self) {
        self.stack.until_settled().await;
        let report: Value =
            serde_json::from_str(&self.latchkey(&["snapshot", "verify", "--json"]).await).unwrap();
        assert_eq!(report["problem_count"], 0, "{report}");
        assert!(report["tokens"].as_u64() > Some(0) && report["objects"].as_u64() > Some(1), "{report}");
    }

    /// What a command of `latchkey` prints, which must succeed.
    async fn latchkey(&self, arguments: &[&str]) -> String {
        let output = self.setup().run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn setup(&self) -> Setup {
        Setup::new(self.stack.folder.path(), &self.stack.kv, &variables(&self.database))
    }
}

fn variables(database: &Database) -> Vec<(&'static str, &str)> {
    let mut variables = vec![("SNAPSHOT_SETTLE", "1")];
    if let Database::Postgres(_, url) = database {
        variables.push(("DATABASE_URL", url));
    }
    variables
}

/// A new project's id and a token of it.
async fn project(stack: &Stack, name: &str) -> (String, String) {
    let control_plane = &stack.control_plane;
    let new = json!({"name": name, "default_provider": "example"});
    let id = control_plane.post("/manage/projects", new).await["id"].as_str().unwrap().to_owned();
    let credential = json!({"provider": "example", "label": name, "api_key": UPSTREAM_KEY});
    control_plane.post(&format!("/manage/projects/{id}/credentials"), credential).await;
    let new = json!({"project_id": id, "name": name, "expires_at": null});
    let token = control_plane.post("/manage/tokens", new).await["token"].as_str().unwrap().to_owned();
    (id, token)
}
