//! Who is calling: the token against the snapshot, without I/O when warm.

use crate::credential;
use crate::head::Head;
use crate::refusal::{Code, Refusal};
use crate::snapshot::fresh::FreshTokens;
use crate::snapshot::project::LiveProject;
use crate::snapshot::{Halt, Snapshot};
use shared::id::UnixMs;
use shared::snapshot::record::{Invalid, TokenRecord};
use shared::token::{TagKeys, Token};
use std::rc::Rc;
use uuid::Uuid;

/// Proof that a request carries a valid token of an existing project.
#[derive(Debug)]
pub struct Caller {
    token_id: Uuid,
    project: Rc<LiveProject>,
    /// Of the token's own policy, into the project's profiles.
    profile: Option<usize>,
}

impl Caller {
    pub fn token_id(&self) -> Uuid {
        self.token_id
    }

    pub fn project(&self) -> &Rc<LiveProject> {
        &self.project
    }

    pub fn profile(&self) -> Option<usize> {
        self.profile
    }
}

pub fn authenticate(
    head: &Head<'_>,
    tags: &TagKeys,
    snapshot: &Snapshot,
    fresh: &FreshTokens,
    now: UnixMs,
) -> Result<Caller, Halt> {
    let text = credential::find(head)?;
    let token = Token::parse(text, tags)
        .map_err(|error| Refusal::new(Code::MalformedToken, format!("The token is not valid: {error}.")))?;
    let (record, project) = look_up(&token, snapshot, fresh, now)?;
    record.check(&token, project.tokens_valid_from, now).map_err(refuse)?;
    let profile = record.profile().map(|number| project.find_profile(number).ok_or_else(incomplete));
    Ok(Caller { token_id: token.id(), profile: profile.transpose()?, project })
}

fn look_up(
    token: &Token,
    snapshot: &Snapshot,
    fresh: &FreshTokens,
    now: UnixMs,
) -> Result<(TokenRecord, Rc<LiveProject>), Halt> {
    if let Some(found) = snapshot.token(token.id())? {
        let record = found.record;
        snapshot.remember(&found, token);
        // A snapshot with a token has its project; one without is not whole.
        let project = snapshot.project(record.project())?.ok_or_else(incomplete)?;
        return Ok((record, project));
    }
    let created =
        fresh.find(token, snapshot.created_at(), now)?.ok_or_else(|| refuse(Invalid::WrongSecret))?;
    // After a restore another project may have the number, in either of the two.
    let project = snapshot.project(created.record.project())?;
    // And the one that the snapshot has may not know of the token's policy yet.
    let knows = |project: &Rc<LiveProject>| {
        created.record.profile().is_none_or(|number| project.find_profile(number).is_some())
    };
    let project = project.filter(|project| project.id == created.project.id && knows(project));
    Ok((created.record, project.unwrap_or_else(|| created.project.clone())))
}

fn incomplete() -> Refusal {
    Refusal::new(Code::SnapshotUnavailable, "The gateway's configuration is incomplete. Try again shortly.")
}

fn refuse(reason: Invalid) -> Refusal {
    match reason {
        Invalid::WrongSecret => Refusal::new(Code::InvalidToken, "The token is unknown."),
        Invalid::Revoked => {
            Refusal::new(Code::TokenRevoked, "The token has been revoked. Ask for a new one.")
        }
        Invalid::Expired => Refusal::new(Code::TokenExpired, "The token has expired. Ask for a new one."),
    }
}
