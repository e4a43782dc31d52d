//! `kill -9` of isolates under load: what is lost is what they had under way and
//! their last group, and the control plane says so.

use super::check::{Stored, contradiction};
use super::client::{Client, Sent};
use super::rig::{Place, Rig, until};
use crate::soak::dice::Dice;
use control_plane::store::Store;
use control_plane::store::sql::query;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const A_ROUND: usize = 200;
const AT_ONCE: usize = 16;
/// How long an event may take to the queue: a group's 50 ms, and a busy machine.
const GROUP: Duration = Duration::from_secs(1);
/// Longer than the control plane waits for a silent isolate.
const SILENCE_MS: i64 = 16 * 60 * 1000;

/// What happened.
#[derive(Debug)]
pub struct Report {
    sent: usize,
    kills: usize,
    /// Answered, and not in the database.
    lost: usize,
    unanswered: usize,
    /// By the control plane, of both.
    told_missing: u64,
    told_in_flight: u64,
}

/// Panics if anything that must hold does not.
pub async fn run(kills: usize, mut dice: Dice) -> Report {
    let rig = Arc::new(Rig::start(Place::default(), dice.child()).await);
    let mut client = Client::new(Arc::clone(&rig), dice.child());
    let killing = tokio::spawn(kill(Arc::clone(&rig), kills, dice.child()));
    while !killing.is_finished() {
        client.round(A_ROUND, AT_ONCE).await;
    }
    let killed = killing.await.unwrap();
    tokio::time::sleep(GROUP).await;
    let waits =
        async || rig.queue.is_empty() && rig.get("/manage/events/status").await["waiting_batches"] == 0;
    until("the counting", waits).await;
    assert_eq!(rig.get("/manage/events/status").await["lost_in_flight"], 0);
    make_silent(&rig).await;

    let stored = Stored::read(&rig).await;
    let known = || client.sent.iter().filter(|sent| !sent.kind.is_anonymous());
    let event = |sent: &Sent| stored.events.get(sent.id.as_ref()?);
    let problems: Vec<String> = known()
        .filter(|sent| sent.bytes.is_some())
        .filter_map(|sent| contradiction(sent, event(sent)?, &client))
        .collect();
    assert!(problems.is_empty(), "{problems:#?}");

    // Who was killed, and when, of those of which something is not there.
    let mut lost: HashMap<usize, u64> = HashMap::new();
    for sent in known().filter(|sent| event(sent).is_none()) {
        let at = killed.get(&sent.edge).unwrap_or_else(|| panic!("lost by one that lives: {sent:?}"));
        assert!(sent.ended + GROUP > *at, "lost, though there was time to send it: {sent:?}");
        *lost.entry(sent.edge).or_default() += 1;
    }
    let of_edge: HashMap<&str, usize> =
        known().filter_map(|sent| Some((event(sent)?["isolate_id"].as_str()?, sent.edge))).collect();
    let gaps = rig.get("/manage/events/gaps?limit=100").await;
    let (mut told_missing, mut told_in_flight) = (0, 0);
    for gap in gaps["data"].as_array().unwrap() {
        let edge = of_edge[gap["isolate_id"].as_str().unwrap()];
        let told = ["missing", "lost_in_flight"].map(|field| gap[field].as_u64().unwrap());
        let lost = lost.get(&edge).copied().unwrap_or_default();
        assert!(told[1] <= lost, "edge {edge} lost {lost}, not what is told: {gap}");
        told_missing += told[0];
        told_in_flight += told[1];
    }
    let status = rig.get("/manage/events/status").await;
    assert_eq!(status["lost_in_flight"], told_in_flight);
    assert!(told_missing + told_in_flight > 0, "nothing is seen of {lost:?}");
    Report {
        sent: client.sent.len(),
        kills,
        lost: known().filter(|sent| sent.id.is_some() && event(sent).is_none()).count(),
        unanswered: known().filter(|sent| sent.id.is_none()).count(),
        told_missing,
        told_in_flight,
    }
}

/// The numbers of those that were killed, and when.
async fn kill(rig: Arc<Rig>, kills: usize, mut dice: Dice) -> HashMap<usize, Instant> {
    let mut killed = HashMap::new();
    for _ in 0..kills {
        tokio::time::sleep(dice.millis(500..1_500)).await;
        let rig = Arc::clone(&rig);
        let number = tokio::task::spawn_blocking(move || rig.kill_edge()).await.unwrap();
        killed.insert(number, Instant::now());
    }
    killed
}

/// As if the time had gone by.
async fn make_silent(rig: &Rig) {
    let store = Store::connect(&rig.database).await.unwrap();
    let mut tx = store.write().await.unwrap();
    let earlier = query("update event_isolates set last_received_at = last_received_at - $1");
    earlier.bind(SILENCE_MS).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    store.close().await;
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, kills, lost, unanswered, told_missing, told_in_flight } = self;
        write!(
            f,
            "{kills} isolates killed during {sent} requests; {lost} were answered and lost, {unanswered} were \
             not answered; the control plane tells of {told_missing} missing and {told_in_flight} in flight"
        )
    }
}
