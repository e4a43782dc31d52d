//! All policies that a request is under: its provider's, its project's, its token's.

use crate::head::Head;
use crate::refusal::{Code, Refusal};
use crate::snapshot::project::LiveProject;
use shared::policy::parameters::Body;
use shared::policy::{self, Carried, Denial, Facts, Owner, Policy};
use shared::provider::Provider;
use shared::snapshot::config::Providers;
use std::fmt;
use std::io;
use std::rc::Rc;

/// Largest request body: what Cloudflare itself takes on most plans.
const MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;
/// Largest that is read because a rule must: it is in memory meanwhile.
const MAX_JUDGED_BYTES: u64 = 32 * 1024 * 1024;
/// Largest that a route is chosen for: it is there four times at most, before another
/// model is written into it and after, and as what a provider's rules judge.
const MAX_ROUTED_BYTES: u64 = 16 * 1024 * 1024;

/// Handles on them: what a request needs after its decision outlives the snapshot.
#[derive(Clone)]
pub struct Policies {
    providers: Rc<Providers>,
    /// Into `providers`.
    provider: usize,
    project: Rc<LiveProject>,
    /// Into the project's profiles.
    profile: Option<usize>,
}

/// Whose policies are asked: a route judges what the caller asks for by its own,
/// and what a provider is sent by the provider's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    All,
    /// The project's and the token's.
    Callers,
    Providers,
}

/// How large a request's body may be, and what to say of one that is larger.
#[derive(Clone, Debug)]
pub struct BodyLimit {
    pub bytes: u64,
    /// None where the gateway itself sets it.
    denial: Option<Denial>,
}

impl Policies {
    pub fn new(
        providers: Rc<Providers>,
        provider: usize,
        project: Rc<LiveProject>,
        profile: Option<usize>,
    ) -> Self {
        Self { providers, provider, project, profile }
    }

    pub fn provider(&self) -> &Provider {
        &self.providers.providers[self.provider]
    }

    pub fn project(&self) -> &Rc<LiveProject> {
        &self.project
    }

    /// The same for another provider; none if there is no such.
    pub fn with_provider(&self, name: &str) -> Option<Self> {
        let provider = self.providers.providers.iter().position(|provider| provider.name == name)?;
        Some(Self { provider, ..self.clone() })
    }

    fn carried(&self, whose: Whose) -> impl Iterator<Item = (Owner, &Carried)> {
        let provider = self.provider().policy.as_ref();
        let profile = self.profile.and_then(|at| self.project.profiles.get(at));
        let token = profile.map(|profile| &profile.policy);
        [(Owner::Provider, provider), (Owner::Project, self.project.policy.as_ref()), (Owner::Token, token)]
            .into_iter()
            .filter(move |(owner, _)| match whose {
                Whose::All => true,
                Whose::Callers => *owner != Owner::Provider,
                Whose::Providers => *owner == Owner::Provider,
            })
            .filter_map(|(owner, policy)| Some((owner, policy?)))
    }

    /// Those that can be read: once the head was judged, that is all.
    fn readable(&self) -> impl Iterator<Item = (Owner, &Policy)> {
        self.carried(Whose::All).filter_map(|(owner, carried)| Some((owner, carried.read(owner).ok()?)))
    }

    /// Judges what is known without the body. Whether a rule must read it then.
    pub fn check_head(&self, head: &Head<'_>, endpoint: &str) -> Result<bool, Denial> {
        if self.carried(Whose::All).next().is_none() {
            return Ok(false);
        }
        let header = |name: &str| head.header(name);
        Ok(policy::check_head(self.carried(Whose::All), &facts(head, endpoint, &header))?.is_some())
    }

    /// Judges what the body holds.
    pub fn check_body<R: io::Read>(
        &self,
        whose: Whose,
        endpoint: &str,
        content_type: Option<&str>,
        body: Body<'_, R>,
    ) -> Result<(), Denial> {
        policy::check_body(self.carried(whose), endpoint, content_type, body)
    }

    pub fn body_limit(&self, is_judged: bool, is_routed: bool) -> BodyLimit {
        let own = match (is_judged, is_routed) {
            (_, true) => MAX_ROUTED_BYTES,
            (true, false) => MAX_JUDGED_BYTES,
            (false, false) => MAX_BODY_BYTES,
        };
        let least = self
            .readable()
            .filter_map(|(owner, policy)| policy.max_body_bytes.map(|max| (max, owner, policy)))
            .min_by_key(|(max, _, _)| *max);
        match least {
            Some((max, owner, policy)) if max < own => {
                BodyLimit { bytes: max, denial: Some(policy.body_too_large(owner, max)) }
            }
            Some(_) | None => BodyLimit { bytes: own, denial: None },
        }
    }

    /// Whether pages may call, from origins that somebody listed; the request's
    /// own has passed.
    pub fn names_origins(&self) -> bool {
        self.readable().any(|(_, policy)| policy.origins.is_some())
    }

    /// Whether a header of the client's goes upstream.
    pub fn forwards(&self, name: &str) -> bool {
        self.readable().all(|(_, policy)| policy.forwards(name))
    }

    pub fn limits_headers(&self) -> bool {
        self.readable().any(|(_, policy)| policy.forwarded_headers.is_some())
    }
}

/// What is judged of a request before its body; `header` looks one up in `head`.
pub fn facts<'f>(
    head: &Head<'f>,
    endpoint: &'f str,
    header: &'f dyn Fn(&str) -> Option<&'f str>,
) -> Facts<'f> {
    Facts {
        method: head.method,
        endpoint,
        header,
        client: head.header("cf-connecting-ip").and_then(|address| address.trim().parse().ok()),
        country: head.header("cf-ipcountry"),
        body_length: head.content_length(),
    }
}

impl BodyLimit {
    pub fn refusal(&self) -> Refusal {
        let own = || {
            let message = format!("The request body is larger than {} MB.", self.bytes / (1024 * 1024));
            Refusal::new(Code::Denied(policy::Code::BodyTooLarge), message)
        };
        self.denial.clone().map_or_else(own, Refusal::from)
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({})", self.provider().name)
    }
}
