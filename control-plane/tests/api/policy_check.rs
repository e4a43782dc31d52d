//! What the edge would answer, asked of the API and by command.

use super::World;
use super::served::Served;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;
use uuid::Uuid;

struct Case {
    world: World,
    project: String,
    token: String,
}

/// A provider, a project and a token with a policy each.
async fn case() -> Case {
    let world = World::without_kv().await;
    let provider = json!({ "base_url": "https://api.example.com", "auth": { "header": "x-key" }, "api": "openai",
        "allowed_endpoints": [
            { "methods": ["POST"], "path": "/v1/**" }, { "methods": ["GET"], "path": "/v1/models" },
        ],
        "policy": { "endpoints": [
            { "methods": ["POST"], "path": "/v1/chat/*" }, { "methods": ["GET"], "path": "/v1/models" },
        ], "max_body_bytes": 200 } });
    world.put("/manage/providers/mine", provider).await.ok(StatusCode::CREATED);
    let project = json!({ "name": "a", "default_provider": "mine", "policy": {
        "origins": ["https://app.example.com"], "networks": ["10.0.0.0/8"],
        "parameters": [{ "endpoints": ["/v1/chat/**"], "path": "model", "allow": ["small*"], "required": true }],
    } });
    let project = world.post("/manage/projects", project).await.ok(StatusCode::CREATED);
    let project = project["id"].as_str().unwrap().to_owned();
    let token = json!({ "project_id": project, "name": "t", "policy": {
        "required_headers": ["x-team"],
        "parameters": [
            { "endpoints": ["/v1/embeddings"], "path": "input", "forbidden": true },
            { "endpoints": ["/v1/**"], "path": "n", "max": 2 },
        ],
    } });
    let token = world.post("/manage/tokens", token).await.ok(StatusCode::CREATED);
    let token = token["id"].as_str().unwrap().to_owned();
    Case { world, project, token }
}

impl Case {
    /// A request of the token that is allowed, but for these changes; a null takes away.
    fn request(&self, changes: &Value) -> Value {
        let mut request = json!({ "token_id": self.token, "method": "POST", "path": "/v1/chat/completions",
            "headers": { "X-Team": "x", "Origin": "https://app.example.com" },
            "body": { "model": "small-1", "n": 2 }, "client": { "address": "10.1.2.3" } });
        let fields = request.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                fields.remove(name)
            } else {
                fields.insert(name.clone(), value.clone())
            };
        }
        request
    }

    async fn ask(&self, changes: Value) -> Value {
        self.world.post("/manage/policy/check", self.request(&changes)).await.ok(StatusCode::OK)
    }
}

#[tokio::test]
async fn the_first_that_refuses_is_named() {
    let case = case().await;
    let allowed = json!({ "allowed": true, "status": null, "code": null, "message": null, "policy": null,
        "rule": null, "param": null, "route": null });
    // Beside whom it goes to.
    let answer = |mut said: Value| {
        let targets = said.as_object_mut().unwrap().remove("targets").unwrap();
        assert_eq!((&targets[0]["provider"], &targets[0]["allowed"]), (&json!("mine"), &json!(true)));
        said
    };
    for changes in [
        json!({}),
        json!({ "path": "/mine/v1/chat/completions?a=1" }),
        json!({ "provider": "mine" }),
        json!({ "body": null, "body_text": "{\"model\":\"small-1\"}" }),
        json!({ "method": "GET", "path": "/v1/models", "body": null }),
        json!({ "headers": { "x-team": "x" } }),
        json!({ "client": { "address": "::ffff:10.1.2.3", "country": "DE" } }),
    ] {
        assert_eq!(answer(case.ask(changes.clone()).await), allowed, "{changes}");
    }
    let padded = "x".repeat(200);
    for (changes, expected) in [
        (json!({ "path": "/mine/../x" }), "400 invalid_path - - -"),
        (json!({ "path": "/nobody/v1/chat/completions" }), "404 unknown_provider - - -"),
        (json!({ "provider": "nobody" }), "404 unknown_provider - - -"),
        (json!({ "path": "/mine/v2/x" }), "403 endpoint_not_allowed provider allowed_endpoints -"),
        (json!({ "method": "GET" }), "405 method_not_allowed provider allowed_endpoints -"),
        (json!({ "path": "/v1/embeddings" }), "403 endpoint_not_allowed provider endpoints -"),
        (json!({ "body": { "model": padded } }), "413 body_too_large provider max_body_bytes -"),
        // Of several the provider's is the first, then the project's.
        (
            json!({ "body": { "model": padded }, "client": null }),
            "413 body_too_large provider max_body_bytes -",
        ),
        (json!({ "headers": {}, "client": null }), "403 network_not_allowed project networks -"),
        (json!({ "client": null }), "403 network_not_allowed project networks -"),
        (json!({ "client": { "address": "11.1.2.3" } }), "403 network_not_allowed project networks -"),
        (json!({ "headers": { "origin": "https://b.example" } }), "403 origin_not_allowed project origins -"),
        (json!({ "headers": {} }), "400 header_required token required_headers -"),
        (json!({ "body": { "model": "large" } }), "400 param_not_allowed project parameters[0] model"),
        (json!({ "body": null }), "400 param_not_allowed project parameters[0] model"),
        (json!({ "body": { "model": "small", "n": 3 } }), "400 param_not_allowed token parameters[1] n"),
        (
            json!({ "body": null, "body_text": "{\"model\":\"small\",\"model\":\"large\"}" }),
            "400 invalid_body project parameters[0] -",
        ),
        (
            json!({ "headers": { "x-team": "x", "content-encoding": "gzip" } }),
            "415 encoded_body project parameters[0] -",
        ),
    ] {
        let said = case.ask(changes.clone()).await;
        let fields = ["status", "code", "policy", "rule", "param"].map(|name| match &said[name] {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        assert_eq!(fields.join(" "), expected, "{changes}: {said}");
        assert!(said["allowed"] == false && said["message"].is_string(), "{said}");
    }
    // Without the token's own.
    let of_project = json!({ "token_id": null, "project_id": case.project, "headers": {}, "body": { "model": "small", "n": 9 } });
    assert_eq!(answer(case.ask(of_project).await), allowed);
}

impl Case {
    /// A provider with a policy of its own, and routes of the project that lead there too.
    async fn route(&self) {
        let provider = json!({ "base_url": "https://other.example.com", "auth": { "header": "x-key" },
            "api": "openai", "allowed_endpoints": [{ "methods": ["POST"], "path": "/v1/chat/**" }],
            "policy": { "parameters": [{ "endpoints": ["/**"], "path": "model", "allow": ["big-*"] }] } });
        self.world.put("/manage/providers/other", provider).await.ok(StatusCode::CREATED);
        for (name, targets) in [
            (
                "small-1",
                json!([{ "provider": "other", "model": "big-1" }, { "provider": "other" },
                { "provider": "mine", "model": "tiny" }]),
            ),
            ("small-2", json!([{ "provider": "other" }, { "provider": "other", "model": "tiny" }])),
        ] {
            let route = json!({ "name": name, "match": [name], "targets": targets });
            let path = format!("/manage/projects/{}/routes", self.project);
            self.world.post(&path, route).await.ok(StatusCode::CREATED);
        }
    }
}

/// Provider, model, and the code and rule where it may not be asked.
fn targets(said: &Value) -> Vec<String> {
    let targets = said["targets"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let fields = ["provider", "model", "code", "rule"];
    targets.map(|target| fields.map(|field| text(&target[field])).join(" ")).collect()
}

#[tokio::test]
async fn a_route_tells_who_may_be_asked_and_as_what() {
    let case = case().await;
    case.route().await;
    let said = case.ask(json!({})).await;
    assert_eq!((&said["allowed"], &said["route"]), (&json!(true), &json!("small-1")));
    assert_eq!(
        targets(&said),
        ["other big-1 - -", "other small-1 param_not_allowed parameters[0]", "mine tiny - -"]
    );
    let refused = &said["targets"][1];
    assert_eq!(
        (&refused["allowed"], &refused["status"], &refused["policy"], &refused["path"]),
        (&json!(false), &json!(400), &json!("provider"), &json!("/v1/chat/completions"))
    );
    // Where none may be asked, the client gets the last one's refusal.
    let said = case.ask(json!({ "body": { "model": "small-2" } })).await;
    assert_eq!(
        targets(&said),
        ["other small-2 param_not_allowed parameters[0]", "other tiny param_not_allowed parameters[0]"]
    );
    assert_eq!(
        (&said["code"], &said["message"]),
        (&json!("param_not_allowed"), &said["targets"][1]["message"])
    );
    // The project's and the token's policies judge what is asked for.
    let said = case.ask(json!({ "body": { "model": "big-1" } })).await;
    assert_eq!(
        (&said["policy"], &said["route"], &said["targets"]),
        (&json!("project"), &json!(null), &json!([]))
    );
    // What no route is for goes to the provider that is named, by its own policy.
    let said = case.ask(json!({ "body": { "model": "small-3" } })).await;
    assert_eq!((&said["allowed"], &said["route"]), (&json!(true), &json!(null)));
    assert_eq!(targets(&said), ["mine small-3 - -"]);
    let said =
        case.ask(json!({ "body": { "model": "small-3" }, "path": "/other/v1/chat/completions" })).await;
    assert_eq!((&said["code"], &said["policy"]), (&json!("param_not_allowed"), &json!("provider")));
}

#[tokio::test]
async fn only_json_that_is_posted_is_routed() {
    let case = case().await;
    case.route().await;
    let with = |name: &str, value: &str| json!({ "x-team": "x", name: value });
    let text =
        |headers: Value| json!({ "headers": headers, "body": null, "body_text": "{\"model\":\"small-1\"}" });
    for (changes, route) in [
        (text(with("content-type", "application/json")), json!("small-1")),
        (text(with("content-type", "text/plain")), json!(null)),
        (text(json!({ "x-team": "x" })), json!(null)),
        (json!({ "headers": with("Content-Type", "text/plain") }), json!(null)),
    ] {
        let said = case.ask(changes.clone()).await;
        assert_eq!((&said["allowed"], &said["route"]), (&json!(true), &route), "{changes}");
    }
    // Of a project without a rule that reads the body.
    let path = format!("/manage/projects/{}", case.project);
    case.world.patch(&path, json!({ "policy": null })).await.ok(StatusCode::OK);
    let of_project = json!({ "token_id": null, "project_id": case.project,
        "headers": { "content-encoding": "gzip" } });
    let said = case.ask(of_project).await;
    assert_eq!(
        (&said["status"], &said["code"], &said["policy"]),
        (&json!(415), &json!("encoded_body"), &json!(null))
    );
}

#[tokio::test]
async fn who_may_not_call_at_all_is_told_so() {
    let case = case().await;
    let Case { world, project, token } = &case;
    let code = async || case.ask(json!({})).await["code"].clone();
    world
        .patch(&format!("/manage/projects/{project}"), json!({ "is_active": false }))
        .await
        .ok(StatusCode::OK);
    assert_eq!(code().await, "project_inactive");
    world.delete(&format!("/manage/tokens/{token}")).await.ok(StatusCode::NO_CONTENT);
    assert_eq!(code().await, "token_revoked");
}

/// A policy that cannot be read lets nothing pass.
#[tokio::test]
async fn what_cannot_be_read_refuses() {
    let case = case().await;
    let mut tx = case.world.store.write().await.unwrap();
    let damage = "update profiles set policy = '{\"max_body_kilobytes\":1}'";
    control_plane::store::sql::query(damage).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let said = case.ask(json!({})).await;
    assert_eq!(
        (&said["status"], &said["code"], &said["policy"]),
        (&json!(503), &json!("snapshot_unavailable"), &json!("token"))
    );
}

/// A route that cannot be read might be for any model that none before it is for.
#[tokio::test]
async fn a_route_that_cannot_be_read_refuses() {
    let case = case().await;
    case.route().await;
    let mut tx = case.world.store.write().await.unwrap();
    let damage = "update routes set definition = '{\"name\":\"x\"}' where name = 'small-2'";
    control_plane::store::sql::query(damage).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(case.ask(json!({})).await["allowed"], true);
    let said = case.ask(json!({ "body": { "model": "small-3" } })).await;
    assert_eq!(
        (&said["status"], &said["code"], &said["policy"]),
        (&json!(503), &json!("snapshot_unavailable"), &json!(null))
    );
}

#[tokio::test]
async fn bad_questions_are_named_by_their_field() {
    let case = case().await;
    for (changes, field) in [
        (json!({ "token_id": null }), "project_id or token_id"),
        (json!({ "project_id": case.project }), "project_id or token_id"),
        (json!({ "token_id": "x" }), "token_id"),
        (json!({ "method": null }), "method"),
        (json!({ "path": "v1/chat" }), "path"),
        (json!({ "body_text": "{}" }), "body or body_text"),
        (json!({ "client": { "address": "x" } }), "client.address"),
        (json!({ "headers": { "a": 1 } }), "headers.a"),
        (json!({ "url": "/" }), "url"),
    ] {
        let answer = case.world.post("/manage/policy/check", case.request(&changes)).await;
        let message = answer.error(400, "invalid_request");
        assert!(message.contains(field), "{changes}: {message}");
    }
    for changes in
        [json!({ "token_id": Uuid::nil() }), json!({ "token_id": null, "project_id": Uuid::nil() })]
    {
        case.world.post("/manage/policy/check", case.request(&changes)).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn by_command() {
    let case = case().await;
    let served = Served::of(&case.world).await;
    let folder = tempfile::TempDir::new().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good.json", &case.request(&json!({})).to_string());
    let bad = case.request(&json!({ "body": { "model": "large" } })).to_string();
    assert_eq!(served.says(&["policy", "check", &good]).await, "allowed\n");
    assert_eq!(served.objects(&["policy", "check", &good, "--json"]).await[0]["allowed"], true);
    case.route().await;
    assert_eq!(
        served.says(&["policy", "check", &good]).await,
        "allowed\n\
         route    small-1\n\
         \n\
         TARGET  MODEL    MAY BE ASKED           RULE           MESSAGE\n\
         other   big-1    yes                    -              -\n\
         other   small-1  400 param_not_allowed  parameters[0]  \
         The parameter model must be one of: big-* (`parameters[0]` of the provider's policy).\n\
         mine    tiny     yes                    -              -\n"
    );

    let mut command = served.latchkey(&["policy", "check"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bad.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let start = "refused  400 param_not_allowed\nmessage  The parameter model must be one of: small*";
    assert!(
        said.starts_with(start)
            && said.ends_with("policy   project\nrule     parameters[0]\nparam    model\n"),
        "{said}"
    );
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "latchkey: the request would be refused\n");

    let broken = file("broken.json", "{");
    assert!(served.complains(&["policy", "check", &broken]).await.contains("cannot be read"));
    assert!(
        served
            .complains(&["policy", "check", "nowhere.json"])
            .await
            .contains("cannot be read from nowhere.json")
    );
    let unknown = file("unknown.json", &case.request(&json!({ "url": 1 })).to_string());
    assert!(served.complains(&["policy", "check", &unknown]).await.contains("unknown field `url`"));
}
