//! A system whose keys are rotated as `docs/operations.md` says, under traffic.

use crate::traffic::Traffic;
use latchkey_tests::keys;
use latchkey_tests::postgres::Postgres;
use latchkey_tests::stack::{Setup, Stack};
use latchkey_tests::workerd::{Worker, Workerd};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Output;

/// Keys by variable, the first of each first: what an operator keeps. Beside
/// them where the database is, if it is no file.
type Lists = BTreeMap<&'static str, Vec<String>>;

pub(super) struct Rig {
    pub(super) stack: Stack,
    traffic: Traffic,
    at_control_plane: Lists,
    at_edge: Lists,
}

impl Rig {
    pub(super) async fn start() -> Self {
        Self::start_over(None).await
    }

    pub(super) async fn start_on_postgresql() -> Self {
        Self::start_over(Some(Postgres::shared().create_database())).await
    }

    async fn start_over(database_url: Option<String>) -> Self {
        let variable: Vec<_> = database_url.iter().map(|url| ("DATABASE_URL", url.as_str())).collect();
        let stack = Stack::start_with(&variable).await;
        let (_, token) = stack.token().await;
        let traffic = Traffic::start(stack.edge.url("/v1/models"), token);
        let lists = |variables: Vec<(&'static str, String)>| {
            variables.into_iter().map(|(name, value)| (name, vec![value])).collect()
        };
        let mut at_control_plane: Lists = lists(keys::control_plane_variables());
        at_control_plane.extend(database_url.map(|url| ("DATABASE_URL", vec![url])));
        let at_edge = lists(keys::edge_variables());
        let rig = Self { stack, traffic, at_control_plane, at_edge };
        rig.still_works().await;
        rig
    }

    /// The one key of a variable, before anything is rotated.
    pub(super) fn only(&self, name: &str) -> String {
        let mut all = [&self.at_control_plane, &self.at_edge].into_iter().filter_map(|lists| lists.get(name));
        let keys = all.next().unwrap();
        assert_eq!(keys.len(), 1, "{name}");
        keys[0].clone()
    }

    /// `latchkey keygen <name>`: what it prints, by variable.
    pub(super) async fn keygen(&self, name: &str) -> BTreeMap<String, String> {
        let output = self.latchkey(&["keygen", name]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| line.split_once('=').unwrap())
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    /// Gives the control plane another list and restarts it, as a service manager does.
    pub(super) async fn control_plane(&mut self, name: &'static str, list: &[&String]) {
        self.reconfigure(name, list).await;
        self.still_works().await;
    }

    /// The same where the calls of the check would no longer be let in.
    pub(super) async fn reconfigure(&mut self, name: &'static str, list: &[&String]) {
        self.at_control_plane.insert(name, list.iter().map(ToString::to_string).collect());
        self.stop_control_plane().await;
        self.start_control_plane();
        self.traffic.flows().await;
    }

    pub(super) async fn stop_control_plane(&mut self) {
        let process = self.stack.control_plane.process();
        process.signal("TERM");
        while process.child().try_wait().unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    pub(super) fn start_control_plane(&mut self) {
        self.stack.control_plane = self.setup().start();
    }

    fn setup(&self) -> Setup {
        let variables = joined(&self.at_control_plane);
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Setup::new(self.stack.folder.path(), &self.stack.kv, &variables)
    }

    /// Deploys the worker with another list: new requests go to a new isolate,
    /// those in flight end on the old one.
    pub(super) async fn edge(&mut self, name: &'static str, list: &[&String]) {
        self.at_edge.insert(name, list.iter().map(ToString::to_string).collect());
        let new = self.isolate();
        self.traffic.go_to(new.url("/v1/models")).await;
        self.stack.edge = new;
        self.still_works().await;
    }

    /// A cold isolate, configured as the edge is now.
    pub(super) fn isolate(&self) -> Workerd {
        let mut variables = joined(&self.at_edge);
        variables.push(("SNAPSHOT_REFRESH_MS", "200".to_owned()));
        Workerd::start(&Worker::edge(self.stack.kv.binding_address(), variables))
    }

    /// A new token works at once and goes on working, a revocation is enforced,
    /// and no request of the traffic has failed.
    pub(super) async fn still_works(&self) {
        let (_, token) = self.stack.token().await;
        assert_eq!(self.stack.ask(&token).await, (200, None));
        self.traffic.add(token);
        let (id, revoked) = self.stack.token().await;
        assert_eq!(self.stack.ask(&revoked).await, (200, None));
        self.stack.control_plane.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
        let is_refused = async || self.stack.ask(&revoked).await.1.as_deref() == Some("token_revoked");
        self.stack.until("the revocation", is_refused).await;
        self.traffic.flows().await;
    }

    /// The traffic goes on with tokens made from now on.
    pub(super) async fn renew_tokens(&self) {
        let (_, token) = self.stack.token().await;
        self.traffic.only(token).await;
    }

    /// `latchkey`, configured as the control plane is now.
    pub(super) async fn latchkey(&self, arguments: &[&str]) -> Output {
        self.setup().run(arguments).await
    }

    /// How `latchkey keys status` judges each key of a kind, in its order: rank, count, verdict.
    pub(super) async fn standing(&self, name: &str) -> Vec<(String, u64, String)> {
        let output = self.latchkey(&["keys", "status", "--json"]).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let kind = status["keys"].as_array().unwrap().iter().find(|kind| kind["name"] == name).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let key =
            |key: &Value| (text(&key["rank"]), key["needed_by"].as_u64().unwrap(), text(&key["verdict"]));
        kind["keys"].as_array().unwrap().iter().map(key).collect()
    }

    pub(super) async fn reseal(&self) -> u64 {
        let output = self.latchkey(&["keys", "reseal", "--json"]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["resealed"].as_u64().unwrap()
    }

    /// Version of the snapshot that an isolate goes by.
    pub(super) async fn version_at(&self, edge: &Workerd) -> Option<u64> {
        let health: Value = reqwest::get(edge.url("/healthz")).await.unwrap().json().await.unwrap();
        health["snapshot"]["version"].as_u64()
    }
}

fn joined(lists: &Lists) -> Vec<(&'static str, String)> {
    lists.iter().map(|(name, keys)| (*name, keys.join(","))).collect()
}
