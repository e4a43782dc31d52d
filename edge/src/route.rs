//! What goes upstream: the URL, with which key, and which headers stay behind.

use crate::authorize::Permit;
use crate::capture;
use crate::cors;
use crate::head::Head;
use crate::policies::{BodyLimit, Policies};
use crate::refusal::{Code, Refusal};
use crate::snapshot::project::LiveProject;
use shared::header;
use shared::key::KeyRing;
use shared::provider::{Api, Provider, Timeouts};
use shared::redaction::Redactor;
use shared::snapshot::config::StreamUsage;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use uuid::Uuid;
use zeroize::Zeroizing;

const JSON: &str = "application/json";

/// Longest request body that is read for its event, before it goes upstream.
const MAX_BODY_READ: u64 = 4 * 1024 * 1024;

/// Whether a body of so many bytes may be in Rust's memory as a whole.
pub fn is_small(length: u64) -> bool {
    length <= MAX_BODY_READ
}

/// A request as it goes upstream. Header lists are in the form in which they
/// cross to JavaScript: lines.
pub struct Plan {
    pub url: String,
    /// Names of the client's headers that stay behind.
    pub withheld: String,
    /// Name, value, name, value...: set in place of the client's.
    pub set: Zeroizing<String>,
    /// Names of the upstream's headers that do not reach the client.
    pub answer_withheld: Cow<'static, str>,
    pub timeouts: Timeouts,
    /// The provider's name, its API, and the path that it sees.
    pub provider: String,
    pub api: Api,
    pub endpoint: String,
    /// Which of the project's it is.
    pub credential_id: Uuid,
    pub stream_usage: StreamUsage,
    /// The request is JSON that may ask a model.
    pub is_json: bool,
    /// Where the project has bodies captured.
    pub redactor: Option<Rc<Redactor>>,
    /// The request's body is to be captured: it is text.
    pub is_captured: bool,
    /// As declared; a body of undeclared length is counted as it passes.
    pub body_length: Option<u64>,
    pub body_limit: BodyLimit,
    /// What must read the body before it goes upstream.
    pub judge: Option<Judge>,
    /// Headers of the answer, as lines, that let a page read it.
    pub cors: String,
}

/// Policies with rules on the body.
#[derive(Clone, Debug)]
pub struct Judge {
    pub policies: Policies,
    pub content_type: Option<String>,
}

impl Plan {
    /// Whether the body is read before it goes upstream: a rule must read it, or
    /// it is of a known, small length.
    pub fn is_body_read(&self) -> bool {
        self.judge.is_some() || (self.is_observed() && self.body_length.is_some_and(is_small))
    }

    /// Whether what it holds is of interest beyond what is allowed.
    pub fn is_observed(&self) -> bool {
        self.is_json || self.is_captured
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({})", self.url)
    }
}

/// `chance` picks among credentials of equal priority.
pub fn plan(
    permit: &Permit<'_>,
    head: &Head<'_>,
    deployment_id: &str,
    keys: &KeyRing,
    chance: u32,
) -> Result<Plan, Refusal> {
    let (provider, target) = (permit.provider(), permit.target());
    let project = permit.caller().project();
    let (credential_id, key) = choose_key(project, provider, deployment_id, keys, chance)?;
    let mut set = Zeroizing::new(String::with_capacity(256));
    for (name, value) in &provider.default_headers {
        push_line(&mut set, name);
        push_line(&mut set, value);
    }
    let limits_headers = permit.policies().limits_headers();
    let is_json = is_json(head);
    let redactor = project.redactor();
    if is_json || redactor.is_some() {
        // Its answer is read.
        push_line(&mut set, "accept-encoding");
        push_line(&mut set, "identity");
    }
    push_line(&mut set, &provider.auth.header);
    set.push_str(&provider.auth.prefix);
    set.push_str(&key);
    Ok(Plan {
        url: [&provider.base_url, target.path, &target.query].concat(),
        withheld: withheld(head, &provider.allowed_headers, |name| {
            !limits_headers || permit.policies().forwards(name)
        }),
        set,
        answer_withheld: answer_withheld(&provider.allowed_headers),
        timeouts: provider.timeouts,
        provider: provider.name.clone(),
        api: provider.api,
        endpoint: target.path.to_owned(),
        credential_id,
        stream_usage: project.stream_usage,
        is_json,
        is_captured: redactor.is_some() && has_text(head),
        redactor,
        body_length: head.content_length(),
        body_limit: permit.policies().body_limit(permit.is_judged()),
        judge: permit.is_judged().then(|| Judge {
            policies: permit.policies().clone(),
            content_type: head.header("content-type").map(str::to_owned),
        }),
        cors: if permit.policies().names_origins() { cors::allow(head) } else { String::new() },
    })
}

fn is_json(head: &Head<'_>) -> bool {
    let is_json =
        |value: &str| value.trim_start().get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(JSON));
    head.method == "POST" && head.header("content-type").is_some_and(is_json)
}

fn has_text(head: &Head<'_>) -> bool {
    let has_body = !matches!(head.method, "GET" | "HEAD");
    let is_plain = head.header("content-encoding").is_none_or(|coding| coding == "identity");
    has_body && is_plain && head.header("content-type").is_some_and(capture::is_text)
}

fn choose_key(
    project: &LiveProject,
    provider: &Provider,
    deployment_id: &str,
    keys: &KeyRing,
    chance: u32,
) -> Result<(Uuid, Zeroizing<String>), Refusal> {
    let candidates: Vec<(u32, u32)> = project
        .credentials
        .iter()
        .map(|candidate| {
            if candidate.provider == provider.name { (candidate.priority, candidate.weight) } else { (0, 0) }
        })
        .collect();
    let unusable = |why: &'static str| Refusal::new(Code::UpstreamUnavailable, why);
    let chosen = choose(&candidates, chance)
        .ok_or_else(|| unusable("The project has no active credential for this provider."))?;
    let key = project.open(chosen, provider, deployment_id, keys).ok_or_else(|| {
        unusable("The project's credential for this provider cannot be used. Its owner must renew it.")
    })?;
    Ok((project.credentials[chosen].id, key))
}

/// Of (priority, weight) pairs, the index of one with the lowest priority, in
/// proportion to weights; those with weight 0 do not take part.
fn choose(candidates: &[(u32, u32)], chance: u32) -> Option<usize> {
    let first = candidates.iter().filter(|(_, weight)| *weight > 0).map(|(priority, _)| *priority).min()?;
    let eligible = || {
        candidates.iter().enumerate().filter(move |(_, (priority, weight))| *priority == first && *weight > 0)
    };
    let total: u64 = eligible().map(|(_, (_, weight))| u64::from(*weight)).sum();
    // Scales `chance` from 0..2^32 to 0..total.
    let mut rest = (u64::from(chance) * total) >> 32;
    for (index, (_, weight)) in eligible() {
        match rest.checked_sub(u64::from(*weight)) {
            Some(left) => rest = left,
            None => return Some(index),
        }
    }
    None
}

/// `forwards` tells of each other header whether it goes upstream.
fn withheld(head: &Head<'_>, allowed: &[String], forwards: impl Fn(&str) -> bool) -> String {
    let mut names = String::new();
    for (name, value) in head.headers() {
        if is_withheld(name)
            || (header::ACCOUNT_SELECTORS.contains(&name) && !allowed.iter().any(|a| a == name))
            || !forwards(name)
        {
            push_line(&mut names, name);
        }
        if name == "connection" {
            // RFC 9110, 7.6.1: these headers are meant for this hop only.
            for nominated in value.split(',').map(str::trim).filter(|nominated| is_header_name(nominated)) {
                push_line(&mut names, nominated);
            }
        }
    }
    names.pop();
    names
}

/// Hop-by-hop, cookies and accounts of the provider's, and what would speak for us:
/// which pages may read an answer is a policy's to say.
const ANSWER_WITHHELD: &str = "connection\nkeep-alive\nproxy-authenticate\nproxy-connection\ntrailer\n\
    transfer-encoding\nupgrade\nset-cookie\nset-cookie2\nauthorization\nx-api-key\napi-key\nx-goog-api-key\n\
    x-latchkey-error\nalt-svc\nopenai-organization\nopenai-project\n\
    access-control-allow-origin\naccess-control-allow-credentials";

fn answer_withheld(allowed: &[String]) -> Cow<'static, str> {
    if allowed.is_empty() {
        return Cow::Borrowed(ANSWER_WITHHELD);
    }
    let names = ANSWER_WITHHELD.split('\n').filter(|name| !allowed.iter().any(|allowed| allowed == name));
    Cow::Owned(names.collect::<Vec<_>>().join("\n"))
}

fn is_withheld(name: &str) -> bool {
    // Dispatch on the first letter: most headers match none of these.
    match name.as_bytes().first() {
        Some(b'c') => matches!(name, "cookie" | "connection" | "cdn-loop") || name.starts_with("cf-"),
        Some(b'x') => {
            name.starts_with("x-forwarded-")
                || name.starts_with("x-latchkey-")
                || name == "x-real-ip"
                || header::CREDENTIALS.contains(&name)
                || header::METHOD_OVERRIDES.contains(&name)
        }
        Some(b'f') => name == "forwarded",
        // A provider is not called by a page, but by us.
        Some(b'o') => name == "origin",
        Some(b'r') => name == "referer",
        Some(b't') => name == "true-client-ip" || header::HOP_BY_HOP.contains(&name),
        Some(b'a') => header::CREDENTIALS.contains(&name) || name.starts_with("access-control-"),
        Some(b'k' | b'p' | b'u') => header::HOP_BY_HOP.contains(&name),
        _ => false,
    }
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn push_line(lines: &mut String, line: &str) {
    lines.push_str(line);
    lines.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withheld_of(headers: &[(&str, &str)], allowed: &[&str]) -> Vec<String> {
        let lines: String = headers.iter().flat_map(|(name, value)| [*name, "\n", *value, "\n"]).collect();
        let text = format!("GET\nhttp://edge/\n{lines}");
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let names = withheld(&Head::parse(&text).unwrap(), &allowed, |_| true);
        names.split('\n').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn what_concerns_the_gateway_or_the_client_stays_behind() {
        let all: Vec<&str> = header::CREDENTIALS
            .into_iter()
            .chain(header::HOP_BY_HOP)
            .chain(header::METHOD_OVERRIDES)
            .chain(header::ACCOUNT_SELECTORS)
            .chain([
                "cookie",
                "cf-connecting-ip",
                "cf-anything",
                "x-forwarded-for",
                "x-forwarded-x",
                "forwarded",
            ])
            .chain(["origin", "referer", "access-control-request-method"])
            .chain(["x-real-ip", "true-client-ip", "x-latchkey-anything", "cdn-loop"])
            .collect();
        let headers: Vec<(&str, &str)> = all.iter().map(|&name| (name, "v")).collect();
        let withheld = withheld_of(&headers, &[]);
        for name in all {
            assert!(withheld.iter().any(|other| other == name), "{name} passed");
        }
    }

    #[test]
    fn what_the_provider_needs_passes() {
        let headers = [
            "accept",
            "content-type",
            "user-agent",
            "anthropic-version",
            "anthropic-beta",
            "openai-beta",
            "x-stainless-lang",
            "x-goog-api-client",
            "accept-encoding",
            "traceparent",
            "priority",
            "idempotency-key",
        ];
        assert_eq!(withheld_of(&headers.map(|name| (name, "v")), &[]), Vec::<String>::new());
        let selectors = header::ACCOUNT_SELECTORS.map(|name| (name, "v"));
        assert_eq!(withheld_of(&selectors, &["openai-project"]), ["openai-organization"]);
    }

    #[test]
    fn an_account_header_of_the_answer_passes_only_where_it_is_allowed() {
        assert!(answer_withheld(&[]).split('\n').any(|name| name == "openai-project"));
        let names = answer_withheld(&["openai-project".to_owned()]);
        assert!(!names.contains("openai-project") && names.contains("openai-organization"));
    }

    #[test]
    fn headers_nominated_by_connection_stay_behind() {
        assert_eq!(withheld_of(&[("connection", "x-hop, bad name")], &[]), ["connection", "x-hop"]);
    }

    #[test]
    fn the_lowest_priority_goes_first_in_proportion_to_weights() {
        assert_eq!(choose(&[], 0), None);
        assert_eq!(choose(&[(0, 0)], 0), None);
        assert_eq!(choose(&[(1, 5), (0, 1), (0, 0)], u32::MAX), Some(1));
        let candidates = [(0, 1), (0, 3)];
        let share = (0..1000u32).filter(|i| choose(&candidates, i * (u32::MAX / 1000)) == Some(1)).count();
        assert!((740..=760).contains(&share), "{share}");
    }
}
