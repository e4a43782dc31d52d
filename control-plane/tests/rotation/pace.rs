use super::World;
use crate::world::{act, credential, project, vault};
use control_plane::clock;
use control_plane::domain::Error;
use control_plane::domain::rotation::{Pace, reseal};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// More than the delta that starts a compaction; see `MAX_DELTA_LEN`.
const DELTA_BYTES: u64 = 270_000;
const PROJECTS: u64 = 8;
const CREDENTIALS: u64 = 25;

/// With some 5,600 bytes a credential.
async fn large() -> World {
    let world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    for n in 0..PROJECTS {
        let project = project(&domain, &format!("project {n}")).await;
        for _ in 0..CREDENTIALS {
            credential(&domain, project, &"k".repeat(4096)).await;
        }
    }
    world
}

#[tokio::test]
async fn it_waits_while_the_delta_is_long() {
    let mut world = large().await;
    let mut now = clock::now();
    // Everything is in a base, and the delta is empty.
    for _ in 0..4 {
        now += 100_000;
        world.publisher.publish(now).await.unwrap();
        world.publisher.finish_work(now).await.unwrap();
    }
    let new = vault(&[3], &[14, 4]);
    let store = world.store.clone();
    let done = AtomicU64::new(0);
    let mut progress = |so_far: u64, _: u64| done.store(so_far, Ordering::Relaxed);
    let pace = Pace { delta_bytes: DELTA_BYTES, patience: Duration::from_mins(1) };
    let run = reseal(&store, &new, pace, clock::now, &mut progress);
    let mut run = std::pin::pin!(run);

    // It stops by itself; then it goes on as often as a compaction makes room.
    let mut stops = 0;
    let outcome = loop {
        let before = done.load(Ordering::Relaxed);
        match tokio::time::timeout(Duration::from_secs(2), &mut run).await {
            Ok(outcome) => break outcome.unwrap(),
            Err(_) if done.load(Ordering::Relaxed) > before => continue,
            Err(_) => stops += 1,
        }
        for _ in 0..3 {
            now += 100_000;
            world.publisher.publish(now).await.unwrap();
            world.publisher.finish_work(now).await.unwrap();
        }
    };
    assert_eq!((outcome.resealed, outcome.left), (PROJECTS * CREDENTIALS, 0));
    assert!(stops >= 2, "{stops}");
}

#[tokio::test]
async fn without_a_publisher_it_says_so() {
    let world = large().await;
    let pace = Pace { delta_bytes: DELTA_BYTES, patience: Duration::from_millis(300) };
    let outcome = reseal(&world.store, &vault(&[13, 3], &[14, 4]), pace, clock::now, &mut |_, _| {}).await;
    let Err(Error::Conflict(message)) = outcome else { panic!("{outcome:?}") };
    assert!(message.contains("is a control plane running"), "{message}");
    assert_eq!(world.reseal(&vault(&[13, 3], &[14, 4])).await.left, 0);
}

/// Routes and policies are carried with a project, however small its credentials are.
#[tokio::test]
async fn what_else_a_project_has_counts() {
    let world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    let project = project(&domain, "project").await;
    credential(&domain, project, "key-number-one").await;
    credential(&domain, project, "key-number-two").await;
    let targets: Vec<Value> = (0..16)
        .map(|at| json!({"provider": "openai", "model": format!("{at}-{}", "m".repeat(190))}))
        .collect();
    for at in 0..99 {
        let name = format!("route {at}");
        let route = json!({"name": name, "match": [name], "targets": targets});
        let route = serde_json::from_value(route).unwrap();
        domain.create_route(&act(), project, route, None).await.unwrap();
    }
    let pace = Pace { delta_bytes: DELTA_BYTES, patience: Duration::from_millis(300) };
    let outcome = reseal(&world.store, &vault(&[13, 3], &[14, 4]), pace, clock::now, &mut |_, _| {}).await;
    assert!(matches!(outcome, Err(Error::Conflict(_))), "{outcome:?}");
}
