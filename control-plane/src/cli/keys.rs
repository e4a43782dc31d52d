//! `latchkey keys`: with the configuration that `latchkey serve` has, and beside
//! it while it runs.

use super::snapshot::{Output, Progress, json};
use super::{Failure, block_on, environment, print};
use crate::app;
use crate::clock;
use crate::config::{Config, Keys};
use crate::domain::rotation::{self, InKv, KindStanding, Listed, Pace, Rank, Resealed, Tally, Verdict};
use crate::snapshot::PublisherSettings;
use crate::snapshot::kv::KvClient;
use crate::store::Store;
use crate::vault::Vault;
use clap::Subcommand;
use serde::Serialize;
use shared::key::{KeyId, KeyRing};
use shared::snapshot::MANIFEST_KEY;
use shared::snapshot::manifest::{Manifest, ManifestError};
use shared::snapshot::signed::{self, Kind, SignedError, SnapshotSigner};
use std::time::Duration;

/// A quarter of what the publisher takes at once; see [`Pace`].
const DELTA_BYTES: u64 = 2 * 1024 * 1024;
/// For a compaction, besides the time in which its objects settle.
const COMPACTION: Duration = Duration::from_mins(10);
/// The rest is counted; `--json` has all.
const SHOWN_STUCK: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which keys are listed, what still needs each, and which may be removed
    Status(Output),
    /// Seal every stored provider key and sink's secret anew with the first keys; may be stopped and run again at any time
    Reseal(Output),
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let config = Config::read(&environment)?;
    block_on(async {
        let store = Store::connect(&config.database_url).await.map_err(Failure::new)?;
        let outcome = match command {
            Command::Status(output) => status(&config, &store, *output).await,
            Command::Reseal(output) => reseal(&config, &store, *output).await,
        };
        store.close().await;
        outcome
    })?
}

#[derive(Debug, Serialize)]
struct Status {
    keys: Vec<KindStanding>,
    manifest: String,
    pending: u64,
}

async fn status(config: &Config, store: &Store, output: Output) -> Result<(), Failure> {
    let tally = Tally::read(store, clock::now()).await.map_err(Failure::new)?;
    let (in_kv, manifest) = look_at_kv(&app::publisher_settings(config), tally.now).await;
    let keys = tally.standings(&listed(config), &in_kv);
    if output.json {
        return json(&Status { keys, manifest, pending: tally.pending });
    }
    for kind in &keys {
        tell(kind);
    }
    print(format_args!("\nmanifest in KV: {manifest}"));
    let named = |verdict| {
        let of = |kind: &KindStanding| {
            let keys = kind.keys.iter().filter(move |key| key.verdict == verdict);
            let ids = keys.filter_map(|key| key.id.clone());
            ids.map(|id| format!("{} {id}", kind.name)).collect::<Vec<_>>()
        };
        let names: Vec<String> = keys.iter().flat_map(of).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    print(format_args!("can be removed now: {}", named(Verdict::Removable)));
    print(format_args!("needed, but not listed: {}", named(Verdict::Problem)));
    Ok(())
}

fn tell(kind: &KindStanding) {
    print(kind.name);
    for key in &kind.keys {
        let rank = match key.rank {
            Rank::First => "first",
            Rank::Listed => "listed",
            Rank::NotListed => "NOT LISTED",
            Rank::Unknown => "not known",
        };
        let id = key.id.as_deref().unwrap_or("-");
        print(format_args!("  {id:<16}  {rank:<10}  {}", key.advice));
    }
}

fn listed(config: &Config) -> Listed {
    let Keys { encryption, snapshot_signing, edge_credential, token_tag, edge_ingest } = &config.keys;
    let ids = |ring: &KeyRing| ring.iter().map(shared::key::Key::id).collect();
    let public = |seed| KeyId::of(&SnapshotSigner::new(seed).verifying_key());
    Listed {
        encryption: ids(encryption),
        snapshot_signing: snapshot_signing.iter().map(|key| public(key.bytes())).collect(),
        edge_credential: ids(edge_credential),
        token_tag: ids(token_tag),
        edge_ingest: ids(edge_ingest),
        management: config
            .management_tokens
            .iter()
            .map(|token| KeyId::of(token.reveal().as_bytes()))
            .collect(),
    }
}

/// Which key signed the manifest in KV; and the same in words.
async fn look_at_kv(settings: &PublisherSettings, now: u64) -> (InKv, String) {
    let PublisherSettings { kv_api_base, kv_namespace_id, cloudflare_api_token, .. } = settings;
    let kv = KvClient::new(kv_api_base.clone(), kv_namespace_id.clone(), cloudflare_api_token.as_ref());
    let object = match kv.get(MANIFEST_KEY).await {
        Ok(Some(object)) => object,
        Ok(None) => return (InKv::Missing, "there is none".to_owned()),
        Err(error) => {
            let why = format!("could not be read: {error}");
            return (InKv::Unknown(format!("the manifest in KV {why}")), why);
        }
    };
    let Some(key) = signed::key_id(Kind::Manifest, &object) else {
        let why = "is not a manifest of this version of latchkey".to_owned();
        return (InKv::Unknown(format!("what KV has {why}")), why);
    };
    let words = match Manifest::decode(&object, &settings.verifier) {
        Ok(manifest) => {
            let age = now.saturating_sub(manifest.created_at) / 1000;
            format!("version {}, {age} s old, signed with {key}", manifest.version)
        }
        Err(ManifestError::Signed(SignedError::UnknownKey(_))) => {
            format!("signed with {key}, which is not listed")
        }
        Err(error) => format!("says it is signed with {key}, but cannot be used: {error}"),
    };
    (InKv::SignedBy(key), words)
}

async fn reseal(config: &Config, store: &Store, output: Output) -> Result<(), Failure> {
    let vault = Vault {
        deployment_id: config.deployment_id.clone(),
        at_rest: config.keys.encryption.clone(),
        edge: config.keys.edge_credential.clone(),
    };
    let pace = Pace { delta_bytes: DELTA_BYTES, patience: config.publisher.settle + COMPACTION };
    let mut progress = Progress::new();
    let mut show = |done: u64, total: u64| progress.say(&format!("{done} of {total} credentials"));
    let outcome = rotation::reseal(store, &vault, pace, clock::now, &mut show).await;
    progress.clear();
    let outcome = outcome.map_err(|error| {
        Failure::new(format!("{error}; what was resealed stays so, run it again to go on"))
    })?;
    if output.json {
        json(&outcome)?;
    } else {
        tell_resealed(&outcome);
    }
    let wrong = what_is_wrong(&outcome);
    if wrong.is_empty() { Ok(()) } else { Err(Failure::new(wrong.join("\n"))) }
}

fn tell_resealed(outcome: &Resealed) {
    let Resealed { resealed, recovered, stuck, left: _, sinks } = outcome;
    for each in stuck.iter().take(SHOWN_STUCK) {
        print(format_args!(
            "credential {} of project {}: {}",
            each.credential_id, each.project_id, each.reason
        ));
    }
    for each in &sinks.stuck {
        print(format_args!("sink {} ({}): {}", each.name, each.sink_id, each.reason));
    }
    print(format_args!("resealed {resealed} credentials, {recovered} of them from the edge's seal alone"));
    print(format_args!("resealed the secrets of {} sinks", sinks.resealed));
}

fn what_is_wrong(outcome: &Resealed) -> Vec<String> {
    let Resealed { resealed: _, recovered: _, stuck, left, sinks } = outcome;
    let mut wrong = Vec::new();
    if !stuck.is_empty() {
        wrong.push(format!(
            "{} credentials do not open: list the key that sealed them again after the first and run this \
             again; if it is lost, give each its api_key anew: PATCH \
             /manage/projects/<project>/credentials/<credential>",
            stuck.len()
        ));
    }
    if !sinks.stuck.is_empty() {
        wrong.push(format!(
            "{} sinks' secrets do not open: list the key that sealed them again after the first and run this \
             again; if it is lost, give each its secret anew: latchkey sinks set <sink> --secret-file -",
            sinks.stuck.len()
        ));
    }
    if left + sinks.left > 0 {
        wrong.push(format!(
            "{left} credentials and {} sinks' secrets were meanwhile sealed with other keys: restart every \
             control plane with the new list and run this again",
            sinks.left
        ));
    }
    wrong
}
