//! Whether the caller may do what it asks.

use crate::authenticate::Caller;
use crate::event::Trace;
use crate::head::Head;
use crate::policies::Policies;
use crate::refusal::{Code, Refusal};
use crate::snapshot::{Halt, Snapshot};
use crate::target::Target;
use shared::id::UnixMs;
use shared::path::ProviderName;
use shared::provider::Provider;
use shared::snapshot::config::OnStale;

/// Proof that a caller may send this request to this provider.
#[derive(Debug)]
pub struct Permit<'a> {
    caller: Caller,
    target: Target<'a>,
    policies: Policies,
    /// A rule must read the body.
    is_judged: bool,
}

impl<'a> Permit<'a> {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn target(&self) -> &Target<'a> {
        &self.target
    }

    pub fn provider(&self) -> &Provider {
        self.policies.provider()
    }

    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    pub fn is_judged(&self) -> bool {
        self.is_judged
    }
}

pub fn authorize<'a>(
    snapshot: &Snapshot,
    caller: Caller,
    head: &Head<'_>,
    target: Target<'a>,
    now: UnixMs,
    trace: &mut Trace,
) -> Result<Permit<'a>, Halt> {
    check_project(snapshot, &caller, now)?;
    let providers = snapshot.providers()?;
    let name = match target.provider {
        ProviderName::Default => caller.project().default_provider.as_str(),
        ProviderName::Named(name) => name,
    };
    let provider =
        providers.providers.iter().position(|provider| provider.name == name).ok_or_else(|| {
            Refusal::new(
                Code::UnknownProvider,
                "No such provider. Paths are /<provider>/... or, for the project's default provider, /v1/...",
            )
        })?;
    trace.provider(name);
    providers.providers[provider].check_endpoint(head.method, target.path).map_err(Refusal::from)?;
    let policies = Policies::new(providers, provider, caller.project().clone(), caller.profile());
    let is_judged = policies.check_head(head, target.path).map_err(Refusal::from)?;
    Ok(Permit { caller, target, policies, is_judged })
}

fn check_project(snapshot: &Snapshot, caller: &Caller, now: UnixMs) -> Result<(), Refusal> {
    let project = caller.project();
    if !project.is_active {
        return Err(Refusal::new(Code::ProjectInactive, "The token's project is inactive."));
    }
    let is_stale = snapshot.age_secs(now) > project.max_snapshot_age;
    match project.on_stale {
        OnStale::Deny if is_stale => Err(Refusal::new(
            Code::SnapshotUnavailable,
            "The gateway's configuration is older than this project allows.",
        )),
        OnStale::Deny | OnStale::Serve => Ok(()),
    }
}
