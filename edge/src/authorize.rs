//! Whether the caller may do what it asks.

use crate::authenticate::Caller;
use crate::event::Trace;
use crate::head::Head;
use crate::refusal::{Code, Refusal};
use crate::snapshot::{Halt, Snapshot};
use crate::target::{ProviderName, Target};
use shared::id::UnixMs;
use shared::policy::{self, Verdict};
use shared::provider::Provider;
use shared::snapshot::config::{OnStale, Providers};
use std::rc::Rc;

/// Largest request body: what Cloudflare itself takes on most plans.
pub const MAX_BODY_BYTES: u64 = 100 * 1024 * 1024;

/// Proof that a caller may send this request to this provider.
#[derive(Debug)]
pub struct Permit<'a> {
    caller: Caller,
    target: Target<'a>,
    providers: Rc<Providers>,
    /// Into `providers`.
    provider: usize,
}

impl<'a> Permit<'a> {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn target(&self) -> &Target<'a> {
        &self.target
    }

    pub fn provider(&self) -> &Provider {
        &self.providers.providers[self.provider]
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
    check_endpoint(&providers.providers[provider], head.method, target.path)?;
    check_body(head)?;
    Ok(Permit { caller, target, providers, provider })
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

fn check_endpoint(provider: &Provider, method: &str, path: &str) -> Result<(), Refusal> {
    match policy::judge(&provider.allowed_endpoints, method, path) {
        Verdict::Allowed => Ok(()),
        Verdict::EndpointNotAllowed => Err(Refusal::new(
            Code::EndpointNotAllowed,
            format!("The endpoint {path} is not allowed for provider {}.", provider.name),
        )),
        Verdict::MethodNotAllowed(methods) => {
            let allow = methods.join(", ");
            let message = format!("The method {method} is not allowed here; allowed: {allow}.");
            Err(Refusal { allow: Some(allow), ..Refusal::new(Code::MethodNotAllowed, message) })
        }
    }
}

/// A body whose length is not declared is counted as it passes.
fn check_body(head: &Head<'_>) -> Result<(), Refusal> {
    if head.content_length().is_some_and(|length| length > MAX_BODY_BYTES) {
        Err(body_too_large())
    } else {
        Ok(())
    }
}

pub fn body_too_large() -> Refusal {
    Refusal::new(
        Code::BodyTooLarge,
        format!("The request body is larger than {} MB.", MAX_BODY_BYTES / (1024 * 1024)),
    )
}
