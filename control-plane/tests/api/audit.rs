use super::World;
use crate::world::{SECOND_TOKEN, TOKEN, request};
use axum::http::{Method, StatusCode};
use serde_json::json;

#[tokio::test]
async fn says_who_changed_what_from_where() {
    let world = World::start().await;
    let id = world.project("a").await;
    let mut change = request(Method::PATCH, &format!("/manage/projects/{id}"), Some(json!({ "name": "b" })));
    change.headers_mut().insert("authorization", format!("Bearer {SECOND_TOKEN}").parse().unwrap());
    let answer = world.send(change).await;
    let request_id = answer.headers["x-request-id"].to_str().unwrap().to_owned();
    answer.ok(StatusCode::OK);

    let list = world.get(&format!("/manage/audit?project_id={id}")).await.ok(StatusCode::OK);
    let [update, create] = list["data"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!((&create["action"], &update["action"]), (&json!("project.create"), &json!("project.update")));
    assert_eq!((&create["before"], &create["after"]["name"]), (&json!(null), &json!("a")));
    assert_eq!((&update["before"]["name"], &update["after"]["name"]), (&json!("a"), &json!("b")));
    assert_eq!((&update["request_id"], &update["client"]), (&json!(request_id), &json!("203.0.113.7")));
    assert_eq!((&update["resource_id"], &update["result"]), (&json!(id), &json!("success")));
    assert_ne!(create["actor"], update["actor"]);
    assert!(!list.to_string().contains(TOKEN) && !list.to_string().contains(SECOND_TOKEN));
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_record() {
    let world = World::start().await;
    let id = world.project("a").await;
    world.patch(&format!("/manage/projects/{id}"), json!({ "name": "a" })).await.ok(StatusCode::OK);
    world.patch(&format!("/manage/projects/{id}"), json!({ "name": "" })).await.error(400, "invalid_request");
    let list = world.get(&format!("/manage/audit?project_id={id}")).await.ok(StatusCode::OK);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn is_filtered_and_paged() {
    let world = World::start().await;
    let id = world.project("a").await;
    world.token(&id).await;
    let of = async |query: &str| world.get(&format!("/manage/audit?{query}")).await.ok(StatusCode::OK);
    assert_eq!(of("action=token.create").await["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        of(&format!("project_id={id}&action=project.create")).await["data"].as_array().unwrap().len(),
        1
    );
    // The 8 built-in providers are in it too.
    let first = of("limit=6").await;
    let second = of(&format!("limit=6&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((first["data"].as_array().unwrap().len(), second["data"].as_array().unwrap().len()), (6, 4));
    assert_eq!(second["data"][0]["actor"], "system");
}

#[tokio::test]
async fn a_trusted_proxy_tells_the_client() {
    let world = World::start().await;
    let mut create = request(Method::POST, "/manage/projects", Some(json!({ "name": "a" })));
    let peer: std::net::SocketAddr = "10.1.1.1:1".parse().unwrap();
    create.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    create.headers_mut().insert("x-forwarded-for", "1.1.1.1, 198.51.100.4".parse().unwrap());
    world.send(create).await.ok(StatusCode::CREATED);
    let list = world.get("/manage/audit?action=project.create").await.ok(StatusCode::OK);
    assert_eq!(list["data"][0]["client"], "198.51.100.4");
}
