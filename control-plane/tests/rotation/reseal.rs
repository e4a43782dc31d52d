use super::World;
use crate::world::{UNHURRIED, act, credential, id, project, secrets, vault};
use control_plane::clock;
use control_plane::domain::Domain;
use control_plane::domain::audit::Filter;
use control_plane::domain::credentials::CredentialPatch;
use control_plane::domain::page::PageRequest;
use control_plane::domain::rotation::reseal;
use control_plane::secret::Secret;
use control_plane::store::credentials::CredentialRow;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

fn opens_with(row: &CredentialRow, secret: &str, at_rest: u8, edge: u8) -> bool {
    secrets(row, at_rest, edge) == [Some(secret.to_owned()), Some(secret.to_owned())]
}

async fn deactivate(domain: &Domain, project_id: Uuid, id: Uuid) {
    let patch = CredentialPatch { is_active: Some(false), ..CredentialPatch::default() };
    domain.patch_credential(&act(), project_id, id, patch).await.unwrap();
}

#[tokio::test]
async fn every_credential_is_sealed_with_the_first_keys_and_told_to_the_edge() {
    let world = World::start().await;
    let before = world.domain(vault(&[3], &[4]), 2);
    let (one, two) = (project(&before, "one").await, project(&before, "two").await);
    let first = credential(&before, one, "sk-provider-1").await;
    let inactive = credential(&before, two, "sk-provider-2").await;
    deactivate(&before, two, inactive).await;
    let now = vault(&[13, 3], &[14, 4]);
    let after = world.domain(vault(&[13, 3], &[14, 4]), 2);
    credential(&after, one, "sk-provider-3").await;
    world.forget_outbox().await;

    let outcome = world.reseal(&now).await;
    assert_eq!((outcome.resealed, outcome.recovered, outcome.left, outcome.stuck.len()), (2, 0, 0, 0));
    for (row, secret) in world.all().await.iter().zip(["sk-provider-1", "sk-provider-2", "sk-provider-3"]) {
        assert!(opens_with(row, secret, 13, 14), "{}", row.id);
        assert_eq!(row.is_active, row.id != inactive);
        assert_eq!(row.hint, &secret[secret.len() - 4..]);
    }
    let mut both = vec![one, two];
    both.sort_unstable();
    assert_eq!(world.changed_projects().await, both);

    let filter = Filter { action: Some("credential.reseal".into()), project_id: None };
    let page = PageRequest { limit: None, cursor: None };
    let records = after.list_audit(&filter, &page).await.unwrap().items;
    assert_eq!(records.len(), 2);
    let record = records.iter().find(|record| record.resource_id == first.to_string()).unwrap();
    assert_eq!((record.actor.as_str(), record.project_id), ("command-line", Some(one)));
    let keys =
        |at_rest, edge| serde_json::json!({"encryption_key": id(at_rest), "edge_credential_key": id(edge)});
    assert_eq!((record.before.clone(), record.after.clone()), (Some(keys(3, 4)), Some(keys(13, 14))));

    let rows = world.all().await;
    assert_eq!(world.reseal(&now).await.resealed, 0);
    assert_eq!(world.all().await, rows, "what is sealed with the first keys is left alone");
}

#[tokio::test]
async fn what_the_edge_does_not_read_is_not_told_to_it() {
    let world = World::start().await;
    let domain = world.domain(vault(&[3], &[4]), 2);
    let project = project(&domain, "one").await;
    credential(&domain, project, "sk-provider-1").await;
    let before = world.all().await.remove(0);
    world.forget_outbox().await;
    assert_eq!(world.reseal(&vault(&[13, 3], &[4])).await.resealed, 1);
    let after = world.all().await.remove(0);
    assert!(opens_with(&after, "sk-provider-1", 13, 4));
    assert_eq!(after.sealed, before.sealed);
    assert!(world.changed_projects().await.is_empty());
}

#[tokio::test]
async fn what_no_key_opens_stays_and_is_named_while_the_others_are_resealed() {
    let world = World::start().await;
    let lost = world.domain(vault(&[30], &[40]), 2);
    let known = world.domain(vault(&[3], &[4]), 2);
    let rescued = world.domain(vault(&[30], &[4]), 2);
    let project = project(&known, "one").await;
    let stuck = credential(&lost, project, "sk-provider-1").await;
    credential(&known, project, "sk-provider-2").await;
    credential(&rescued, project, "sk-provider-3").await;
    deactivate(&known, project, stuck).await;

    let outcome = world.reseal(&vault(&[13, 3], &[14, 4])).await;
    assert_eq!((outcome.resealed, outcome.recovered, outcome.left), (2, 1, 0));
    assert_eq!(outcome.stuck.len(), 1);
    let named = &outcome.stuck[0];
    assert_eq!((named.credential_id, named.project_id, named.is_active), (stuck, project, false));
    assert!(named.reason.contains(&id(30)), "{}", named.reason);
    let rows = world.all().await;
    assert!(opens_with(&rows[0], "sk-provider-1", 30, 40));
    assert!(opens_with(&rows[1], "sk-provider-2", 13, 14));
    assert!(opens_with(&rows[2], "sk-provider-3", 13, 14));

    // Two ways out: the key is found, or the provider key is given anew.
    assert_eq!(world.reseal(&vault(&[13, 30], &[14])).await.resealed, 1);
    let domain = world.domain(vault(&[23], &[24]), 2);
    let patch = CredentialPatch {
        api_key: Some(Secret::from("sk-provider-4".to_owned())),
        ..CredentialPatch::default()
    };
    domain.patch_credential(&act(), project, stuck, patch).await.unwrap();
    assert!(opens_with(&world.all().await[0], "sk-provider-4", 23, 24));
}

/// Of another deployment, say: no key is missing, and still it does not open.
#[tokio::test]
async fn what_belongs_elsewhere_is_stuck_too() {
    let world = World::start().await;
    let mut elsewhere = vault(&[3], &[4]);
    elsewhere.deployment_id = "other".into();
    let domain = world.domain(elsewhere, 2);
    let project = project(&domain, "one").await;
    credential(&domain, project, "sk-provider-1").await;
    let outcome = world.reseal(&vault(&[13, 3], &[14, 4])).await;
    assert_eq!((outcome.resealed, outcome.stuck.len()), (0, 1));
    assert!(outcome.stuck[0].reason.contains("DEPLOYMENT_ID"), "{}", outcome.stuck[0].reason);
}

/// A control plane changes credentials, another one makes and deletes some, and
/// two reseal, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_meanwhile_is_not_lost() {
    let world = World::start().await;
    let old = world.domain(vault(&[3], &[4]), 2);
    let new = world.domain(vault(&[13, 3], &[14, 4]), 2);
    let project = project(&old, "one").await;
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(credential(&old, project, &format!("sk-provider-{n}")).await);
    }
    let (changed, deleted) = ids.split_at(30);
    let keys = vault(&[13, 3], &[14, 4]);
    let patches = async {
        for (n, id) in changed.iter().enumerate() {
            let api_key = (n % 2 == 0).then(|| Secret::from(format!("sk-changed-{n}")));
            let patch = CredentialPatch {
                label: Some(format!("label {n}")),
                weight: Some(7),
                is_active: Some(n % 3 == 0),
                api_key,
                ..CredentialPatch::default()
            };
            new.patch_credential(&act(), project, *id, patch).await.unwrap();
        }
    };
    let deletions = async {
        for id in deleted {
            new.delete_credential(&act(), project, *id).await.unwrap();
        }
    };
    let (one, two, (), ()) = tokio::join!(world.reseal(&keys), world.reseal(&keys), patches, deletions);
    assert_eq!((one.left, two.left, one.stuck.len() + two.stuck.len()), (0, 0, 0));
    assert!((1..=40).contains(&(one.resealed + two.resealed)));

    let rows = world.all().await;
    assert_eq!(rows.len(), 30);
    for (n, row) in rows.iter().enumerate() {
        let secret = if n % 2 == 0 { format!("sk-changed-{n}") } else { format!("sk-provider-{n}") };
        assert!(opens_with(row, &secret, 13, 14), "{n}");
        assert_eq!((row.label.clone(), row.weight, row.is_active), (format!("label {n}"), 7, n % 3 == 0));
    }
}

/// Cut off at any await, inside a transaction too.
#[tokio::test]
async fn cut_off_midway_it_goes_on_where_it_stopped() {
    let world = World::start().await;
    let old = world.domain(vault(&[3], &[4]), 2);
    let project = project(&old, "one").await;
    for n in 0..20 {
        credential(&old, project, &format!("sk-provider-{n}")).await;
    }
    let now = vault(&[13, 3], &[14, 4]);
    let done = AtomicU64::new(0);
    let mut progress = |so_far: u64, total: u64| {
        assert_eq!(total, 20);
        done.store(so_far, Ordering::Relaxed);
    };
    let run = reseal(&world.store, &now, UNHURRIED, clock::now, &mut progress);
    let cut = async {
        while done.load(Ordering::Relaxed) < 7 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = run => panic!("it was not cut off"),
        () = cut => {}
    }
    let is_new = |row: &CredentialRow| row.sealed.contains(&id(14));
    let rows = world.all().await;
    let so_far = rows.iter().filter(|row| is_new(row)).count();
    assert!((7..20).contains(&so_far), "{so_far}");
    for (n, row) in rows.iter().enumerate() {
        let (at_rest, edge) = if is_new(row) { (13, 14) } else { (3, 4) };
        assert!(opens_with(row, &format!("sk-provider-{n}"), at_rest, edge), "both seals or neither: {n}");
    }
    assert_eq!(world.reseal(&now).await.resealed, 20 - so_far as u64);
    for (n, row) in world.all().await.iter().enumerate() {
        assert!(opens_with(row, &format!("sk-provider-{n}"), 13, 14), "{n}");
    }
}
