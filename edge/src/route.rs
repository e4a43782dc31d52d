//! What goes upstream, and which headers stay behind.

use crate::authorize::Permit;
use crate::capture;
use crate::cors;
use crate::head::Head;
use crate::leg::Leg;
use crate::policies::{BodyLimit, Policies};
use crate::refusal::Refusal;
use crate::ways::{Means, Ways};
use shared::asked::is_json;
use shared::header;
use shared::provider::{Api, Provider, Timeouts};
use shared::redaction::Redactor;
use shared::route::check_encoding;
use shared::snapshot::config::StreamUsage;
use std::borrow::Cow;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Longest request body that is read for its event, before it goes upstream.
const MAX_BODY_READ: u64 = 4 * 1024 * 1024;

/// Whether a body of so many bytes may be in Rust's memory as a whole.
pub fn is_small(length: u64) -> bool {
    length <= MAX_BODY_READ
}

/// What is known of a request before its body, and where it may go.
#[derive(Debug)]
pub struct Plan {
    pub ways: Ways,
    /// The first of them; none where the body must be read to know it.
    pub first: Option<Leg>,
    /// Of the provider that was named: its API, its times, and the path that it sees.
    pub api: Api,
    pub timeouts: Timeouts,
    pub endpoint: String,
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
    pub content_type: Option<String>,
    /// Headers of the answer, as lines, that let a page read it.
    pub cors: String,
}

/// Policies with rules on the body.
#[derive(Clone, Debug)]
pub struct Judge {
    pub policies: Policies,
}

impl Plan {
    /// Whether the body is read before it goes upstream: a rule must read it, or
    /// it is of a known, small length.
    pub fn is_body_read(&self) -> bool {
        self.judge.is_some()
            || self.first.is_none()
            || (self.is_observed() && self.body_length.is_some_and(is_small))
    }

    /// Whether what it holds is of interest beyond what is allowed.
    pub fn is_observed(&self) -> bool {
        self.is_json || self.is_captured
    }
}

/// `chance` picks among what is of equal rank.
pub fn plan(permit: &Permit<'_>, head: &Head<'_>, means: Means<'_>, chance: u64) -> Result<Plan, Refusal> {
    let (policies, target) = (permit.policies(), permit.target());
    let (provider, project) = (policies.provider(), policies.project());
    let is_json = is_json(head.method, head.header("content-type"));
    let redactor = project.redactor();
    let is_read = is_json || redactor.is_some();
    let mut ways = Ways::new(policies.clone(), head, target, is_read, chance);
    let is_routed = is_json && !project.routes.is_empty();
    if is_routed {
        check_encoding(head.header("content-encoding"))?;
    }
    let body_limit = policies.body_limit(permit.is_judged(), is_routed);
    if head.content_length().is_some_and(|length| length > body_limit.bytes) {
        return Err(body_limit.refusal());
    }
    let first = if is_routed {
        None
    } else {
        ways.follow_name(means.now);
        Some(ways.first(means)?)
    };
    Ok(Plan {
        ways,
        first,
        api: provider.api,
        timeouts: provider.timeouts,
        endpoint: target.path.to_owned(),
        stream_usage: project.stream_usage,
        is_json,
        is_captured: redactor.is_some() && has_text(head),
        redactor,
        body_length: head.content_length(),
        body_limit,
        judge: permit.is_judged().then(|| Judge { policies: policies.clone() }),
        content_type: head
            .header("content-type")
            .filter(|_| is_routed || permit.is_judged())
            .map(str::to_owned),
        cors: if policies.names_origins() { cors::allow(head) } else { String::new() },
    })
}

/// What is set of a request's headers: name, value, name, value...
pub fn set(provider: &Provider, key: &str, is_read: bool) -> Zeroizing<String> {
    let mut set = Zeroizing::new(String::with_capacity(256));
    for (name, value) in &provider.default_headers {
        push_line(&mut set, name);
        push_line(&mut set, value);
    }
    if is_read {
        // Its answer is read.
        push_line(&mut set, "accept-encoding");
        push_line(&mut set, "identity");
    }
    push_line(&mut set, &provider.auth.header);
    set.push_str(&provider.auth.prefix);
    set.push_str(key);
    set
}

fn has_text(head: &Head<'_>) -> bool {
    let has_body = !matches!(head.method, "GET" | "HEAD");
    let is_plain = head.header("content-encoding").is_none_or(|coding| coding == "identity");
    has_body && is_plain && head.header("content-type").is_some_and(capture::is_text)
}

/// Names of the client's headers that stay behind.
pub fn withheld(head: &Head<'_>, policies: &Policies) -> String {
    let allowed = &policies.provider().allowed_headers;
    if policies.limits_headers() {
        withheld_unless(head, allowed, |name| policies.forwards(name))
    } else {
        withheld_unless(head, allowed, |_| true)
    }
}

/// `forwards` tells of each other header whether it goes upstream.
fn withheld_unless(head: &Head<'_>, allowed: &[String], forwards: impl Fn(&str) -> bool) -> String {
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

pub fn answer_withheld(allowed: &[String]) -> Cow<'static, str> {
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
        let names = withheld_unless(&Head::parse(&text).unwrap(), &allowed, |_| true);
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
}
