//! `kill -9` at any moment, of whatever there is, and a KV that fails between.

use super::dice::Dice;
use super::fleet::Fleet;
use crate::kv::{Fault, KvServer, Side};
use crate::postgres::Postgres;
use shared::snapshot::MANIFEST_KEY;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Waits for something to happen in KV no longer than this.
const AIM: Duration = Duration::from_millis(1_500);
const LOOK: Duration = Duration::from_millis(2);

#[derive(Clone, Debug)]
pub struct Disturber {
    pub fleet: Arc<Fleet>,
    pub kv: Arc<KvServer>,
    /// None where the database is a file.
    pub server: Option<Arc<Postgres>>,
    pub is_over: Arc<AtomicBool>,
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kills {
    pub control_planes: usize,
    pub databases: usize,
}

impl Disturber {
    /// Kills until `wanted` kills were made and it is over; everything is up again then.
    pub async fn kill(self, mut dice: Dice, wanted: usize) -> Kills {
        let mut kills = Kills::default();
        while kills.control_planes + kills.databases < wanted || !self.is_over() {
            tokio::time::sleep(dice.millis(self.pause())).await;
            if dice.percent(70) {
                self.take_aim(&mut dice).await;
            }
            match &self.server {
                Some(server) if dice.percent(30) => {
                    kills.databases += 1;
                    kill_database(server, dice.millis(0..800)).await;
                }
                _ => kills.control_planes += self.kill_control_planes(&mut dice).await,
            }
        }
        kills
    }

    /// Lets KV fail in one way after another until it is over.
    pub async fn fail(self, mut dice: Dice) -> usize {
        let mut faults = 0;
        while !self.is_over() {
            tokio::time::sleep(dice.millis(300..3_000)).await;
            let delay = dice.millis(20..700);
            let fault = dice.pick(
                [Fault::Fail, Fault::FailAfter, Fault::Hang, Fault::Delay(delay), Fault::RateLimit(1)]
                    .into_iter(),
            );
            self.kv.set_fault(Side::Rest, fault.unwrap());
            tokio::time::sleep(dice.millis(50..1_200)).await;
            self.kv.set_fault(Side::Rest, Fault::None);
            faults += 1;
        }
        faults
    }

    /// Orders one full compaction after another until it is over. They may fail:
    /// what they work with is killed.
    pub async fn rebuild(self, mut dice: Dice) -> usize {
        let mut rebuilt = 0;
        while !self.is_over() {
            tokio::time::sleep(dice.millis(100..1_500)).await;
            let ordered = self.fleet.setup().run(&["snapshot", "rebuild", "--json"]);
            // With nobody alive who would do it, it waits long.
            let outcome = tokio::time::timeout(Duration::from_secs(15), ordered).await;
            rebuilt += usize::from(outcome.is_ok_and(|output| output.status.success()));
        }
        rebuilt
    }

    /// Between two kills. The lease of who published must lapse before another
    /// one does, and that one is to get somewhere.
    fn pause(&self) -> Range<u64> {
        if self.server.is_some() { 100..3_000 } else { 50..1_000 }
    }

    /// Waits until KV is written, and a moment more: kills are to hit what is
    /// under way between KV and database, not the pauses between.
    async fn take_aim(&self, dice: &mut Dice) {
        let prefix = dice.pick([MANIFEST_KEY, MANIFEST_KEY, "index/", "fresh/"].into_iter()).unwrap();
        let writes = || self.kv.writes(Side::Rest, prefix);
        let (before, started) = (writes(), Instant::now());
        while writes() == before && started.elapsed() < AIM {
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep(dice.millis(0..15)).await;
    }

    async fn kill_control_planes(&self, dice: &mut Dice) -> usize {
        let chosen = dice.below(self.fleet.all().len());
        let all_at_once = dice.percent(15);
        let victims: Vec<usize> = self.fleet.all().filter(|&at| all_at_once || at == chosen).collect();
        for &at in &victims {
            self.fleet.kill(at);
        }
        tokio::time::sleep(dice.millis(0..300)).await;
        futures_util::future::join_all(victims.iter().map(|&at| self.fleet.restart(at))).await;
        victims.len()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// It stays down for `pause`.
async fn kill_database(server: &Arc<Postgres>, pause: Duration) {
    let server = Arc::clone(server);
    let killed = tokio::task::spawn_blocking(move || {
        server.kill();
        std::thread::sleep(pause);
        server.restart();
    });
    killed.await.unwrap();
}
