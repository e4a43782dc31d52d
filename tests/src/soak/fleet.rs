//! Several control planes over one database, each of which may be killed,
//! stopped where it stands, and started again.

use crate::stack::{Caller, ControlPlane, Setup};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

const STARTS: u32 = 200;
const BETWEEN_STARTS: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub struct Fleet {
    setup: Setup,
    members: Vec<Mutex<Option<ControlPlane>>>,
    /// Those that are stopped where they stand.
    paused: Vec<AtomicBool>,
}

impl Fleet {
    /// All at once, as when a database is empty and many machines start.
    pub async fn start(setup: Setup, count: usize) -> Arc<Self> {
        let members = (0..count).map(|_| Mutex::default()).collect();
        let paused = (0..count).map(|_| AtomicBool::default()).collect();
        let fleet = Arc::new(Self { setup, members, paused });
        let starts = fleet.all().map(|at| fleet.restart(at));
        futures_util::future::join_all(starts).await;
        fleet
    }

    pub fn all(&self) -> std::ops::Range<usize> {
        0..self.members.len()
    }

    /// Who calls the member; none while it is down.
    pub fn caller(&self, at: usize) -> Option<Caller> {
        self.member(at).as_ref().map(ControlPlane::caller)
    }

    /// Those that run, and answer.
    pub fn awake(&self) -> Vec<Caller> {
        let awake = self.all().filter(|&at| !self.paused[at].load(Ordering::Relaxed));
        awake.filter_map(|at| self.caller(at)).collect()
    }

    /// Stops it where it stands, for so long.
    pub async fn pause(&self, at: usize, lasting: Duration) {
        self.paused[at].store(true, Ordering::Relaxed);
        self.signal(at, "STOP");
        tokio::time::sleep(lasting).await;
        self.signal(at, "CONT");
        self.paused[at].store(false, Ordering::Relaxed);
    }

    /// `kill -9`
    pub fn kill(&self, at: usize) {
        drop(self.member(at).take());
    }

    /// Asks it to end, and waits until it has.
    pub async fn stop(&self, at: usize) {
        let mut member = self.member(at).take().unwrap();
        member.process().signal("TERM");
        let end = tokio::task::spawn_blocking(move || member.process().child().wait().unwrap());
        assert!(end.await.unwrap().success());
    }

    /// Its resident memory in bytes.
    pub fn resident(&self, at: usize) -> u64 {
        self.member(at).as_mut().unwrap().process().resident()
    }

    /// `STOP` or `CONT`
    pub fn signal(&self, at: usize, name: &str) {
        self.member(at).as_mut().unwrap().process().signal(name);
    }

    /// Starts it, again and again if its database is down.
    pub async fn restart(&self, at: usize) {
        for _ in 0..STARTS {
            let setup = self.setup.clone();
            if let Some(started) = tokio::task::spawn_blocking(move || setup.try_start()).await.unwrap() {
                *self.member(at) = Some(started);
                return;
            }
            tokio::time::sleep(BETWEEN_STARTS).await;
        }
        panic!("the control plane does not start; see LATCHKEY_TEST_LOGS=1");
    }

    /// For other commands of `latchkey`.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    fn member(&self, at: usize) -> MutexGuard<'_, Option<ControlPlane>> {
        self.members[at].lock().unwrap()
    }
}
