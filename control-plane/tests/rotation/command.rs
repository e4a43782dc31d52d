use super::World;
use crate::world::{credential, id, json, project, signing_id, text, token, vault};
use control_plane::clock;
use control_plane::domain::tokens::Expiry;
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;

/// Id, rank, count and verdict of each key of a kind.
fn keys(status: &Value, name: &str) -> Vec<(Option<String>, String, u64, String)> {
    let kind = status["keys"].as_array().unwrap().iter().find(|kind| kind["name"] == name).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = |key: &Value| {
        let needed_by = key["needed_by"].as_u64().unwrap();
        (text(&key["id"]), text(&key["rank"]).unwrap(), needed_by, text(&key["verdict"]).unwrap())
    };
    kind["keys"].as_array().unwrap().iter().map(key).collect()
}

fn key(id: String, rank: &str, needed_by: u64, verdict: &str) -> (Option<String>, String, u64, String) {
    (Some(id), rank.to_owned(), needed_by, verdict.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_needs_which_key() {
    let mut world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    let project = project(&domain, "one").await;
    credential(&domain, project, "sk-provider-1").await;
    credential(&world.domain(vault(&[30], &[4]), 2), project, "sk-provider-2").await;
    token(&domain, project, Expiry::Never).await;
    token(&domain, project, Expiry::InSeconds(600)).await;
    token(&world.domain(vault(&[3], &[4]), 20), project, Expiry::Default).await;
    let ended = token(&world.domain(vault(&[3], &[4]), 21), project, Expiry::Default).await;
    domain.revoke_token(&crate::world::act(), ended).await.unwrap();
    let status = |world: &World| {
        json(&world.latchkey(&["keys", "status", "--json"], &[13, 3], &[4, 14]).output().unwrap())
    };

    let found = status(&world);
    assert_eq!(
        keys(&found, "ENCRYPTION_KEY"),
        [
            key(id(13), "first", 0, "keep"),
            key(id(3), "listed", 1, "keep"),
            key(id(30), "not_listed", 1, "problem"),
        ]
    );
    assert_eq!(
        keys(&found, "EDGE_CREDENTIAL_KEY"),
        [key(id(4), "first", 2, "keep"), key(id(14), "listed", 0, "keep"),]
    );
    assert_eq!(
        keys(&found, "TOKEN_TAG_KEY"),
        [key(id(2), "first", 2, "keep"), key(id(20), "not_listed", 1, "problem"),]
    );
    assert_eq!(keys(&found, "SNAPSHOT_SIGNING_KEY"), [key(signing_id(1), "first", 0, "keep")]);
    assert_eq!(found["manifest"], "there is none");

    world.publisher.publish(clock::now()).await.unwrap();
    let found = status(&world);
    assert_eq!(keys(&found, "SNAPSHOT_SIGNING_KEY"), [key(signing_id(1), "first", 1, "keep")]);
    assert_eq!(found["pending"], 0);

    let shown = world.latchkey(&["keys", "status"], &[13, 3], &[4, 14]).output().unwrap();
    assert!(shown.status.success());
    let shown = text(&shown);
    for expected in [
        &format!("{}  NOT LISTED", id(30)),
        "1 valid token, the last of them until 20",
        "can be removed now: none",
        &format!("needed, but not listed: ENCRYPTION_KEY {}, TOKEN_TAG_KEY {}", id(30), id(20)),
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    for byte in [1, 2, 3, 4, 5, 13, 14] {
        use base64::{Engine, engine::general_purpose::STANDARD};
        assert!(!shown.contains(&STANDARD.encode([byte; 32])[..16]), "an id is shown, never a key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_does_not_need_kv() {
    let world = World::start().await;
    let mut command = world.latchkey(&["keys", "status", "--json"], &[3], &[4]);
    let found = json(&command.env("KV_API_BASE", "http://127.0.0.1:1").output().unwrap());
    assert!(found["manifest"].as_str().unwrap().starts_with("could not be read"), "{found}");
    assert_eq!(keys(&found, "ENCRYPTION_KEY"), [key(id(3), "first", 0, "keep")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn resealing_says_what_it_did_and_what_it_could_not() {
    let world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    let project = project(&domain, "one").await;
    credential(&domain, project, "sk-provider-1").await;
    let stuck = credential(&world.domain(vault(&[30], &[40]), 2), project, "sk-provider-2").await;

    let output = world.latchkey(&["keys", "reseal", "--json"], &[13, 3], &[14, 4]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["resealed"], &found["left"]), (&json!(1), &json!(0)));
    assert_eq!(found["stuck"][0]["credential_id"], stuck.to_string());

    let output = world.latchkey(&["keys", "reseal"], &[13, 3], &[14, 4]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for expected in [&stuck.to_string(), &id(30), "resealed 0 credentials", "api_key anew: PATCH"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let output = world.latchkey(&["keys", "reseal"], &[13, 30], &[14, 40]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("resealed 1 credentials"));
}

/// Killed, not stopped: nothing in it can tidy up.
#[tokio::test(flavor = "multi_thread")]
async fn killed_midway_it_is_run_again() {
    let world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    let project = project(&domain, "one").await;
    for n in 0..150 {
        credential(&domain, project, &format!("sk-provider-{n}")).await;
    }
    let new = || async { world.all().await.iter().filter(|row| row.sealed.contains(&id(14))).count() };
    let mut kills = 0;
    while new().await < 150 {
        let before = new().await;
        let mut command = world.latchkey(&["keys", "reseal"], &[13, 3], &[14, 4]);
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        if kills < 3 {
            while new().await < (before + 10).min(150) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
        } else {
            assert!(child.wait().unwrap().success());
        }
    }
    for (n, row) in world.all().await.iter().enumerate() {
        let secret = Some(format!("sk-provider-{n}"));
        assert_eq!(crate::world::secrets(row, 13, 14), [secret.clone(), secret]);
    }
}
