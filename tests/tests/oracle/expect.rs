//! What a request may be answered with, by the rows alone: whatever they said
//! at some moment of the staleness window, and no more.

use crate::clock::{MINUTE, Time};
use crate::edges::Response;
use crate::model::{Birth, Model, Project, Rows, Token, TokenNumber, Verdict, judge};
use std::collections::BTreeSet;

/// How long a token that was just created is found by itself.
const FRESH: Time = 3 * MINUTE;

/// What the credential of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Token(TokenNumber),
    /// Its id, another secret, a right tag.
    WrongSecret(TokenNumber),
    /// A right tag, and nobody made it.
    Stranger,
    /// Made by somebody without a key that the edge lists.
    WrongTag,
}

/// The kinds of expectation, by how much they leave open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strictness {
    MustAccept,
    /// And only its fresh record can say so.
    MustAcceptFresh,
    MustRefuse,
    /// A cold isolate that may believe nothing there is.
    MustNotKnow,
    /// A change is under way: before or after it.
    Either,
    /// KV failed, and so the edge did not answer.
    Excused,
}

pub(crate) struct Expectation {
    allowed: BTreeSet<Verdict>,
    /// A fresh record may say so, whatever the manifest is.
    may_be_fresh: bool,
    /// And it must.
    is_by_fresh: bool,
}

impl Expectation {
    pub(crate) fn of(model: &Model, credential: Credential, response: &Response) -> Self {
        let only = |verdict| Self { allowed: [verdict].into(), may_be_fresh: false, is_by_fresh: false };
        let mut expectation = match credential {
            _ if response.must_be_unavailable => return only(Verdict::Unavailable),
            Credential::WrongTag => only(Verdict::Malformed),
            Credential::WrongSecret(_) | Credential::Stranger => only(Verdict::Unknown),
            Credential::Token(token) => Self::of_token(model, token, response),
        };
        if response.is_excused {
            expectation.allowed.insert(Verdict::Unavailable);
        }
        expectation
    }

    fn of_token(model: &Model, token: TokenNumber, response: &Response) -> Self {
        let Response { at, knows, .. } = *response;
        let mut allowed = model.verdicts(token, knows, at);
        let birth = &model.births[token];
        // What was remembered of it counts until a manifest that is so much younger.
        let may_be_fresh = allowed.contains(&Verdict::Unknown) && knows < birth.issued + FRESH;
        if may_be_fresh {
            allowed.extend(fresh_verdicts(model, birth, response));
        }
        let is_covered = birth.is_replicated && at < birth.issued + FRESH && !response.was_fresh_hidden;
        let is_by_fresh = may_be_fresh && is_covered && model.rows().tokens.contains_key(&token);
        if is_by_fresh {
            allowed.remove(&Verdict::Unknown);
        }
        Self { allowed, may_be_fresh, is_by_fresh }
    }

    /// Up to when the isolate must know every change, to have answered so: it
    /// never goes back.
    pub(crate) fn shows(&self, model: &Model, credential: Credential, response: &Response) -> Option<Time> {
        let Credential::Token(token) = credential else { return None };
        let Response { knows, at, verdict, .. } = *response;
        if self.may_be_fresh { None } else { model.since(token, knows, at, verdict) }
    }

    /// The error says what was allowed.
    pub(crate) fn check(
        &self,
        model: &Model,
        credential: Credential,
        response: &Response,
    ) -> Result<Strictness, String> {
        if !self.allowed.contains(&response.verdict) {
            return Err(format!("{:?}, and allowed was {:?}", response.verdict, self.allowed));
        }
        if let Credential::Token(token) = credential {
            check_sent(model, token, response)?;
        }
        let others = || self.allowed.iter().filter(|verdict| **verdict != Verdict::Unavailable);
        Ok(match response.verdict {
            Verdict::Unavailable if response.must_be_unavailable => Strictness::MustNotKnow,
            Verdict::Unavailable => Strictness::Excused,
            _ if others().count() > 1 && self.allowed.contains(&Verdict::Accepted) => Strictness::Either,
            Verdict::Accepted if self.is_by_fresh => Strictness::MustAcceptFresh,
            Verdict::Accepted => Strictness::MustAccept,
            _ => Strictness::MustRefuse,
        })
    }
}

/// What its record as it was created says, in any state that its project may be known in.
fn fresh_verdicts(model: &Model, birth: &Birth, response: &Response) -> BTreeSet<Verdict> {
    let known = model.states(response.knows, response.at);
    let known = known.filter_map(|rows| rows.projects.get(&birth.token.project));
    let judged = |project: &Project| {
        let revoked = project.revoked_all.filter(|at| *at > birth.issued);
        judge(&Token { revoked, ..birth.token.clone() }, project, response.at)
    };
    known.chain([&birth.project]).map(judged).collect()
}

/// An accepted request goes where the provider was, with a key that the token's
/// own project had, at some moment of the window.
fn check_sent(model: &Model, token: TokenNumber, response: &Response) -> Result<(), String> {
    let Some(sent) = &response.sent else { return Ok(()) };
    let birth = &model.births[token];
    let states = || model.states(response.knows, response.at);
    let has_key = |rows: &Rows| {
        let project = rows.projects.get(&birth.token.project);
        project.and_then(|project| project.key.as_ref()) == Some(&sent.key)
    };
    let is_of_birth = response.knows < birth.issued + FRESH && birth.project.key.as_ref() == Some(&sent.key);
    if !is_of_birth && !states().any(has_key) {
        return Err(format!("sent with {:?}, which is not its project's", sent.key));
    }
    if !states().any(|rows| sent.url == format!("{}/v1/models", rows.base_url)) {
        return Err(format!("sent to {:?}, where the provider is not", sent.url));
    }
    Ok(())
}
