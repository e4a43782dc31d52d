//! The whole way of a request, as a function of its arguments.

use crate::authenticate::authenticate;
use crate::authorize::authorize;
use crate::event::Trace;
use crate::head::Head;
use crate::isolate::Isolate;
use crate::refusal::{Code, Refusal};
use crate::route::{self, Plan};
use crate::snapshot::{Halt, Snapshot};
use crate::target::Target;
use shared::id::UnixMs;
use shared::key::KeyRing;
use shared::path::{ProviderName, split_provider};
use shared::provider::Api;
use shared::token::TagKeys;

/// What the worker was configured with, made ready once per isolate.
#[derive(Debug)]
pub struct Settings {
    pub deployment_id: String,
    pub tags: TagKeys,
    pub credential_keys: KeyRing,
    /// Of signed calls.
    pub ingest_keys: KeyRing,
}

/// What is to be sent upstream, or why nothing is. `Halt::Load` and
/// `Halt::Fresh` ask for an object; the caller loads it and decides again.
/// `trace` learns how far it came.
pub fn decide(
    isolate: &Isolate,
    snapshot: &Snapshot,
    head: &Head<'_>,
    now: UnixMs,
    chance: u64,
    trace: &mut Trace,
) -> Result<Plan, Halt> {
    let target = Target::parse(head.path_and_query)?;
    check_upgrade(head)?;
    let caller = authenticate(head, &isolate.settings.tags, snapshot, &isolate.fresh, now)?;
    trace.caller(&caller);
    let permit = authorize(snapshot, caller, head, target, now, trace)?;
    Ok(route::plan(&permit, head, isolate.means(now), chance)?)
}

fn check_upgrade(head: &Head<'_>) -> Result<(), Refusal> {
    if head.header("upgrade").is_none() {
        return Ok(());
    }
    Err(Refusal::new(Code::UpgradeNotSupported, "WebSocket and other protocol upgrades are not supported."))
}

/// Whose shape an error takes: the named provider's; under `/v1`, what the
/// request itself looks like. Without a snapshot a provider's name must do.
pub fn api_of(head: &Head<'_>, snapshot: Option<&Snapshot>) -> Api {
    let path = head.path_and_query.split('?').next().unwrap_or_default();
    match split_provider(path) {
        (ProviderName::Default, path) if path == "/v1/messages" || path.starts_with("/v1/messages/") => {
            Api::Anthropic
        }
        (ProviderName::Default, _) if head.header("anthropic-version").is_some() => Api::Anthropic,
        (ProviderName::Default, _) => Api::OpenAi,
        (ProviderName::Named(name), _) => {
            let known = snapshot.and_then(|snapshot| snapshot.providers().ok());
            match known.as_deref().and_then(|providers| providers.find(name)) {
                Some(provider) => provider.api,
                None if name == "anthropic" => Api::Anthropic,
                None if name == "google" => Api::Gemini,
                None => Api::OpenAi,
            }
        }
    }
}
