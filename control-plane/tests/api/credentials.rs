use super::World;
use crate::world::API_KEY;
use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

fn provider(base_url: &str) -> Value {
    json!({
        "base_url": base_url,
        "auth": { "header": "authorization", "prefix": "Bearer " },
        "api": "openai",
        "allowed_endpoints": [{ "methods": ["POST"], "path": "/v1/chat/completions" }],
    })
}

#[tokio::test]
async fn the_key_is_never_shown_again() {
    let world = World::start().await;
    let project = world.project("a").await;
    let list = format!("/manage/projects/{project}/credentials");
    let body = json!({ "provider": "openai", "label": "main", "api_key": API_KEY });
    let made = world.post(&list, body).await.ok(StatusCode::CREATED);
    assert_eq!((&made["hint"], &made["weight"], &made["priority"]), (&json!("1234"), &json!(1), &json!(0)));
    let one = format!("{list}/{}", made["id"].as_str().unwrap());
    let changed = world.patch(&one, json!({ "api_key": "sk-another-key-5678", "weight": 7 })).await;
    let changed = changed.ok(StatusCode::OK);
    assert_eq!((&changed["hint"], &changed["weight"]), (&json!("5678"), &json!(7)));
    let listed = world.get(&list).await.ok(StatusCode::OK);
    assert_eq!(listed["data"], json!([changed]));
    world.delete(&one).await.ok(StatusCode::NO_CONTENT);
    world.delete(&one).await.error(404, "not_found");

    let audit = world.get("/manage/audit?limit=100").await.ok(StatusCode::OK).to_string();
    for shown in [made.to_string(), changed.to_string(), listed.to_string(), audit] {
        assert!(
            !shown.contains("secret-key") && !shown.contains("another-key") && !shown.contains("v1."),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn bad_input_is_named_by_its_field() {
    let world = World::start().await;
    let project = world.project("a").await;
    let path = format!("/manage/projects/{project}/credentials");
    for (change, field) in [
        (json!({ "provider": "nobody" }), "provider"),
        (json!({ "api_key": "short" }), "api_key"),
        (json!({ "api_key": "has a space in it" }), "api_key"),
        (json!({ "api_key": 5 }), "api_key"),
        (json!({ "weight": 0 }), "weight"),
        (json!({ "weight": 1001 }), "weight"),
        (json!({ "weight": "sk-misplaced-key" }), "weight"),
        (json!({ "priority": 1001 }), "priority"),
        (json!({ "label": "l".repeat(10_000) }), "label"),
        (json!({ "is_active": false }), "is_active"),
    ] {
        let mut body = json!({ "provider": "openai", "api_key": API_KEY });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let message = world.post(&path, body).await.error(400, "invalid_request");
        assert!(message.contains(field) && !message.contains("misplaced"), "{change}: {message}");
    }
    let body = json!({ "provider": "openai", "api_key": API_KEY });
    let nowhere = format!("/manage/projects/{}/credentials", Uuid::nil());
    world.post(&nowhere, body).await.error(404, "not_found");
    // One project's credential is not another's.
    let credential = world.credential(&project, "openai").await;
    let other = world.project("b").await;
    world.patch(&credential.replace(&project, &other), json!({})).await.error(404, "not_found");
}

#[tokio::test]
async fn a_new_origin_deactivates_until_confirmed() {
    let world = World::start().await;
    world.put("/manage/providers/mine", provider("https://one.example/api")).await.ok(StatusCode::CREATED);
    let project = world.project("a").await;
    let credential = world.credential(&project, "mine").await;
    let bystander = world.credential(&project, "openai").await;
    let list = format!("/manage/projects/{project}/credentials");
    let is_active = async |path: &str| {
        let listed = world.get(&list).await.ok(StatusCode::OK);
        let id = path.rsplit('/').next().unwrap();
        listed["data"].as_array().unwrap().iter().find(|each| each["id"] == id).unwrap()["is_active"] == true
    };

    // Another path on the same origin changes nothing.
    let put =
        world.put("/manage/providers/mine", provider("https://one.example/v2")).await.ok(StatusCode::OK);
    assert_eq!(put["credentials_deactivated"], 0);
    assert!(is_active(&credential).await);

    let put = world.put("/manage/providers/mine", provider("https://two.example")).await.ok(StatusCode::OK);
    assert_eq!(put["credentials_deactivated"], 1);
    assert!(!is_active(&credential).await && is_active(&bystander).await);
    let audit = world.get("/manage/audit?action=credential.deactivate").await.ok(StatusCode::OK);
    assert_eq!(audit["data"][0]["before"]["is_active"], true);
    assert_eq!(audit["data"][0]["project_id"], project.as_str());

    // Another change does not confirm; saying that it is active does.
    world.patch(&credential, json!({ "label": "x" })).await.ok(StatusCode::OK);
    assert!(!is_active(&credential).await);
    world.patch(&credential, json!({ "is_active": true })).await.ok(StatusCode::OK);
    assert!(is_active(&credential).await);
    // It was sealed anew, so the next origin finds it bound to this one.
    let put = world.put("/manage/providers/mine", provider("https://three.example")).await.ok(StatusCode::OK);
    assert_eq!(put["credentials_deactivated"], 1);
    world.patch(&credential, json!({ "is_active": true })).await.ok(StatusCode::OK);
    assert!(is_active(&credential).await);
}
