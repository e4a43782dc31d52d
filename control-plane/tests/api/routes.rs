//! Routes of a project, stored in their order and told to the edge.

use super::World;
use axum::http::StatusCode;
use control_plane::clock;
use control_plane::store::snapshot::contents;
use control_plane::store::sql::query;
use serde_json::{Value, json};
use shared::route::Route;
use shared::snapshot::config::{self, CarriedRoute, Project};
use uuid::Uuid;

fn route(name: &str) -> Value {
    json!({ "name": name, "match": [name, "gpt-4o*"], "targets": [{ "provider": "openai" }, { "provider": "groq" }] })
}

fn with(name: &str, changes: &Value) -> Value {
    let mut body = route(name);
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body
}

struct Case {
    world: World,
    project: String,
    /// Of its routes.
    path: String,
}

impl Case {
    async fn start() -> Self {
        let world = World::without_kv().await;
        let project = world.project("a").await;
        let path = format!("/manage/projects/{project}/routes");
        Self { world, project, path }
    }

    /// The path of a new route.
    async fn add(&self, body: Value) -> String {
        let made = self.world.post(&self.path, body).await.ok(StatusCode::CREATED);
        format!("{}/{}", self.path, made["id"].as_str().unwrap())
    }

    /// The names of the routes in their order, as the API shows and the edge is told it.
    async fn names(&self) -> Vec<String> {
        let list = self.world.get(&format!("{}?limit=100", self.path)).await.ok(StatusCode::OK);
        let shown = list["data"].as_array().unwrap();
        let positions: Vec<u64> = shown.iter().map(|route| route["position"].as_u64().unwrap()).collect();
        assert_eq!(positions, (1..=shown.len() as u64).collect::<Vec<_>>());
        let names: Vec<String> =
            shown.iter().map(|route| route["name"].as_str().unwrap().to_owned()).collect();
        let told = self.told().await;
        let told = told.routes.iter().map(|route| match route {
            CarriedRoute::Route(route) => route.name.clone(),
            CarriedRoute::Unreadable(_) => "?".to_owned(),
        });
        assert_eq!(told.collect::<Vec<_>>(), names);
        names
    }

    async fn told(&self) -> Project {
        let id: Uuid = self.project.parse().unwrap();
        let mut tx = self.world.store.read().await.unwrap();
        let page = contents::project_page(&mut tx, -1, i64::MAX, 100, clock::now()).await.unwrap();
        let told = page.into_iter().find(|each| each.id == id).unwrap();
        assert_eq!(contents::project(&mut tx, id).await.unwrap().as_ref(), Some(&told));
        let changed = contents::changed_projects(&mut tx, 0, clock::now()).await.unwrap();
        assert!(changed.contains(&told));
        assert_eq!(config::decode::<Project>(&config::encode(&told).unwrap()).unwrap(), told);
        told
    }

    async fn mentions(&self) -> i64 {
        let id: Uuid = self.project.parse().unwrap();
        let mut tx = self.world.store.read().await.unwrap();
        query("select count(*) from outbox where project_id = $1").bind(id).scalar(&mut tx).await.unwrap()
    }
}

#[tokio::test]
async fn all_there_is_to_say_is_stored_shown_and_told() {
    let case = Case::start().await;
    let body = json!({
        "name": "fast", "match": ["fast", "gpt-4o-mini*"], "strategy": "weighted", "resume": "off",
        "targets": [
            { "provider": "openai", "model": "gpt-4o-mini", "weight": 3, "priority": 0, "larger_context": false },
            { "provider": "groq", "model": "llama-3.3-70b", "weight": 1, "priority": 1, "larger_context": true },
        ],
        "retry": { "attempts": 2, "budget_ms": 0, "after_reset": false },
        "timeouts": { "first_byte_ms": 1, "first_token_ms": 2, "idle_ms": 3, "total_ms": 4 },
    });
    let path = case.add(body.clone()).await;
    let shown = case.world.get(&path).await.ok(StatusCode::OK);
    for (field, value) in body.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    let expected: Route = serde_json::from_value(body).unwrap();
    assert_eq!(case.told().await.routes, [CarriedRoute::Route(expected)]);

    // What is left out has its default; a PUT replaces the whole.
    let put = case.world.put(&path, route("fast")).await.ok(StatusCode::OK);
    assert_eq!(
        put["targets"][0],
        json!({ "provider": "openai", "model": null, "weight": 1, "priority": 0, "larger_context": false })
    );
    assert_eq!((&put["strategy"], &put["resume"]), (&json!("priority"), &json!("off")));
    assert_eq!(put["retry"], json!({ "attempts": 3, "budget_ms": 20_000, "after_reset": true }));
    assert_eq!(put["timeouts"]["total_ms"], Value::Null);
    assert_eq!((&put["id"], &put["created_at"]), (&shown["id"], &shown["created_at"]));
    let expected: Route = serde_json::from_value(route("fast")).unwrap();
    assert_eq!(case.told().await.routes, [CarriedRoute::Route(expected)]);

    let audit = case.world.get("/manage/audit?action=route.update").await.ok(StatusCode::OK);
    let record = &audit["data"][0];
    assert_eq!(
        (&record["before"]["route"]["strategy"], &record["after"]["route"]["strategy"]),
        (&json!("weighted"), &json!("priority"))
    );
    assert_eq!(record["project_id"], case.project);
}

#[tokio::test]
async fn to_resume_takes_another_attempt() {
    let case = Case::start().await;
    let once = json!({ "resume": "verified", "retry": { "attempts": 1 } });
    let answer = case.world.post(&case.path, with("a", &once)).await;
    assert!(answer.error(422, "invalid_route").contains("resume"));
    assert!(case.names().await.is_empty());
    let made = case.world.post(&case.path, with("a", &json!({ "resume": "verified" }))).await;
    assert_eq!(made.ok(StatusCode::CREATED)["resume"], "verified");
}

#[tokio::test]
async fn they_keep_their_order() {
    let case = Case::start().await;
    let world = &case.world;
    for name in ["a", "b", "c"] {
        case.add(route(name)).await;
    }
    assert_eq!(case.names().await, ["a", "b", "c"]);
    let first = case.add(with("first", &json!({ "position": 1 }))).await;
    case.add(with("third", &json!({ "position": 3 }))).await;
    case.add(with("last", &json!({ "position": 6 }))).await;
    assert_eq!(case.names().await, ["first", "a", "third", "b", "c", "last"]);

    // One that is replaced stays, or goes where it is put, forward and back.
    world.put(&first, route("one")).await.ok(StatusCode::OK);
    assert_eq!(case.names().await[0], "one");
    let moved = async |position: i64| {
        world.put(&first, with("one", &json!({ "position": position }))).await.ok(StatusCode::OK);
        case.names().await
    };
    assert_eq!(moved(4).await, ["a", "third", "b", "one", "c", "last"]);
    assert_eq!(moved(6).await, ["a", "third", "b", "c", "last", "one"]);
    assert_eq!(moved(2).await, ["a", "one", "third", "b", "c", "last"]);
    assert_eq!(moved(2).await, ["a", "one", "third", "b", "c", "last"]);
    world.delete(&first).await.ok(StatusCode::NO_CONTENT);
    assert_eq!(case.names().await, ["a", "third", "b", "c", "last"]);
    for position in [-1, 0, 6] {
        let put =
            format!("{}/{}", case.path, world.get(&case.path).await.body["data"][0]["id"].as_str().unwrap());
        let message =
            world.put(&put, with("a", &json!({ "position": position }))).await.error(422, "invalid_route");
        assert_eq!(message, "position: must be from 1 to 5");
    }
    let page = world.get(&format!("{}?limit=2", case.path)).await.ok(StatusCode::OK);
    let next = format!("{}?limit=2&cursor={}", case.path, page["next_cursor"].as_str().unwrap());
    assert_eq!(world.get(&next).await.ok(StatusCode::OK)["data"][0]["name"], "b");
    for query in ["cursor=AAAA", "limit=0", "page=1"] {
        world.get(&format!("{}?{query}", case.path)).await.error(400, "invalid_request");
    }
}

#[tokio::test]
async fn each_change_is_told_and_what_changes_nothing_is_not() {
    let case = Case::start().await;
    let path = case.add(route("a")).await;
    assert_eq!(case.mentions().await, 2);
    case.world.put(&path, with("a", &json!({ "position": 1 }))).await.ok(StatusCode::OK);
    assert_eq!(case.mentions().await, 2);
    case.world.put(&path, with("a", &json!({ "strategy": "weighted" }))).await.ok(StatusCode::OK);
    assert_eq!(case.mentions().await, 3);
    case.world.delete(&path).await.ok(StatusCode::NO_CONTENT);
    assert_eq!(case.mentions().await, 4);
    let actions = ["route.create", "route.update", "route.delete"];
    for action in actions {
        let audit = case.world.get(&format!("/manage/audit?action={action}")).await.ok(StatusCode::OK);
        assert_eq!(audit["data"].as_array().unwrap().len(), 1, "{action}");
    }
}

#[tokio::test]
async fn bad_ones_are_refused_with_their_field_named() {
    let case = Case::start().await;
    let path = case.add(route("a")).await;
    for (changes, start) in [
        (json!({ "name": "" }), "name: "),
        (json!({ "match": [] }), "match: "),
        (json!({ "targets": [] }), "targets: "),
        (json!({ "targets": [{ "provider": "openai", "weight": 0 }] }), "targets[0].weight: "),
        (json!({ "targets": [{ "provider": "openai" }, { "provider": "openai" }] }), "targets[1]: "),
        (
            json!({ "targets": [{ "provider": "openai" }, { "provider": "nobody" }] }),
            "targets[1].provider: there is no",
        ),
        (json!({ "targets": [{ "provider": "open\u{0}ai" }] }), "targets[0].provider: there is no"),
        (
            json!({ "targets": [{ "provider": "openai" }, { "provider": "anthropic" }] }),
            "targets[1].provider: speaks another",
        ),
        (json!({ "retry": { "attempts": 11 } }), "retry.attempts: "),
        (json!({ "timeouts": { "idle_ms": 0 } }), "timeouts.idle_ms: "),
        (json!({ "position": 3 }), "position: "),
    ] {
        for answer in [
            case.world.post(&case.path, with("b", &changes)).await,
            case.world.put(&path, with("b", &changes)).await,
        ] {
            let message = answer.error(422, "invalid_route");
            assert!(message.starts_with(start), "{changes}: {message}");
        }
    }
    for (changes, start) in [
        (json!({ "strategy": "best" }), "strategy: "),
        (json!({ "targets": [{ "provider": "openai", "weight": -1 }] }), "targets[0].weight: "),
        (json!({ "retry": { "after": 1 } }), "retry.after: unknown field"),
        (json!({ "models": ["a"] }), "models: unknown field"),
        (json!({ "position": null }), "position: "),
    ] {
        let message = case.world.post(&case.path, with("b", &changes)).await.error(400, "invalid_request");
        assert!(message.starts_with(start), "{changes}: {message}");
    }
    case.world.post(&case.path, route("a")).await.error(409, "conflict");
    let other = case.add(route("b")).await;
    let message = case.world.put(&other, route("a")).await.error(409, "conflict");
    assert!(message.contains("`a`"), "{message}");
    assert_eq!(case.names().await, ["a", "b"]);
    // Another project's are not here, and have names of their own.
    let elsewhere = format!("/manage/projects/{}/routes", case.world.project("b").await);
    case.world.post(&elsewhere, route("a")).await.ok(StatusCode::CREATED);
    let foreign = format!("{elsewhere}/{}", other.rsplit('/').next().unwrap());
    case.world.get(&foreign).await.error(404, "not_found");
    case.world.put(&foreign, route("c")).await.error(404, "not_found");
    case.world.delete(&foreign).await.error(404, "not_found");
    let nowhere = format!("/manage/projects/{}/routes", Uuid::nil());
    case.world.get(&nowhere).await.error(404, "not_found");
    case.world.post(&nowhere, route("a")).await.error(404, "not_found");
}

#[tokio::test]
async fn a_project_has_at_most_100() {
    let case = Case::start().await;
    for number in 0..100 {
        case.add(route(&format!("r{number}"))).await;
    }
    let message = case.world.post(&case.path, route("more")).await.error(422, "invalid_route");
    assert!(message.contains("at most 100"), "{message}");
    assert_eq!(case.names().await.len(), 100);
}

#[tokio::test]
async fn a_provider_that_a_route_names_stays_as_it_is() {
    let case = Case::start().await;
    let world = &case.world;
    let provider = |api: &str| {
        json!({ "base_url": "https://api.example.com", "auth": { "header": "x-key" }, "api": api,
            "allowed_endpoints": [{ "methods": ["POST"], "path": "/v1/**" }] })
    };
    world.put("/manage/providers/mine", provider("openai")).await.ok(StatusCode::CREATED);
    let targets =
        json!({ "targets": [{ "provider": "mine", "model": "a" }, { "provider": "mine", "model": "b" }] });
    let path = case.add(with("a", &targets)).await;
    let message = world.delete("/manage/providers/mine").await.error(409, "conflict");
    assert!(message.contains("1 route(s)"), "{message}");
    world.put("/manage/providers/mine", provider("anthropic")).await.error(409, "conflict");
    assert_eq!(world.get("/manage/providers/mine").await.ok(StatusCode::OK)["api"], "openai");
    world.put("/manage/providers/mine", provider("openai")).await.ok(StatusCode::OK);
    world.put(&path, route("a")).await.ok(StatusCode::OK);
    world.put("/manage/providers/mine", provider("anthropic")).await.ok(StatusCode::OK);
    world.delete("/manage/providers/mine").await.ok(StatusCode::NO_CONTENT);
}

/// The edge refuses what it may concern, rather than send it anywhere.
#[tokio::test]
async fn one_that_cannot_be_read_is_carried_as_that() {
    let case = Case::start().await;
    let path = case.add(route("a")).await;
    for stored in [r#"{"name":"a"}"#, "{", "null"] {
        let mut tx = case.world.store.write().await.unwrap();
        query("update routes set definition = $1").bind(stored).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(matches!(case.told().await.routes[..], [CarriedRoute::Unreadable(_)]), "{stored}");
        let shown = case.world.get(&path).await.ok(StatusCode::OK);
        assert!(
            shown["name"] == "a" && shown.get("definition").is_some() && shown.get("match").is_none(),
            "{shown}"
        );
    }
    case.world.put(&path, route("a")).await.ok(StatusCode::OK);
    assert_eq!(case.names().await, ["a"]);
}

/// Saved at once by many, in both orders of their providers.
#[tokio::test]
async fn saved_at_once_none_fails_for_the_others() {
    let case = Case::start().await;
    let all = (0..20).map(|number| {
        let targets = if number % 2 == 0 { ["openai", "groq"] } else { ["groq", "openai"] };
        let targets = targets.map(|provider| json!({ "provider": provider }));
        let body = with(&format!("r{number}"), &json!({ "targets": targets, "position": 1 }));
        let request = crate::world::request(axum::http::Method::POST, &case.path, Some(body));
        let router = case.world.router.clone();
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() })
    });
    for status in all.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), StatusCode::CREATED);
    }
    assert_eq!(case.names().await.len(), 20);
}
