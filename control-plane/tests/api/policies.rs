//! Policies of providers, projects and tokens, stored and told to the edge.

use super::World;
use crate::world::request;
use axum::http::{Method, StatusCode};
use control_plane::clock;
use control_plane::store::snapshot::contents;
use control_plane::store::sql::query;
use serde_json::{Value, json};
use shared::policy::{Carried, Policy};
use shared::snapshot::config::{self, Project};
use shared::snapshot::record::{ProfileNumber, TokenRecord};
use uuid::Uuid;

/// All there is to say, as it is shown.
fn all() -> Value {
    json!({
        "endpoints": [{ "methods": ["POST"], "path": "/v1/chat/completions" }],
        "parameters": [
            { "endpoints": ["/v1/**"], "path": "model", "allow": ["gpt-4o*"], "required": true },
            { "endpoints": ["/v1/**"], "path": "n", "deny": ["3"], "min": 1.0, "max": 4.5 },
            { "endpoints": ["/v1/**"], "path": "tools[].type", "forbidden": true },
        ],
        "origins": ["https://*.example.com"],
        "required_headers": ["x-team"],
        "forwarded_headers": ["anthropic-*"],
        "max_body_bytes": 100_000,
        "networks": ["10.0.0.0/8", "2001:db8::/32"],
        "countries": ["DE", "T1"],
    })
}

fn with_size(bytes: usize) -> Value {
    json!({ "max_body_bytes": bytes })
}

fn carried(policy: Value) -> Carried {
    Carried::Policy(serde_json::from_value::<Policy>(policy).unwrap())
}

impl World {
    /// The project as the publisher reads it, and then the edge.
    async fn told(&self, project: &str) -> Project {
        let mut tx = self.store.read().await.unwrap();
        let id: Uuid = project.parse().unwrap();
        let page = contents::project_page(&mut tx, -1, i64::MAX, 100, clock::now()).await.unwrap();
        let told = page.into_iter().find(|each| each.id == id).unwrap();
        let changed = contents::changed_projects(&mut tx, 0, clock::now()).await.unwrap();
        assert!(changed.into_iter().find(|each| each.id == id).is_none_or(|changed| changed == told));
        let single = contents::project(&mut tx, id).await.unwrap().unwrap();
        assert_eq!(single, Project { profiles: vec![], ..told.clone() });
        for profile in &told.profiles {
            let found = contents::profile(&mut tx, id, profile.number).await.unwrap();
            assert_eq!(found.as_ref(), Some(profile));
        }
        assert_eq!(config::decode::<Project>(&config::encode(&told).unwrap()).unwrap(), told);
        told
    }

    async fn numbers(&self, project: &str) -> Vec<ProfileNumber> {
        self.told(project).await.profiles.iter().map(|profile| profile.number).collect()
    }

    /// The token's record in every form that the publisher reads.
    async fn record(&self, token: &Value) -> TokenRecord {
        let id: Uuid = token["id"].as_str().unwrap().parse().unwrap();
        let mut tx = self.store.read().await.unwrap();
        let owners = contents::Owners::read(&mut tx).await.unwrap();
        let page = contents::token_page(&mut tx, &owners, Uuid::nil(), Uuid::max(), 0, 1_000).await.unwrap();
        let record = *page.records.iter().find(|record| record.id() == id).unwrap();
        let all = contents::all_tokens_page(&mut tx, Uuid::nil(), Uuid::max(), 1_000).await.unwrap();
        assert!(all.iter().any(|stored| stored.record == record));
        let changed = contents::changed_tokens(&mut tx, 0).await.unwrap();
        assert!(changed.iter().filter(|changed| changed.id() == id).all(|changed| *changed == record));
        record
    }

    async fn profile(&self, token: &Value) -> Option<ProfileNumber> {
        self.record(token).await.profile()
    }

    async fn limited(&self, project: &str, policy: Value) -> Value {
        let body = json!({ "project_id": project, "name": "t", "policy": policy });
        self.post("/manage/tokens", body).await.ok(StatusCode::CREATED)
    }

    /// How often the outbox names the project.
    async fn mentions(&self, project: &str) -> i64 {
        let mut tx = self.store.read().await.unwrap();
        let id: Uuid = project.parse().unwrap();
        // None is deleted while no base is adopted.
        query("select count(*) from outbox where project_id = $1").bind(id).scalar(&mut tx).await.unwrap()
    }
}

fn path(token: &Value) -> String {
    format!("/manage/tokens/{}", token["id"].as_str().unwrap())
}

#[tokio::test]
async fn of_a_project() {
    let world = World::start().await;
    let body = json!({ "name": "a", "policy": all() });
    let made = world.post("/manage/projects", body).await.ok(StatusCode::CREATED);
    assert_eq!(made["policy"], all());
    let id = made["id"].as_str().unwrap();
    let path = format!("/manage/projects/{id}");
    assert_eq!(world.get(&path).await.ok(StatusCode::OK), made);
    assert_eq!(world.told(id).await.policy, Some(carried(all())));

    // What is not given stays; the whole is replaced; nothing is none.
    assert_eq!(world.patch(&path, json!({ "name": "b" })).await.ok(StatusCode::OK)["policy"], all());
    let changed = world.patch(&path, json!({ "policy": with_size(7) })).await.ok(StatusCode::OK);
    assert_eq!(changed["policy"], with_size(7));
    assert_eq!(world.told(id).await.policy, Some(carried(with_size(7))));
    let audit = world.get("/manage/audit?action=project.update").await.ok(StatusCode::OK);
    assert_eq!(
        (&audit["data"][0]["before"]["policy"], &audit["data"][0]["after"]["policy"]),
        (&all(), &with_size(7))
    );
    for nothing in [json!({}), json!({ "parameters": [], "origins": null }), Value::Null] {
        world.patch(&path, json!({ "policy": with_size(7) })).await.ok(StatusCode::OK);
        let changed = world.patch(&path, json!({ "policy": nothing })).await.ok(StatusCode::OK);
        assert_eq!(changed["policy"], Value::Null);
        assert_eq!(world.told(id).await.policy, None);
    }
    // An empty list lets nothing pass, which is not the same as none.
    let changed = world.patch(&path, json!({ "policy": { "endpoints": [] } })).await.ok(StatusCode::OK);
    assert_eq!(changed["policy"], json!({ "endpoints": [] }));
}

#[tokio::test]
async fn of_a_provider() {
    let world = World::start().await;
    let path = "/manage/providers/mine";
    let body = |policy: Value| {
        json!({ "base_url": "https://api.example.com", "auth": { "header": "x-key" }, "api": "openai",
            "allowed_endpoints": [{ "methods": ["POST"], "path": "/v1/**" }], "policy": policy })
    };
    let told = async || {
        let mut tx = world.store.read().await.unwrap();
        let providers = contents::providers(&mut tx).await.unwrap();
        providers.find("mine").unwrap().policy.clone()
    };
    let made = world.put(path, body(all())).await.ok(StatusCode::CREATED);
    assert_eq!(made["policy"], all());
    assert_eq!(world.get(path).await.ok(StatusCode::OK)["policy"], all());
    assert_eq!(told().await, Some(carried(all())));
    let audit = world.get("/manage/audit?action=provider.create").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["after"]["policy"], all());
    for nothing in [json!({}), Value::Null] {
        assert_eq!(world.put(path, body(nothing)).await.ok(StatusCode::OK)["policy"], Value::Null);
        assert_eq!(told().await, None);
    }
    let message = world.put(path, body(json!({ "countries": ["x"] }))).await.error(422, "invalid_policy");
    assert!(message.starts_with("policy.countries[0]: "), "{message}");
}

#[tokio::test]
async fn tokens_with_the_same_share_a_profile() {
    let world = World::start().await;
    let (project, other) = (world.project("a").await, world.project("b").await);
    let first = world.limited(&project, all()).await;
    assert_eq!(first["policy"], all());
    assert_eq!(world.get(&path(&first)).await.ok(StatusCode::OK)["policy"], all());
    let list = world.get("/manage/tokens").await.ok(StatusCode::OK);
    assert_eq!(list["data"][0]["policy"], all());
    let audit = world.get("/manage/audit?action=token.create").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["after"]["policy"], all());

    let free = world.token(&project).await;
    assert_eq!(free["policy"], Value::Null);
    let nothing = world.limited(&project, json!({ "networks": null })).await;
    let second = world.limited(&project, with_size(7)).await;
    // The same in other words.
    let mut reordered = serde_json::Map::new();
    reordered.insert("origins".into(), Value::Null);
    reordered.insert("max_body_bytes".into(), json!(7));
    let same = world.limited(&project, Value::Object(reordered)).await;
    let elsewhere = world.limited(&other, with_size(7)).await;
    for (token, profile) in [
        (&first, Some(1)),
        (&free, None),
        (&nothing, None),
        (&second, Some(2)),
        (&same, Some(2)),
        (&elsewhere, Some(1)),
    ] {
        assert_eq!(world.profile(token).await, profile, "{token}");
    }
    let told = world.told(&project).await.profiles;
    assert_eq!(told.iter().map(|profile| profile.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!((&told[0].policy, &told[1].policy), (&carried(all()), &carried(with_size(7))));
    assert_eq!(world.numbers(&other).await, [1]);
}

#[tokio::test]
async fn of_a_token_is_changed_and_taken_away() {
    let world = World::start().await;
    let project = world.project("a").await;
    let token = world.token(&project).await;
    let set = async |policy: Value| {
        let changed = world.patch(&path(&token), json!({ "policy": policy })).await.ok(StatusCode::OK);
        assert_eq!(world.get(&path(&token)).await.ok(StatusCode::OK), changed);
        (changed["policy"].clone(), world.profile(&token).await)
    };
    assert_eq!(set(with_size(1)).await, (with_size(1), Some(1)));
    assert_eq!(set(with_size(2)).await, (with_size(2), Some(2)));
    assert_eq!(set(with_size(1)).await, (with_size(1), Some(1)));
    assert_eq!(set(Value::Null).await, (Value::Null, None));
    assert_eq!(set(with_size(3)).await, (with_size(3), Some(3)));
    assert_eq!(set(json!({})).await, (Value::Null, None));
    set(with_size(3)).await;
    let change = json!({ "name": "renamed", "expires_at": null });
    let changed = world.patch(&path(&token), change).await.ok(StatusCode::OK);
    assert_eq!((&changed["policy"], world.profile(&token).await), (&with_size(3), Some(3)));
    let audit = world.get("/manage/audit?action=token.update&limit=100").await.ok(StatusCode::OK);
    let last = &audit["data"][2];
    assert_eq!(
        (&last["before"]["policy"], &last["after"]["policy"]),
        (&with_size(3), &Value::Null),
        "{last}"
    );
}

/// An edge that has the token has its profile; and a project is not written for every token.
#[tokio::test]
async fn the_project_is_told_with_a_profile_that_no_edge_knows() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    let mentions = async || world.mentions(&project).await;
    assert_eq!(mentions().await, 1);
    world.token(&project).await;
    assert_eq!(mentions().await, 1);
    world.limited(&project, with_size(1)).await;
    assert_eq!(mentions().await, 2);
    for _ in 0..5 {
        world.limited(&project, with_size(1)).await;
    }
    assert_eq!(mentions().await, 2);
    // One that lives longer, and one that changes to a policy that is in use.
    let body = json!({ "project_id": project, "name": "t", "policy": with_size(1), "expires_at": null });
    world.post("/manage/tokens", body).await.ok(StatusCode::CREATED);
    let token = world.token(&project).await;
    world.patch(&path(&token), json!({ "policy": with_size(1) })).await.ok(StatusCode::OK);
    assert_eq!(mentions().await, 2);
    world.patch(&path(&token), json!({ "policy": with_size(2) })).await.ok(StatusCode::OK);
    assert_eq!(mentions().await, 3);

    // When all were revoked, none needs them any more; the next one does.
    let revoke = format!("/manage/projects/{project}/tokens/revoke");
    world.send(request(Method::POST, &revoke, None)).await.ok(StatusCode::OK);
    assert_eq!((mentions().await, world.numbers(&project).await), (4, vec![]));
    let again = world.limited(&project, with_size(2)).await;
    assert_eq!((mentions().await, world.numbers(&project).await), (5, vec![2]));
    assert_eq!(world.profile(&again).await, Some(2));
}

#[tokio::test]
async fn what_has_expired_leaves_and_comes_again() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    let token = world.limited(&project, with_size(1)).await;
    let hours_ago = async |hours: i64| {
        let mut tx = world.store.write().await.unwrap();
        let at = clock::now().cast_signed() - hours * 3_600_000;
        query("update profiles set used_until = $1").bind(at).execute(&mut tx).await.unwrap();
        query("update tokens set expires_at = $1").bind(at).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    };
    hours_ago(0).await;
    assert_eq!(world.numbers(&project).await, [1]);
    hours_ago(2).await;
    assert!(world.numbers(&project).await.is_empty());
    // It is given more time: then it needs its policy again.
    let before = world.mentions(&project).await;
    world.patch(&path(&token), json!({ "expires_at": "2100-01-01T00:00:00Z" })).await.ok(StatusCode::OK);
    assert_eq!(world.numbers(&project).await, [1]);
    assert_eq!(world.mentions(&project).await, before + 1);
    assert_eq!(world.profile(&token).await, Some(1));
}

#[tokio::test]
async fn a_project_has_at_most_200_different_ones() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    let body = |size: usize| json!({ "project_id": project, "name": "t", "policy": with_size(size) });
    let all = (0..200).map(|size| {
        let (router, request) =
            (world.router.clone(), request(Method::POST, "/manage/tokens", Some(body(size))));
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() })
    });
    for status in all.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), StatusCode::CREATED);
    }
    let token_of = async |size: usize| {
        let mut tx = world.store.read().await.unwrap();
        let text = with_size(size).to_string();
        let find = query(
            "select t.id from tokens t join profiles f on f.id = t.profile_id where f.policy = $1 order by t.id limit 1",
        );
        let id: Uuid = find.bind(text).scalar(&mut tx).await.unwrap();
        format!("/manage/tokens/{id}")
    };
    let free = world.token(&project).await;
    let refused = async || {
        let message = world.post("/manage/tokens", body(500)).await.error(409, "conflict");
        assert!(message.contains("200 different policies"), "{message}");
        world.patch(&path(&free), json!({ "policy": with_size(500) })).await.error(409, "conflict");
        assert_eq!(world.get(&path(&free)).await.ok(StatusCode::OK)["policy"], Value::Null);
    };
    refused().await;
    // One that is there already is no other one; and who changes its own makes room.
    world.limited(&project, with_size(7)).await;
    refused().await;
    world.patch(&token_of(3).await, json!({ "policy": with_size(300) })).await.ok(StatusCode::OK);
    refused().await;
    // Two have the seventh.
    world.delete(&token_of(7).await).await.ok(StatusCode::NO_CONTENT);
    refused().await;
    world.delete(&token_of(8).await).await.ok(StatusCode::NO_CONTENT);
    let token = world.limited(&project, with_size(200)).await;
    refused().await;
    let told = world.told(&project).await;
    assert_eq!(told.profiles.len(), 200);
    assert!(told.profiles.is_sorted_by_key(|profile| profile.number));
    // After 200 and the one that was changed to; no number comes again.
    assert_eq!(world.profile(&token).await, Some(202));
    let other = world.project("b").await;
    world.limited(&other, with_size(200)).await;
}

#[tokio::test]
async fn bad_ones_are_refused_with_their_field_named() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    let token = world.token(&project).await;
    let (project_path, token_path) = (format!("/manage/projects/{project}"), path(&token));
    let rule = |path: &str, more: Value| {
        let mut rule = json!({ "endpoints": ["/v1/**"], "path": path });
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let good = || rule("model", json!({ "allow": ["a"] }));
    for (policy, field) in [
        (json!({ "endpoints": [{ "methods": ["post"], "path": "/v1/a" }] }), "policy.endpoints[0]: "),
        (json!({ "parameters": [good(), good(), rule("n", json!({}))] }), "policy.parameters[2]: "),
        (json!({ "parameters": [rule("a..b", json!({ "max": 1 }))] }), "policy.parameters[0]: "),
        (json!({ "parameters": [rule("n", json!({ "min": 2, "max": 1 }))] }), "policy.parameters[0]: "),
        (json!({ "origins": ["https://a.example/"] }), "policy.origins[0]: "),
        (json!({ "required_headers": ["X-Team"] }), "policy.required_headers[0]: "),
        (json!({ "forwarded_headers": ["a", "authorization"] }), "policy.forwarded_headers[1]: "),
        (json!({ "networks": ["10.0.0.0/8", "10.0.0.1"] }), "policy.networks[1]: a network and its length"),
        (json!({ "networks": ["10.0.0.0/99"] }), "policy.networks[0]: "),
        (json!({ "countries": ["de"] }), "policy.countries[0]: "),
        (json!({ "countries": vec!["DE"; 101] }), "policy.countries: at most 100"),
        (
            json!({ "parameters": vec![rule("a", json!({ "deny": vec!["x".repeat(190); 9] })); 10] }),
            "policy: it has ",
        ),
    ] {
        let token = json!({ "project_id": project, "name": "t", "policy": policy });
        let answers = [
            world.post("/manage/tokens", token).await,
            world.patch(&token_path, json!({ "policy": policy })).await,
            world.patch(&project_path, json!({ "policy": policy })).await,
            world.post("/manage/projects", json!({ "name": "n", "policy": policy })).await,
        ];
        for answer in answers {
            let message = answer.error(422, "invalid_policy");
            assert!(message.starts_with(field), "{policy}: {message}");
        }
    }
    // What is no policy at all is as bad as any other body.
    for (policy, field) in [
        (json!(7), "policy: "),
        (json!({ "origin": ["https://a.example"] }), "policy.origin: unknown field"),
        (json!({ "max_body_bytes": -1 }), "policy.max_body_bytes: "),
        (json!({ "parameters": [rule("a", json!({ "max": "4" }))] }), "policy.parameters[0].max: "),
        (
            json!({ "parameters": [rule("a", json!({ "maximum": 4 }))] }),
            "policy.parameters[0].maximum: unknown field",
        ),
    ] {
        let message =
            world.patch(&project_path, json!({ "policy": policy })).await.error(400, "invalid_request");
        assert!(message.starts_with(field), "{policy}: {message}");
        let message =
            world.patch(&token_path, json!({ "policy": policy })).await.error(400, "invalid_request");
        assert!(message.starts_with(field), "{policy}: {message}");
    }
    assert_eq!(world.told(&project).await.policy, None);
    assert_eq!(world.profile(&token).await, None);
}

/// What another version stored, or somebody by hand: it denies, is shown, and can be replaced.
#[tokio::test]
async fn one_that_cannot_be_read_is_never_taken_for_none() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    let token = world.limited(&project, with_size(1)).await;
    let unreadable = |carried: &Carried| matches!(carried, Carried::Unreadable(_));
    for stored in [r#"{"max_body_kilobytes":1}"#, "null", "", "{"] {
        let mut tx = world.store.write().await.unwrap();
        query("update projects set policy = $1").bind(stored).execute(&mut tx).await.unwrap();
        query("update profiles set policy = $1").bind(stored).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let told = world.told(&project).await;
        assert!(told.policy.as_ref().is_some_and(unreadable), "{stored}");
        assert!(unreadable(&told.profiles[0].policy), "{stored}");
        for shown in [
            world.get(&format!("/manage/projects/{project}")).await.ok(StatusCode::OK),
            world.get(&path(&token)).await.ok(StatusCode::OK),
        ] {
            assert!(!shown["policy"].is_null(), "{stored}: {shown}");
        }
    }
    for path in [format!("/manage/projects/{project}"), path(&token)] {
        let changed = world.patch(&path, json!({ "policy": with_size(9) })).await.ok(StatusCode::OK);
        assert_eq!(changed["policy"], with_size(9));
    }
    assert_eq!(world.told(&project).await.policy, Some(carried(with_size(9))));
}

/// Many at once, and each finds its profile.
#[tokio::test]
async fn made_at_once_they_get_one_number_each() {
    let world = World::without_kv().await;
    let project = world.project("a").await;
    let all = (0..30).map(|number| {
        let body = json!({ "project_id": project, "name": "t", "policy": with_size(number % 5) });
        let (router, request) = (world.router.clone(), request(Method::POST, "/manage/tokens", Some(body)));
        tokio::spawn(async move { tower::ServiceExt::oneshot(router, request).await.unwrap().status() })
    });
    for status in all.collect::<Vec<_>>() {
        assert_eq!(status.await.unwrap(), StatusCode::CREATED);
    }
    assert_eq!(world.numbers(&project).await, [1, 2, 3, 4, 5]);
    let list = world.get("/manage/tokens?limit=100").await.ok(StatusCode::OK);
    let told = world.told(&project).await;
    for token in list["data"].as_array().unwrap() {
        let number = world.profile(token).await.unwrap();
        let profile = told.profiles.iter().find(|profile| profile.number == number).unwrap();
        assert_eq!(profile.policy, carried(token["policy"].clone()));
    }
}
