//! `kill -9` of control planes and database in a loop, while clients make
//! changes and KV fails now and then. Afterwards nothing is lost, nothing is
//! missing, and nothing that was taken back has come back.

use super::afterwards;
use super::client::{Client, Work};
use super::dice::Dice;
use super::disturb::{Disturber, Kills};
use super::edge::Edge;
use super::ledger::{Ledger, Project, Tally};
use super::rig::Rig;
use super::watch::{Seen, Watch};
use crate::kv::Side;
use crate::postgres::Postgres;
use shared::snapshot::MANIFEST_KEY;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// So that everything happens often: bases settle, the manifest is signed anew,
/// and the lease of one that was killed lapses, each within seconds.
const VARIABLES: [(&str, &str); 3] =
    [("SNAPSHOT_HEARTBEAT", "2"), ("SNAPSHOT_SETTLE", "1"), ("SNAPSHOT_LEASE", "2")];
const PROJECTS_A_CLIENT: usize = 2;
const LOOK: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// With one control plane.
    Sqlite,
    /// With two, and killed itself.
    Postgres,
}

/// How long it goes on: until both numbers are reached.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub database: Database,
    pub changes: usize,
    pub kills: usize,
    pub clients: usize,
    /// So many compactions must have come into use meanwhile.
    pub bases: usize,
}

/// What happened.
#[derive(Debug)]
pub struct Report {
    tally: Tally,
    kills: Kills,
    faults: usize,
    rebuilds: usize,
    seen: Seen,
    publications: usize,
    /// Tokens that were asked about at the edge in the end.
    asked: usize,
    took: Duration,
}

/// Panics if anything that must hold does not.
pub async fn run(plan: Plan, mut dice: Dice) -> Report {
    let started = Instant::now();
    let server = match plan.database {
        Database::Sqlite => None,
        Database::Postgres => Some(Arc::new(tokio::task::spawn_blocking(Postgres::start).await.unwrap())),
    };
    let url = server.as_ref().map(|server| server.create_database());
    let rig = Rig::start(url.as_deref(), if server.is_some() { 2 } else { 1 }, &VARIABLES).await;
    let watch = Watch::start(Arc::clone(&rig.kv));
    let (work, clients) = start_clients(&rig, &watch, &mut dice, plan.clients).await;

    let is_over = Arc::new(AtomicBool::new(false));
    let (fleet, kv) = (Arc::clone(&rig.fleet), Arc::clone(&rig.kv));
    let disturber = Disturber { fleet, kv, server: server.clone(), is_over: Arc::clone(&is_over) };
    let kills = tokio::spawn(disturber.clone().kill(dice.child(), plan.kills));
    let faults = tokio::spawn(disturber.clone().fail(dice.child()));
    let rebuilds = tokio::spawn(disturber.rebuild(dice.child()));
    while work.made.load(Ordering::Relaxed) < plan.changes {
        tokio::time::sleep(LOOK).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (kills, faults) = (kills.await.unwrap(), faults.await.unwrap());
    let rebuilds = rebuilds.await.unwrap();
    work.is_over.store(true, Ordering::Relaxed);
    let mut ledgers = Vec::new();
    for client in clients {
        ledgers.push(client.await.unwrap());
    }

    settle(&rig, &work.edge, &ledgers).await;
    let (asked, mut problems) = afterwards::check(&rig, &work.edge, &ledgers).await;
    rig.verify().await;
    let seen = watch.end().await;
    problems.extend(seen.violations.iter().cloned());
    problems.extend(seen.setbacks.iter().map(|setback| format!("KV had an older manifest for {setback:?}")));
    assert!(problems.is_empty(), "{} problems: {:#?}", problems.len(), &problems[..problems.len().min(20)]);
    let mut tally = Tally::default();
    for ledger in &ledgers {
        tally += ledger.tally;
    }
    assert!(
        2 * tally.acknowledged > tally.made,
        "of {} changes {} succeeded",
        tally.made,
        tally.acknowledged
    );
    let Seen { manifests, bases, .. } = seen;
    assert!(manifests > 0 && bases >= plan.bases, "{manifests} manifests and {bases} bases were seen");
    let publications = rig.kv.writes(Side::Rest, MANIFEST_KEY);
    Report { tally, kills, faults, rebuilds, seen, publications, asked, took: started.elapsed() }
}

async fn start_clients(
    rig: &Rig,
    watch: &Watch,
    dice: &mut Dice,
    count: usize,
) -> (Arc<Work>, Vec<tokio::task::JoinHandle<Ledger>>) {
    let (shared, credential) = rig.project("shared").await;
    let mut projects = Vec::new();
    for client in 0..count {
        let shared = Project::new(shared.clone(), "shared".to_owned(), credential.clone(), true);
        let mut of_client = vec![shared];
        for n in 0..PROJECTS_A_CLIENT {
            let name = format!("project {n} of client {client}");
            let (id, credential) = rig.project(&name).await;
            of_client.push(Project::new(id, name, credential, false));
        }
        projects.push(of_client);
    }
    let work = Arc::new(Work {
        fleet: Arc::clone(&rig.fleet),
        edge: Edge::start(&rig.kv),
        upstream: rig.upstream.clone(),
        made: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        revoked: watch.revoked(),
    });
    until_seen(rig, &work.edge).await;
    let clients = projects.into_iter().enumerate().map(|(number, projects)| {
        tokio::spawn(Client::new(Arc::clone(&work), dice.child(), number, projects).run())
    });
    (Arc::clone(&work), clients.collect())
}

/// One control plane, as if it alone had survived, and nothing else happens.
async fn settle(rig: &Rig, edge: &Edge, ledgers: &[Ledger]) {
    rig.fleet.all().for_each(|at| rig.fleet.kill(at));
    rig.fleet.restart(0).await;
    until_seen(rig, edge).await;
    let withered = ledgers.iter().filter_map(|ledger| ledger.withered).max();
    tokio::time::sleep(withered.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())))
        .await;
}

/// Waits until everything is published, and the edge goes by that.
async fn until_seen(rig: &Rig, edge: &Edge) {
    rig.until_published(0).await;
    let status = rig.must(0, reqwest::Method::GET, "/manage/snapshot", None).await;
    let version = status["published_version"].as_u64();
    rig.until("the snapshot at the edge", async || edge.version().await >= version).await;
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tally, kills, faults, rebuilds, seen, publications, asked, took } = self;
        write!(
            f,
            "{} changes made, {} acknowledged; kill -9 of {} control planes and {} databases, {faults} faults \
             of KV; {publications} publications, {} manifests seen, {} bases, {rebuilds} rebuilds; {} requests \
             at the edge meanwhile, {asked} tokens asked about afterwards; {took:.0?}",
            tally.made,
            tally.acknowledged,
            kills.control_planes,
            kills.databases,
            seen.manifests,
            seen.bases,
            tally.asked,
        )
    }
}
