//! Many tokens, one isolate, and a flood of requests with forged and with
//! unknown tokens between those with valid ones: what it costs in reads of KV
//! and in memory, and that it pushes nothing out that is in use.

use super::dice::Dice;
use super::kill::Database;
use super::scale::{MAX_MEMORY, Memory, Scale};
use crate::crowd::Crowd;
use crate::fixture;
use crate::kv::Side;
use shared::id;
use shared::key::{Key, KeyRing};
use shared::token::{PREFIX, TagKeys, Token};
use std::fmt;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;
/// One unknown token in so many claims to be of this minute: then only KV can tell.
const FRESH_ONE_IN: usize = 10;
/// Of requests with valid tokens that are in use, at least so many need no read of their shard.
const LEAST_HITS: f64 = 0.75;
/// So many projects' slices fit into an isolate's memory, with ten credentials each.
const PROJECTS_THAT_FIT: u32 = 6_000;
/// Where more are in use, at most so many of the requests read a slice.
const MOST_SLICES: f64 = 0.4;
/// Of the process: on a machine of its own V8 collects late, and settles at about 430 MB.
const MAX_RESIDENT: u64 = 600_000_000;

#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub database: Database,
    pub tokens: u64,
    pub projects: u32,
    /// Of each project.
    pub credentials: u32,
    /// With each kind of token.
    pub requests: usize,
    /// Valid tokens that are in use.
    pub live: usize,
}

/// What happened.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    began: (Duration, Duration),
    phases: Vec<Phase>,
}

#[derive(Debug)]
struct Phase {
    what: &'static str,
    requests: usize,
    took: Duration,
    /// Reads of KV.
    shards: usize,
    slices: usize,
    fresh: usize,
    /// Beside manifests, which are read by the clock.
    all: usize,
    memory: Memory,
}

/// Panics if anything that must hold does not.
pub async fn run(plan: Plan, mut dice: Dice) -> Report {
    let crowd = Crowd::new(plan.tokens, plan.projects, plan.credentials);
    let scale = Scale::start(plan.database, crowd).await;
    let live: Vec<String> = live(&crowd, plan.live, &mut dice).map(|number| crowd.text(number)).collect();
    let half = plan.requests / 2;
    let seed = dice.roll();
    let dice_of = |request: usize| Dice::new(seed.wrapping_add(u64::try_from(request).unwrap()));
    let any = |request| live[dice_of(request).below(live.len())].clone();
    // Each of them once, and then any.
    let each = |request| live.get(request).cloned().unwrap_or_else(|| any(request));
    let first = phase(&scale, "valid", half, 200, each).await;
    let forged = phase(&scale, "forged", plan.requests, 401, |at| forged(&mut dice_of(at))).await;
    let unknown =
        phase(&scale, "unknown", plan.requests, 401, |at| unknown(&crowd, at, &mut dice_of(at))).await;
    let second = phase(&scale, "valid again", plan.requests - half, 200, any).await;

    assert!(first.shards <= live.len(), "a token in use costs one read of its shard: {first}");
    assert!(first.slices <= half, "and a request at most one of its slice: {first}");
    assert_eq!(forged.all, 0, "a forged token costs no read: {forged}");
    assert!(unknown.shards <= plan.requests, "an unknown one costs at most one of a shard: {unknown}");
    assert_eq!(
        unknown.fresh,
        plan.requests.div_ceil(FRESH_ONE_IN),
        "and one of this minute one more: {unknown}"
    );
    assert_eq!(unknown.slices, 0, "and no project: {unknown}");
    assert_eq!(second.shards, 0, "what was in use is still in memory: {second}");
    let most_slices = if plan.projects > PROJECTS_THAT_FIT { MOST_SLICES } else { 0.0 };
    assert!(share(second.slices, second.requests) <= most_slices, "nor are most projects: {second}");
    let phases = vec![first, forged, unknown, second];
    let report = Report { plan, began: scale.began, phases };
    for Phase { memory, .. } in &report.phases {
        assert!(memory.bytes() < MAX_MEMORY && memory.resident < MAX_RESIDENT, "{report}");
    }
    assert!(report.hit_rate() >= LEAST_HITS, "{report}");
    report
}

/// So many of all tokens, from everywhere, in random order.
fn live(crowd: &Crowd, count: usize, dice: &mut Dice) -> impl Iterator<Item = u64> {
    let stride = usize::try_from(crowd.tokens).unwrap() / count;
    let mut numbers: Vec<usize> = (0..count).map(|at| at * stride + dice.below(stride)).collect();
    for at in (1..count).rev() {
        numbers.swap(at, dice.below(at + 1));
    }
    numbers.into_iter().map(|number| u64::try_from(number).unwrap())
}

/// Of another deployment, or mistyped.
fn forged(dice: &mut Dice) -> String {
    let mut secret = [0; 20];
    secret[..8].copy_from_slice(&dice.roll().to_be_bytes());
    let token = Token::new(id::new(fixture::now() - dice.roll() % 1_000_000, &[9; 10]), secret);
    let foreign = TagKeys::from(&KeyRing::from(Key::new([99; 32])));
    let text = token.reveal(&foreign).to_string();
    if dice.percent(50) {
        return text;
    }
    // The alphabet of Base58 has no zero, but both of these.
    let (start, end) = text.split_at(PREFIX.len() + dice.below(text.len() - PREFIX.len()));
    let other = if end.starts_with('x') { 'y' } else { 'x' };
    format!("{start}{other}{}", &end[1..])
}

/// With the right tag, as one would have that was issued and is gone.
fn unknown(crowd: &Crowd, at: usize, dice: &mut Dice) -> String {
    if at.is_multiple_of(FRESH_ONE_IN) {
        let mut random = [0; 10];
        random[..8].copy_from_slice(&dice.roll().to_be_bytes());
        return fixture::text(&Token::new(id::new(fixture::now(), &random), [7; 20]));
    }
    fixture::text(&crowd.unknown(dice.roll() % crowd.tokens))
}

/// Sends so many requests; each must be answered with `status`.
async fn phase(
    scale: &Scale,
    what: &'static str,
    requests: usize,
    status: u16,
    token: impl Fn(usize) -> String,
) -> Phase {
    let kv = &scale.rig.kv;
    kv.reset_counts();
    let started = Instant::now();
    let work = (0..CONNECTIONS).map(|connection| {
        let token = &token;
        async move {
            for request in (connection..requests).step_by(CONNECTIONS) {
                let answer = scale.edge.ask(&token(request)).await;
                assert_eq!(answer.0, status, "{what}: {answer:?}");
            }
        }
    });
    futures_util::future::join_all(work).await;
    let took = started.elapsed();
    let reads = |prefix| kv.reads(Side::Binding, prefix);
    let (shards, slices, fresh) = (reads("shard/"), reads("project/"), reads("fresh/"));
    let all = reads("") - reads("manifest/");
    Phase { what, requests, took, shards, slices, fresh, all, memory: scale.memory().await }
}

impl Report {
    /// Of all requests with valid tokens, those that needed no read of a shard.
    fn hit_rate(&self) -> f64 {
        self.rate_without(|phase| phase.shards)
    }

    /// And those that needed no read at all, if none needed two.
    fn rate_without_reads(&self) -> f64 {
        self.rate_without(|phase| phase.all)
    }

    fn rate_without(&self, reads: impl Fn(&Phase) -> usize) -> f64 {
        let valid = || self.phases.iter().filter(|phase| phase.what.starts_with("valid"));
        1.0 - share(valid().map(reads).sum(), valid().map(|phase| phase.requests).sum())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure to tell")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { database, tokens, projects, credentials, requests: _, live } = self.plan;
        write!(
            f,
            "{tokens} tokens in {projects} projects with {credentials} credentials each, {live} tokens in use, \
             {database:?} (filled in {:.0?}, published in {:.0?}); hit rate of tokens {:.1} %; \
             at least {:.1} % of requests with valid tokens needed no read",
            self.began.0,
            self.began.1,
            self.hit_rate() * 100.0,
            self.rate_without_reads() * 100.0,
        )?;
        self.phases.iter().try_for_each(|phase| write!(f, "\n    {phase}"))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, requests, took, shards, slices, fresh, all, memory } = self;
        write!(
            f,
            "{requests} {what} in {took:.0?}: {all} reads of KV ({shards} shards, {slices} slices, {fresh} fresh); \
             {memory}"
        )
    }
}
