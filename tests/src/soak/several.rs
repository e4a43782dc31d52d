//! Several control planes, of which the one that publishes is stopped, or
//! killed, where it hurts: what it had under way reaches KV when another one
//! publishes already.

use super::dice::Dice;
use super::rig::Rig;
use super::view::View;
use super::watch::Watch;
use crate::postgres::Postgres;
use shared::snapshot::MANIFEST_KEY;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Old state may last so long in KV.
const HEARTBEAT: Duration = Duration::from_secs(8);
/// And as long as it takes a busy machine to read, sign and write: shorter than
/// a heartbeat, so that one that is left out shows.
const SLACK: Duration = Duration::from_secs(4);
const VARIABLES: [(&str, &str); 3] =
    [("SNAPSHOT_HEARTBEAT", "8"), ("SNAPSHOT_SETTLE", "1"), ("SNAPSHOT_LEASE", "2")];
const MEMBERS: usize = 3;

/// Where the one that publishes is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing is to be published.
    Idle,
    /// It has sent a manifest, which takes effect after another one's.
    ManifestUnderWay,
    /// The same, and it is killed.
    KilledWithManifestUnderWay,
    /// It carries out an order to compile everything anew.
    Compiling,
    /// After so long since a change.
    AfterChange(Duration),
}

impl Moment {
    pub fn by_chance(dice: &mut Dice) -> Self {
        match dice.below(6) {
            0 => Self::Idle,
            1 => Self::ManifestUnderWay,
            2 => Self::KilledWithManifestUnderWay,
            3 => Self::Compiling,
            _ => Self::AfterChange(dice.millis(0..80)),
        }
    }
}

#[derive(Debug)]
pub struct Report {
    cycles: usize,
    /// How long KV had old state, each time.
    setbacks: Vec<Duration>,
    /// The longest time from a revocation to KV, with the election of another.
    slowest: Duration,
    took: Duration,
}

/// Goes through `moments`; panics if anything that must hold does not.
pub async fn run(server: &Postgres, moments: impl IntoIterator<Item = Moment>, mut dice: Dice) -> Report {
    let started = Instant::now();
    let url = server.create_database();
    let rig = Rig::start(Some(&url), MEMBERS, &VARIABLES).await;
    let watch = Watch::start(Arc::clone(&rig.kv));
    let (project, _) = rig.project("several").await;
    let world = World { rig, project, revoked: watch.revoked(), server, url };
    let (mut cycles, mut slowest) = (0, Duration::ZERO);
    for moment in moments {
        slowest = slowest.max(world.cycle(moment, &mut dice).await);
        cycles += 1;
    }
    world.rig.until_published(0).await;
    world.rig.verify().await;
    let seen = watch.end().await;
    assert_eq!(seen.violations, [""; 0]);
    for setback in &seen.setbacks {
        assert!(*setback < HEARTBEAT + SLACK, "KV had old state for {setback:?}");
    }
    Report { cycles, setbacks: seen.setbacks, slowest, took: started.elapsed() }
}

struct World<'a> {
    rig: Rig,
    project: String,
    revoked: Arc<Mutex<Vec<Uuid>>>,
    server: &'a Postgres,
    url: String,
}

impl World<'_> {
    /// How long it took until another one had told a revocation.
    async fn cycle(&self, moment: Moment, dice: &mut Dice) -> Duration {
        let Self { rig, .. } = self;
        let leader = rig.leader().await;
        let follower = dice.pick(rig.fleet.all().filter(|&at| at != leader)).unwrap();
        let token = rig.token(follower, &self.project).await;
        rig.until("the token in KV", async || View::now(&rig.kv).token(token).is_some()).await;

        // The one that publishes begins something, and gets no further.
        let mut held = None;
        let mut rebuild = None;
        match moment {
            Moment::Idle => {}
            Moment::ManifestUnderWay | Moment::KilledWithManifestUnderWay => {
                held = Some(rig.kv.hold_write(MANIFEST_KEY));
                rig.token(follower, &self.project).await;
            }
            Moment::Compiling => {
                // The index is made for the new token, so it is written in any case.
                held = Some(rig.kv.hold_write("index/"));
                let setup = rig.fleet.setup().clone();
                rebuild =
                    Some(tokio::spawn(async move { setup.run(&["snapshot", "rebuild", "--json"]).await }));
            }
            Moment::AfterChange(pause) => {
                rig.token(follower, &self.project).await;
                tokio::time::sleep(pause).await;
            }
        }
        if let Some(held) = &mut held {
            held.caught().await;
        }
        let is_killed = moment == Moment::KilledWithManifestUnderWay;
        if is_killed {
            rig.fleet.kill(leader);
        } else {
            rig.fleet.signal(leader, "STOP");
        }

        rig.revoke(follower, token).await;
        let took = rig.until_revoked(token).await;
        self.revoked.lock().unwrap().push(token);
        if let Some(rebuild) = rebuild {
            let output = rebuild.await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let bases = self.bases();

        // It goes on, and what it had begun arrives, in whichever order.
        let goes_on_first = dice.percent(50);
        if goes_on_first {
            self.go_on(leader, is_killed).await;
        }
        if let Some(held) = held {
            held.land().await;
            let since_landing = rig.until_revoked(token).await;
            assert!(since_landing < HEARTBEAT + SLACK, "KV had old state for {since_landing:?}");
        }
        if !goes_on_first {
            self.go_on(leader, is_killed).await;
        }
        let follows = async || rig.publisher_as_told_by(leader).await.as_deref() == Some("another");
        rig.until("the one that was stopped follows", follows).await;
        assert!(View::now(&rig.kv).is_revoked(token));
        assert_eq!(self.bases(), bases, "who does not publish recorded a base");
        took
    }

    /// Those on record that manifests may name.
    fn bases(&self) -> String {
        self.server.psql(&self.url, "select id from snapshot_bases where state = 'current' order by id")
    }

    async fn go_on(&self, leader: usize, is_killed: bool) {
        if is_killed {
            self.rig.fleet.restart(leader).await;
        } else {
            self.rig.fleet.signal(leader, "CONT");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cycles, setbacks, slowest, took } = self;
        let longest = setbacks.iter().max().copied().unwrap_or_default();
        write!(
            f,
            "{cycles} times the one that publishes was stopped or killed; {} times old state reached KV, for \
             {longest:.1?} at most (heartbeat {HEARTBEAT:?}); a revocation took {slowest:.1?} at most, with the \
             election of another; {took:.0?}",
            setbacks.len(),
        )
    }
}
