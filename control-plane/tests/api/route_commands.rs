//! `latchkey routes`, as people and programs run it.

use super::World;
use super::served::Served;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

struct Case {
    world: World,
    served: Served,
    folder: tempfile::TempDir,
    project: String,
}

impl Case {
    async fn start() -> Self {
        let world = World::without_kv().await;
        let served = Served::of(&world).await;
        let new = json!({ "name": "a" });
        let project = world.post("/manage/projects", new).await.ok(StatusCode::CREATED);
        let project = project["id"].as_str().unwrap().to_owned();
        Self { world, served, folder: tempfile::TempDir::new().unwrap(), project }
    }

    fn file(&self, route: &Value) -> String {
        let path = self.folder.path().join("route.json");
        std::fs::write(&path, route.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn of<'a>(&'a self, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["routes"], arguments, &["--project", &self.project]].concat()
    }

    async fn says(&self, arguments: &[&str]) -> String {
        self.served.says(&self.of(arguments)).await
    }

    async fn complains(&self, arguments: &[&str]) -> String {
        self.served.complains(&self.of(arguments)).await
    }

    async fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        self.served.objects(&self.of(&[arguments, &["--json"]].concat())).await
    }
}

#[tokio::test]
async fn routes_are_added_listed_shown_replaced_and_removed() {
    let case = Case::start().await;
    assert_eq!(case.says(&["list"]).await, "the project has no routes\n");
    let targets = json!([{ "provider": "openai", "model": "gpt-4o-mini" }, { "provider": "groq" }]);
    let fast = json!({ "name": "fast", "match": ["fast", "gpt-4o-mini*"], "targets": targets });
    let added = case.says(&["add", &case.file(&fast)]).await;
    assert!(added.contains("name       fast\n") && added.contains("position   1\n"), "{added}");

    // The next through standard input, before the first.
    let all = json!({ "name": "all", "position": 1, "match": ["*"], "strategy": "weighted",
        "targets": [{ "provider": "openai" }] });
    let mut command = case.served.latchkey(&case.of(&["add", "--json"]));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(all.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let added: Value = serde_json::from_slice(&output.stdout).unwrap();

    let table = "POSITION  NAME  MATCH               STRATEGY  TARGETS\n       1  all   *                   weighted  \
        openai\n       2  fast  fast, gpt-4o-mini*  priority  openai as gpt-4o-mini, groq\n";
    assert_eq!(case.says(&["list"]).await, table);
    let listed = case.objects(&["list"]).await;
    assert_eq!((listed.len(), &listed[0]), (2, &added));
    let id = listed[1]["id"].as_str().unwrap();
    assert_eq!(case.objects(&["show", id]).await, case.objects(&["show", "fast"]).await);

    let slow = json!({ "name": "slow", "match": ["slow"], "targets": [{ "provider": "groq" }] });
    case.says(&["set", "fast", &case.file(&slow)]).await;
    let [shown] = case.objects(&["show", "slow"]).await.try_into().unwrap();
    assert_eq!(
        (&shown["id"], &shown["position"], &shown["match"]),
        (&json!(id), &json!(2), &json!(["slow"]))
    );

    assert_eq!(case.says(&["remove", "all"]).await, "removed all\n");
    assert_eq!(case.objects(&["list"]).await[0]["position"], 1);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let case = Case::start().await;
    let nobody = json!({ "name": "a", "match": ["a"], "targets": [{ "provider": "nobody" }] });
    let complaint = case.complains(&["add", &case.file(&nobody)]).await;
    assert!(complaint.contains("targets[0].provider: there is no provider of this name"), "{complaint}");
    assert!(
        case.complains(&["add", "nowhere.json"]).await.contains("the route cannot be read from nowhere.json")
    );
    let complaint = case.complains(&["remove", "fast"]).await;
    assert!(complaint.contains("the project has no route `fast`"), "{complaint}");
}

/// What another version stored is listed too.
#[tokio::test]
async fn a_route_that_cannot_be_read_is_listed() {
    let case = Case::start().await;
    let fast = json!({ "name": "fast", "match": ["fast"], "targets": [{ "provider": "groq" }] });
    case.says(&["add", &case.file(&fast)]).await;
    let mut tx = case.world.store.write().await.unwrap();
    let damage = "update routes set definition = '{\"name\":\"fast\"}'";
    control_plane::store::sql::query(damage).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let list = case.says(&["list"]).await;
    assert!(list.ends_with("       1  fast  -      cannot be read  -\n"), "{list}");
}
