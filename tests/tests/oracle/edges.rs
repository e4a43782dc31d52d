//! Isolates at several locations, and one request at one of them: the edge's
//! own code, from the head of a request to what would go upstream.

use crate::clock::{self, DAY, SECOND, Time};
use crate::keys::{self, Listed};
use crate::model::Verdict;
use crate::published::Published;
use crate::runtime::Runtime;
use crate::view::Location;
use edge::event::Trace;
use edge::head::Head;
use edge::isolate::Isolate;
use edge::load;
use edge::pipeline::Settings;
use edge::refusal::Code;
use edge::route::Plan;
use latchkey_tests::keys::DEPLOYMENT;
use std::rc::Rc;
use uuid::Uuid;

/// As in production.
const REFRESH: Time = 10 * SECOND;
/// How long a location may keep a manifest it has read.
const CACHE_TTL: Time = 30 * SECOND;
/// A check that met trouble ends, and counts as failed, so long after it.
const TROUBLE_LASTS: Time = 10 * SECOND;
/// From the start of a read to its end.
const READ: Time = SECOND;

pub(crate) struct Edge {
    isolate: Rc<Isolate>,
    pub(crate) location: Location,
    /// The worker's configuration that it runs with.
    listed: Listed,
    /// It must go by every change up to then.
    knows: Time,
}

/// What a request got, and what the oracle must know of how.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) at: Time,
    pub(crate) verdict: Verdict,
    /// What would go upstream, when it was accepted.
    pub(crate) sent: Option<Sent>,
    /// Every change up to then must have been known.
    pub(crate) knows: Time,
    /// Whether it may be refused with 503, for what KV did.
    pub(crate) is_excused: bool,
    /// There is no manifest that an isolate which starts may believe.
    pub(crate) must_be_unavailable: bool,
    pub(crate) was_fresh_hidden: bool,
}

#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Edge {
    /// A cold one.
    pub(crate) fn new(location: Location, listed: &Listed) -> Self {
        let settings = Settings {
            deployment_id: DEPLOYMENT.to_owned(),
            tags: listed.tags(),
            credential_keys: listed.credential_keys(),
            ingest_keys: keys::fixed(),
        };
        let isolate = Rc::new(Isolate::new(settings, listed.verifier(), REFRESH, Uuid::nil()));
        Self { isolate, location, listed: listed.clone(), knows: 0 }
    }

    pub(crate) fn listed(&self) -> &Listed {
        &self.listed
    }

    pub(crate) fn ask(
        &mut self,
        runtime: &Rc<Runtime>,
        published: &Published,
        token: &str,
        chance: u32,
    ) -> Response {
        let at = clock::now();
        let was_cold = self.is_cold();
        let is_well = self.is_well(runtime, at);
        let told = told_by_kv(runtime, published, at);
        let reads = runtime.reads(self.location);
        let text = format!("GET\nhttps://edge.test/v1/models\nauthorization\nBearer {token}\n");
        let head = Head::parse(&text).unwrap();
        let isolate = Rc::clone(&self.isolate);
        let outcome = runtime.run(async {
            load::refresh(&isolate, &reads, at).await;
            let snapshot = isolate.holder.borrow().current();
            let mut trace = Trace::default();
            load::decide(&isolate, &reads, snapshot.as_deref(), &head, at, chance.into(), &mut trace).await
        });
        if let Some(told) = told.filter(|_| is_well) {
            self.knows = self.knows.max(told);
        }
        if was_cold && !self.is_cold() {
            // It believes nothing older, wherever that is from.
            self.knows = self.knows.max(at - DAY);
        }
        let is_old = published.tried_at.is_none_or(|tried| tried < at - DAY);
        let may_stay_cold =
            !is_well || reads.met().manifest_trouble.get() || told.is_none_or(|told| told < at - DAY);
        // What it names may be deleted by now.
        let may_be_old = self.knows < at - DAY;
        Response {
            at,
            verdict: outcome.as_ref().map_or_else(|refusal| verdict(refusal.code), |_| Verdict::Accepted),
            sent: outcome.ok().map(|plan| sent(&plan)),
            knows: self.knows,
            is_excused: reads.met().trouble.get() || may_be_old || was_cold && may_stay_cold,
            must_be_unavailable: was_cold && is_old,
            was_fresh_hidden: reads.met().hidden_fresh.get(),
        }
    }

    /// What it answered can only be known to who goes by every change up to then.
    pub(crate) fn showed(&mut self, knows: Time) {
        self.knows = self.knows.max(knows);
    }

    fn is_cold(&self) -> bool {
        self.isolate.holder.borrow().current().is_none()
    }

    /// Whether it could read the manifest for so long that it must have.
    fn is_well(&self, runtime: &Runtime, now: Time) -> bool {
        let well_since = runtime.view.borrow().well_since(self.location);
        well_since + REFRESH + TROUBLE_LASTS <= now
    }
}

/// What every manifest says that an isolate can have read when it had to.
fn told_by_kv(runtime: &Runtime, published: &Published, now: Time) -> Option<Time> {
    let lag = runtime.view.borrow().lag;
    published.floor(now.saturating_sub(2 * REFRESH + READ + CACHE_TTL + lag), now)
}

fn sent(plan: &Plan) -> Sent {
    let leg = plan.first.as_ref().expect("it goes without its body");
    let key = leg.set.lines().skip_while(|line| *line != "authorization").nth(1);
    let key = key.and_then(|value| value.strip_prefix("Bearer ")).expect("a provider key is set");
    Sent { url: leg.url.clone(), key: key.to_owned() }
}

fn verdict(code: Code) -> Verdict {
    match code {
        Code::MalformedToken => Verdict::Malformed,
        Code::InvalidToken => Verdict::Unknown,
        Code::TokenRevoked => Verdict::Revoked,
        Code::TokenExpired => Verdict::Expired,
        Code::ProjectInactive => Verdict::Inactive,
        Code::UpstreamUnavailable => Verdict::NoKey,
        Code::SnapshotUnavailable => Verdict::Unavailable,
        other => panic!("no request here deserves {other:?}"),
    }
}
