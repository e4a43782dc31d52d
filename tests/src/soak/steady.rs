//! One change a second for minutes, at many projects, while requests go on at
//! a steady rate, with a compaction of everything in the midst: how much slower
//! they are than without changes, and whether memory grows.

use super::dice::Dice;
use super::kill::Database;
use super::pulse::{Pulse, p99};
use super::scale::{MAX_MEMORY, Memory, Scale};
use crate::crowd::{Crowd, PROVIDER};
use reqwest::Method;
use serde_json::json;
use shared::snapshot::Hash;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const BETWEEN_CHANGES: Duration = Duration::from_secs(1);
/// Of the warm-up.
const CONNECTIONS: usize = 16;
/// After the warm-up the isolate may take so much more, its process so much, and
/// the control plane, which reads and makes everything anew meanwhile, so much.
const MAX_GROWTH: u64 = 8 * 1024 * 1024;
const MAX_RESIDENT_GROWTH: u64 = 48 * 1024 * 1024;
const MAX_CONTROL_PLANE_GROWTH: u64 = 64 * 1024 * 1024;

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub database: Database,
    pub tokens: u64,
    pub projects: u32,
    /// Of each project.
    pub credentials: u32,
    /// The first tokens are in use, each of another project.
    pub live: u64,
    /// Requests of the warm-up, after which memory should not grow any more.
    pub warm_up: usize,
    /// Requests a second.
    pub rate: u32,
    /// How long changes are made; before and after, it is quiet for a third of it.
    pub changes: Duration,
    /// How much slower they may be at p99; `None` where other tests run beside this one.
    pub slower: Option<Duration>,
}

/// What happened.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    began: (Duration, Duration),
    changes: usize,
    manifests: usize,
    bases: usize,
    /// p99 of requests.
    quiet: [Duration; 2],
    changing: Duration,
    memory: [Memory; 3],
}

/// Panics if anything that must hold does not.
pub async fn run(plan: Plan, dice: Dice) -> Report {
    let crowd = Crowd::new(plan.tokens, plan.projects, plan.credentials);
    let scale = Scale::start(plan.database, crowd).await;
    let live: Vec<String> = (0..plan.live).map(|number| crowd.text(number)).collect();
    warm_up(&scale, &live, plan.warm_up).await;
    let quiet = plan.changes / 3;
    let pulse = Pulse::start(scale.edge.url("/v1/models"), live, plan.rate);
    tokio::time::sleep(quiet / 3).await;
    pulse.take();
    let start = scale.memory().await;
    tokio::time::sleep(quiet).await;
    let before = pulse.take();

    let mut changer = Changer { scale: &scale, dice, made: 0, revoked: Vec::new(), created: Vec::new() };
    let mut seen = Seen::default();
    changer.make(plan.changes / 2, &mut seen).await;
    let middle = scale.memory().await;
    tokio::join!(rebuild(&scale), changer.make(plan.changes / 2, &mut seen));
    seen.look(&scale);
    let during = pulse.take();
    let end = scale.memory().await;
    tokio::time::sleep(quiet).await;
    let after = pulse.end().await;
    changer.check().await;

    let report = Report {
        plan,
        began: scale.began,
        changes: changer.made,
        manifests: seen.versions.len(),
        bases: seen.bases.len(),
        quiet: [p99(&before), p99(&after)],
        changing: p99(&during),
        memory: [start, middle, end],
    };
    report.check();
    report
}

/// With each token in turn.
async fn warm_up(scale: &Scale, live: &[String], requests: usize) {
    let work = (0..CONNECTIONS).map(|connection| async move {
        for request in (connection..requests).step_by(CONNECTIONS) {
            assert_eq!(scale.edge.ask(&live[request % live.len()]).await.0, 200);
        }
    });
    futures_util::future::join_all(work).await;
}

/// Compiles everything, and returns when that is in use.
async fn rebuild(scale: &Scale) {
    let output = scale.rig.fleet.setup().run(&["snapshot", "rebuild", "--json"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Manifests and bases that KV had, looked at once a second.
#[derive(Debug, Default)]
struct Seen {
    versions: HashSet<u64>,
    bases: HashSet<Option<Hash>>,
}

impl Seen {
    fn look(&mut self, scale: &Scale) {
        let manifest = scale.manifest();
        self.versions.insert(manifest.version);
        self.bases.insert(manifest.base.map(|base| base.index));
    }
}

/// Who makes changes of every kind that the edge must learn of.
#[derive(Debug)]
struct Changer<'a> {
    scale: &'a Scale,
    dice: Dice,
    made: usize,
    /// Texts of tokens, to see in the end whether the edge obeys.
    revoked: Vec<String>,
    created: Vec<String>,
}

impl Changer<'_> {
    async fn make(&mut self, lasting: Duration, seen: &mut Seen) {
        let mut ticks = interval(BETWEEN_CHANGES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for _ in 0..lasting.as_secs() {
            ticks.tick().await;
            self.one().await;
            seen.look(self.scale);
        }
    }

    async fn one(&mut self) {
        let number = 1 + u32::try_from(self.dice.below(self.scale.crowd.projects as usize)).unwrap();
        let project = Crowd::project_id(number);
        let path = format!("/manage/projects/{project}");
        match self.made % 5 {
            0 => {
                let body = json!({"project_id": project, "name": "new", "expires_at": null});
                let answer = self.must(Method::POST, "/manage/tokens", Some(body)).await;
                self.created.push(answer["token"].as_str().unwrap().to_owned());
            }
            1 => {
                let token = self.idle_token();
                let id = self.scale.crowd.token(token).id();
                self.must(Method::DELETE, &format!("/manage/tokens/{id}"), None).await;
                self.revoked.push(self.scale.crowd.text(token));
            }
            2 => {
                let on_stale = if self.dice.percent(50) { "deny" } else { "serve" };
                self.must(Method::PATCH, &path, Some(json!({ "on_stale": on_stale }))).await;
            }
            3 => {
                let id = self.scale.crowd.token(self.idle_token()).id();
                let body = json!({"expires_at": "3000-01-01T00:00:00Z"});
                self.must(Method::PATCH, &format!("/manage/tokens/{id}"), Some(body)).await;
            }
            _ => {
                let body =
                    json!({"provider": PROVIDER, "label": "new", "api_key": crate::fixture::UPSTREAM_KEY});
                self.must(Method::POST, &format!("{path}/credentials"), Some(body)).await;
            }
        }
        self.made += 1;
    }

    /// One that nobody uses, and that was not changed yet: from the newest down.
    fn idle_token(&self) -> u64 {
        self.scale.crowd.tokens - 1 - u64::try_from(self.made).unwrap()
    }

    async fn must(&self, method: Method, path: &str, body: Option<serde_json::Value>) -> serde_json::Value {
        self.scale.rig.must(0, method, path, body).await
    }

    /// The edge goes by what was changed.
    async fn check(&self) {
        let scale = self.scale;
        for token in &self.revoked {
            let refused = async || scale.edge.ask(token).await.1.as_deref() == Some("token_revoked");
            scale.rig.until("the refusal", refused).await;
        }
        for token in &self.created {
            assert_eq!(scale.edge.ask(token).await.0, 200);
        }
    }
}

impl Report {
    fn check(&self) {
        let Self { plan, memory: [start, _, end], .. } = self;
        assert!(self.bases > 1, "no compaction while changes were made: {self}");
        assert!(end.bytes() <= start.bytes() + MAX_GROWTH && end.bytes() < MAX_MEMORY, "{self}");
        assert!(end.resident <= start.resident + MAX_RESIDENT_GROWTH, "{self}");
        assert!(end.control_plane <= start.control_plane + MAX_CONTROL_PLANE_GROWTH, "{self}");
        let [before, after] = self.quiet;
        if let Some(slower) = plan.slower {
            // Else the machine had other work, and what is measured says nothing.
            assert!(before.abs_diff(after) <= slower, "{self}");
            assert!(self.changing <= before.max(after) + slower, "{self}");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, began, changes, manifests, bases, quiet: [before, after], changing, memory } = self;
        let Plan { database, tokens, projects, credentials, live, rate, .. } = plan;
        write!(
            f,
            "{changes} changes at {projects} projects with {credentials} credentials each and {tokens} tokens, \
             {database:?} (filled in {:.0?}, published in {:.0?}); {manifests} manifests, {bases} bases seen; \
             {rate} requests a second with {live} tokens: p99 {before:.2?} before, {changing:.2?} during, \
             {after:.2?} after\n    after the warm-up: {}\n    in the middle: {}\n    in the end: {}",
            began.0, began.1, memory[0], memory[1], memory[2],
        )
    }
}
