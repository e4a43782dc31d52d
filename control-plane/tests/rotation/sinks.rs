use super::World;
use crate::world::{act, id, json, list, sink, text, vault};
use control_plane::domain::audit::Filter;
use control_plane::domain::page::PageRequest;
use control_plane::domain::sinks::SinkPatch;
use control_plane::secret::Secret;
use control_plane::sinks::open::place;
use control_plane::store::sinks::{self as table, SinkRow};
use serde_json::{Value, json};
use uuid::Uuid;

async fn rows(world: &World) -> Vec<SinkRow> {
    table::all(&mut world.store.read().await.unwrap()).await.unwrap()
}

fn secret(row: &SinkRow, key: u8) -> Option<String> {
    let secret = vault(&[key], &[4]).open(row.secret.as_deref().unwrap(), place(row.id, &row.kind));
    secret.ok().map(|secret| secret.to_string())
}

#[tokio::test]
async fn every_secret_is_sealed_with_the_first_key() {
    let world = World::start().await;
    let before = world.domain(vault(&[3], &[4]), 2);
    let first = sink(&before, "one", 8).await;
    let inactive = sink(&before, "two", 9).await;
    let patch = SinkPatch { is_active: Some(false), ..SinkPatch::default() };
    before.patch_sink(&act(), inactive, patch).await.unwrap();
    let now = vault(&[13, 3], &[4]);
    let after = world.domain(vault(&[13, 3], &[4]), 2);
    sink(&after, "three", 10).await;
    let versions: Vec<i64> = rows(&world).await.iter().map(|row| row.version).collect();

    let outcome = world.reseal(&now).await;
    assert_eq!((outcome.sinks.resealed, outcome.sinks.left, outcome.sinks.stuck.len()), (2, 0, 0));
    let resealed = rows(&world).await;
    for (row, byte) in resealed.iter().zip([8, 9, 10]) {
        assert_eq!(secret(row, 13), Some(list(&[byte])));
        assert_eq!(row.is_active, row.id != inactive);
    }
    // It is the same secret: nobody needs to begin anew.
    assert_eq!(resealed.iter().map(|row| row.version).collect::<Vec<_>>(), versions);
    assert!(world.changed_projects().await.is_empty());

    let filter = Filter { action: Some("sink.reseal".into()), project_id: None };
    let page = PageRequest { limit: None, cursor: None };
    let records = after.list_audit(&filter, &page).await.unwrap().items;
    assert_eq!(records.len(), 2);
    let record = records.iter().find(|record| record.resource_id == first.to_string()).unwrap();
    assert_eq!(record.actor, "command-line");
    let key = |byte| Some(json!({ "encryption_key": id(byte) }));
    assert_eq!((record.before.clone(), record.after.clone()), (key(3), key(13)));

    assert_eq!(world.reseal(&now).await.sinks.resealed, 0);
    assert_eq!(rows(&world).await, resealed, "what is sealed with the first key is left alone");
}

#[tokio::test]
async fn what_no_key_opens_stays_and_is_named() {
    let world = World::start().await;
    let stuck = sink(&world.domain(vault(&[30], &[4]), 2), "lost", 8).await;
    sink(&world.domain(vault(&[3], &[4]), 2), "known", 9).await;
    let outcome = world.reseal(&vault(&[13, 3], &[4])).await.sinks;
    assert_eq!((outcome.resealed, outcome.left), (1, 0));
    let [named] = outcome.stuck.try_into().unwrap();
    assert_eq!((named.sink_id, named.name.as_str(), named.is_active), (stuck, "lost", true));
    assert!(named.reason.contains(&id(30)), "{}", named.reason);
    assert_eq!(secret(&rows(&world).await[0], 30), Some(list(&[8])));

    // Two ways out: the key is found, or the secret is given anew.
    assert_eq!(world.reseal(&vault(&[13, 30], &[4])).await.sinks.resealed, 1);
    let patch = SinkPatch { secret: Some(Secret::from(list(&[7]))), ..SinkPatch::default() };
    world.domain(vault(&[23], &[4]), 2).patch_sink(&act(), stuck, patch).await.unwrap();
    assert_eq!(secret(&rows(&world).await[0], 23), Some(list(&[7])));
}

/// A secret opens for the sink it was given to.
#[tokio::test]
async fn a_secret_of_another_sink_does_not_open() {
    let world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    sink(&domain, "one", 8).await;
    let two = sink(&domain, "two", 9).await;
    let stolen = rows(&world).await[0].secret.clone().unwrap();
    let mut tx = world.store.write().await.unwrap();
    table::reseal(&mut tx, two, &stolen).await.unwrap();
    tx.commit().await.unwrap();
    let outcome = world.reseal(&vault(&[13, 3], &[4])).await.sinks;
    assert_eq!((outcome.resealed, outcome.stuck.len()), (1, 1));
    assert!(outcome.stuck[0].reason.contains("DEPLOYMENT_ID"), "{}", outcome.stuck[0].reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_tell_of_sinks() {
    let world = World::start().await;
    sink(&world.domain(vault(&[3], &[4]), 2), "known", 9).await;
    let stuck: Uuid = sink(&world.domain(vault(&[30], &[4]), 2), "lost", 8).await;
    let status = json(&world.latchkey(&["keys", "status", "--json"], &[13, 3], &[4]).output().unwrap());
    let keys = status["keys"][0]["keys"].as_array().unwrap().clone();
    let told: Vec<Value> =
        keys.iter().map(|key| json!([key["id"], key["needed_by"], key["verdict"]])).collect();
    let expected = json!([[id(13), 0, "keep"], [id(3), 1, "keep"], [id(30), 1, "problem"]]);
    assert_eq!(Value::from(told), expected);

    let output = world.latchkey(&["keys", "reseal", "--json"], &[13, 3], &[4]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["sinks"]["resealed"], &found["sinks"]["left"]), (&json!(1), &json!(0)));
    assert_eq!(found["sinks"]["stuck"][0]["sink_id"], json!(stuck));
    let output = world.latchkey(&["keys", "reseal"], &[13, 3], &[4]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    for expected in ["sink lost", &id(30), "secrets of 0 sinks", "give each its secret anew"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let output = world.latchkey(&["keys", "reseal"], &[13, 30], &[4]).output().unwrap();
    assert!(output.status.success() && text(&output).contains("secrets of 1 sinks"), "{}", text(&output));
}
