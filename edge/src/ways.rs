//! The ways that a request can go: to which provider, with which of the
//! project's keys, as which model.

use crate::balance::Candidate;
use crate::balance::attempts::{Attempts, Ended, Next, Rules};
use crate::balance::happened::Happened;
use crate::balance::key::{Key, Named};
use crate::balance::signs::Signs;
use crate::balance::standings::Standings;
use crate::balance::strategy::Deal;
use crate::balance::turns::Turns;
use crate::head::Head;
use crate::leg::Leg;
use crate::observe::request::Edit;
use crate::policies::{Policies, facts};
use crate::refusal::{Code, Refusal};
use crate::route;
use crate::target::Target;
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::provider::Timeouts;
use shared::route::{
    Resume, Retry, Route, RouteTimeouts, Sent, Strategy, Unroutable, edit_of_model, find, path_of_model,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use uuid::Uuid;

/// What an isolate knows of its providers, and where its routes' turns are.
#[derive(Debug, Default)]
pub struct Balance {
    pub standings: Standings,
    pub turns: Turns,
}

/// What making a leg needs of the isolate.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    pub deployment_id: &'a str,
    pub keys: &'a KeyRing,
    pub balance: &'a RefCell<Balance>,
    pub now: UnixMs,
}

/// Which way is taken, and which after that.
pub struct Ways {
    policies: Policies,
    /// Of the request, its token included: kept for what is asked later.
    head: String,
    /// The path that a provider sees, and the query.
    path: String,
    query: String,
    /// Its answer is read, and so must not be compressed.
    is_read: bool,
    chance: u64,
    aims: Vec<Aim>,
    candidates: Vec<Candidate>,
    attempts: Attempts,
    timeouts: RouteTimeouts,
    may_retry: bool,
    resume: Resume,
    current: usize,
    asked: u32,
}

/// A target that this request may go to.
#[derive(Clone, Debug)]
struct Aim {
    policies: Policies,
    model: Option<String>,
    edits: Vec<Edit>,
}

/// What of a request's body a route needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    pub model: &'a str,
    pub body: &'a [u8],
    pub content_type: Option<&'a str>,
    /// Where the body names the model, as [`crate::observe::request::place_of_model`] finds it.
    pub place: Option<(usize, usize)>,
}

impl Ways {
    /// None yet.
    pub fn new(policies: Policies, head: &Head<'_>, target: &Target<'_>, is_read: bool, chance: u64) -> Self {
        Self {
            policies,
            head: head.text().to_owned(),
            path: target.path.to_owned(),
            query: target.query.clone(),
            is_read,
            chance,
            aims: Vec::new(),
            candidates: Vec::new(),
            attempts: Attempts::default(),
            timeouts: RouteTimeouts::default(),
            may_retry: false,
            resume: Resume::Off,
            current: 0,
            asked: 0,
        }
    }

    /// To the provider that was named, with any of the project's keys for it.
    pub fn follow_name(&mut self, started_at: UnixMs) {
        let aim = Aim { policies: self.policies.clone(), model: None, edits: Vec::new() };
        candidates_of(&aim, 0, None, &mut self.candidates);
        self.aims.push(aim);
        self.may_retry = self.candidates.len() > 1;
        let Timeouts { total_ms, .. } = self.policies.provider().timeouts;
        let rules = Rules {
            strategy: Strategy::Priority,
            // Each key once: where nothing else was asked for, a request is asked once.
            retry: Retry {
                attempts: u32::try_from(self.candidates.len()).unwrap_or(u32::MAX).min(MAX_KEYS),
                ..Retry::default()
            },
            started_at,
            deadline: started_at + UnixMs::from(total_ms),
        };
        self.attempts = Attempts::new(&rules, Deal { chance: self.chance, turn: 0 });
    }

    /// By the project's route for the model that is asked for, if there is one; else
    /// to the provider that was named. Whether there is.
    pub fn follow_route(
        &mut self,
        asked: Asked<'_>,
        means: Means<'_>,
        started_at: UnixMs,
    ) -> Result<bool, Refusal> {
        let policies = self.policies.clone();
        let Some(route) = route_for(&policies, asked.model)? else {
            self.follow_name(started_at);
            return Ok(false);
        };
        self.aims = self.aims_of(route, asked)?;
        let mut targets =
            route.targets.iter().filter(|target| self.aims.iter().any(|aim| aim.is_for(target)));
        for (at, aim) in self.aims.iter().enumerate() {
            candidates_of(aim, at, targets.next(), &mut self.candidates);
        }
        self.timeouts = route.timeouts;
        self.may_retry = route.retry.attempts > 1;
        self.resume = route.resume;
        let total_ms = route.timeouts.total_ms.unwrap_or(policies.provider().timeouts.total_ms);
        let turn = match route.strategy {
            Strategy::RoundRobin => {
                means.balance.borrow_mut().turns.next(policies.project().id, &route.name, self.chance)
            }
            Strategy::Priority | Strategy::Weighted | Strategy::LeastRecentlyFailing => 0,
        };
        let deadline = started_at + UnixMs::from(total_ms);
        let rules = Rules { strategy: route.strategy, retry: route.retry, started_at, deadline };
        self.attempts = Attempts::new(&rules, Deal { chance: self.chance, turn });
        Ok(true)
    }

    /// The route's targets that this request may go to.
    fn aims_of(&self, route: &Route, asked: Asked<'_>) -> Result<Vec<Aim>, Refusal> {
        let head = Head::parse(&self.head);
        let mut denial = None;
        let mut aims = Vec::with_capacity(route.targets.len());
        for target in &route.targets {
            let policies = self.policies.with_provider(&target.provider);
            match policies.zip(head).map(|(policies, head)| self.aim(target, policies, &head, asked)) {
                Some(Ok(aim)) => aims.push(aim),
                Some(Err(refusal)) => denial = Some(refusal),
                None => {}
            }
        }
        if aims.is_empty() {
            return Err(denial.unwrap_or_else(|| Unroutable::NoTarget.into()));
        }
        Ok(aims)
    }

    fn aim(
        &self,
        target: &shared::route::Target,
        policies: Policies,
        head: &Head<'_>,
        asked: Asked<'_>,
    ) -> Result<Aim, Refusal> {
        let edit = edit_of_model(target.model.as_deref(), asked.model, asked.place, &self.path)?;
        let aim = Aim { policies, model: target.model.clone(), edits: edit.into_iter().collect() };
        self.check(&aim, head, asked)?;
        Ok(aim)
    }

    /// Whether the target's provider takes the request as it would be sent.
    fn check(&self, aim: &Aim, head: &Head<'_>, asked: Asked<'_>) -> Result<(), Refusal> {
        let (path, header) = (aim.path(&self.path), |name: &str| head.header(name));
        let sent = Sent {
            facts: &facts(head, &path, &header),
            content_type: asked.content_type,
            body: asked.body,
            edits: &aim.edits,
        };
        Ok(sent.check(aim.policies.provider(), self.policies.provider().api)?)
    }

    /// The first leg.
    pub fn first(&mut self, means: Means<'_>) -> Result<Leg, Refusal> {
        let first = {
            let standings = &mut means.balance.borrow_mut().standings;
            self.attempts.first(&self.candidates, standings, means.now)
        };
        let first =
            first.ok_or_else(|| unusable("The project has no active credential for this provider."))?;
        self.leg_from(Next::Ask { candidate: first, after_ms: 0 }, means).ok_or_else(|| {
            unusable("The project's credential for this provider cannot be used. Its owner must renew it.")
        })
    }

    /// The leg after the last one, for which it `happened`; none where that is to be
    /// passed on.
    pub fn next(&mut self, happened: Happened, signs: Signs, means: Means<'_>) -> Option<Leg> {
        let next = self.after(happened, signs, means);
        self.leg_from(next, means)
    }

    /// The leg that goes on with what the last one began to answer.
    pub fn go_on(&mut self, happened: Happened, means: Means<'_>) -> Option<Leg> {
        self.attempts.begin_again(means.now);
        self.next(happened, Signs::default(), means)
    }

    /// Whether another may go on with a stream that breaks off.
    pub fn resumes(&self) -> bool {
        self.resume == Resume::Verified
    }

    /// How the last one fared, where none is asked after it.
    pub fn ended(&self, happened: Happened, signs: Signs, means: Means<'_>) {
        if let Some((key, named)) = self.named() {
            means.balance.borrow_mut().standings.ended(key, named, happened, signs, means.now);
        }
    }

    /// The last one's answer came to its end.
    pub fn completed(&self, balance: &RefCell<Balance>) {
        if let Some((key, _)) = self.named() {
            balance.borrow_mut().standings.completed(key);
        }
    }

    /// It will not be known how the last one fared.
    pub fn given_up(&self, balance: &RefCell<Balance>) {
        if let Some((key, _)) = self.named() {
            balance.borrow_mut().standings.given_up(key);
        }
    }

    /// Whether somebody may be asked again.
    pub fn may_retry(&self) -> bool {
        self.may_retry
    }

    fn named(&self) -> Option<(Key, Named<'_>)> {
        let candidate = self.candidates.get(self.current)?;
        let aim = self.aims.get(candidate.target)?;
        let provider = &aim.policies.provider().name;
        Some((candidate.key, Named { provider, model: aim.model.as_deref() }))
    }

    fn after(&mut self, happened: Happened, signs: Signs, means: Means<'_>) -> Next {
        let Some(aim) =
            self.candidates.get(self.current).and_then(|candidate| self.aims.get(candidate.target))
        else {
            return Next::PassOn;
        };
        let named = Named { provider: &aim.policies.provider().name, model: aim.model.as_deref() };
        let standings = &mut means.balance.borrow_mut().standings;
        self.attempts.next(&self.candidates, standings, &Ended { named, happened, signs }, means.now)
    }

    /// Skips those whose key does not open.
    fn leg_from(&mut self, mut next: Next, means: Means<'_>) -> Option<Leg> {
        let last = self.current;
        loop {
            let Next::Ask { candidate, after_ms } = next else {
                // The one whose answer counts.
                self.current = last;
                return None;
            };
            self.current = candidate;
            if let Some(leg) = self.leg(after_ms, means) {
                return Some(leg);
            }
            next = self.after(Happened::Unusable, Signs::default(), means);
        }
    }

    fn leg(&mut self, wait_ms: u64, means: Means<'_>) -> Option<Leg> {
        let candidate = *self.candidates.get(self.current)?;
        let aim = self.aims.get(candidate.target)?;
        let (provider, project) = (aim.policies.provider(), self.policies.project());
        let key = project.open(candidate.credential, provider, means.deployment_id, means.keys)?;
        self.asked += 1;
        let RouteTimeouts { first_byte_ms, first_token_ms, idle_ms, total_ms } = self.timeouts;
        let own = provider.timeouts;
        let timeouts = Timeouts {
            first_byte_ms: first_byte_ms.unwrap_or(own.first_byte_ms),
            idle_ms: idle_ms.unwrap_or(own.idle_ms),
            total_ms: total_ms.unwrap_or(own.total_ms),
        };
        Some(Leg {
            url: [provider.base_url.as_str(), &aim.path(&self.path), &self.query].concat(),
            withheld: self.withheld(aim),
            set: route::set(provider, &key, self.is_read),
            answer_withheld: route::answer_withheld(&provider.allowed_headers),
            first_token_ms: first_token_ms.unwrap_or(timeouts.idle_ms),
            timeouts,
            wait_ms,
            may_retry: self.may_retry,
            number: self.asked,
            edits: aim.edits.clone(),
            provider: provider.name.clone(),
            api: provider.api,
            credential_id: project.credentials.get(candidate.credential)?.id,
            model: aim.model.clone(),
            key: candidate.key,
        })
    }

    fn withheld(&self, aim: &Aim) -> String {
        Head::parse(&self.head).map(|head| route::withheld(&head, &aim.policies)).unwrap_or_default()
    }
}

impl fmt::Debug for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ways({} to {})", self.candidates.len(), self.path)
    }
}

/// Without a route, no more keys than that are tried for one request.
const MAX_KEYS: u32 = 10;

impl Aim {
    fn is_for(&self, target: &shared::route::Target) -> bool {
        self.policies.provider().name == target.provider && self.model == target.model
    }

    /// With the target's model in it, where a path names one.
    fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        path_of_model(self.model.as_deref(), path)
    }
}

fn unusable(why: &'static str) -> Refusal {
    Refusal::new(Code::UpstreamUnavailable, why)
}

/// The first that matches.
fn route_for<'p>(policies: &'p Policies, model: &str) -> Result<Option<&'p Route>, Refusal> {
    Ok(find(&policies.project().routes, model)?)
}

/// One for each active credential of the target's provider.
fn candidates_of(
    aim: &Aim,
    at: usize,
    target: Option<&shared::route::Target>,
    candidates: &mut Vec<Candidate>,
) {
    let provider = &aim.policies.provider().name;
    let key = Key::of(Uuid::nil(), aim.model.as_deref());
    let credentials = aim.policies.project().credentials.iter().enumerate();
    candidates.extend(
        credentials.filter(|(_, credential)| credential.provider == *provider && credential.weight > 0).map(
            |(place, credential)| Candidate {
                target: at,
                credential: place,
                target_priority: target.map_or(0, |target| target.priority),
                target_weight: target.map_or(1, |target| target.weight),
                larger_context: target.is_some_and(|target| target.larger_context),
                credential_priority: credential.priority,
                credential_weight: credential.weight,
                key: key.with_credential(credential.id),
            },
        ),
    );
}
