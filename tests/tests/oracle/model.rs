//! The oracle: rows as the management API was told to make them, and every
//! state that they were in. Naive on purpose: a bulk revocation touches every
//! row, a restore puts all rows back, nothing is incremental. It shares no code
//! with what it judges: a token is a number, and it expires when it was asked to.

use crate::clock::{DAY, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Which token, in the order of creation.
pub(crate) type TokenNumber = usize;
pub(crate) type ProjectNumber = usize;

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) project: ProjectNumber,
    /// None = never.
    pub(crate) expires: Option<Time>,
    pub(crate) revoked: Option<Time>,
}

#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) is_active: bool,
    /// The provider key of its one credential, while it has one.
    pub(crate) key: Option<String>,
    /// When all its tokens were revoked last: also those that a restore has
    /// taken away, and that are still remembered as new.
    pub(crate) revoked_all: Option<Time>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    pub(crate) tokens: BTreeMap<TokenNumber, Token>,
    pub(crate) projects: BTreeMap<ProjectNumber, Project>,
    /// Where the provider is.
    pub(crate) base_url: String,
}

/// What a request deserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Accepted,
    /// 401: form, checksum or tag are wrong.
    Malformed,
    /// 401
    Unknown,
    /// 401
    Revoked,
    /// 401
    Expired,
    /// 403
    Inactive,
    /// 503: there is no provider key.
    NoKey,
    /// 503: the edge cannot know.
    Unavailable,
}

impl Verdict {
    pub(crate) const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Malformed,
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::Inactive,
        Self::NoKey,
        Self::Unavailable,
    ];
}

/// A token as it was created, and its project at that moment.
#[derive(Clone, Debug)]
pub(crate) struct Birth {
    pub(crate) at: Time,
    /// As the token itself says.
    pub(crate) issued: Time,
    pub(crate) token: Token,
    pub(crate) project: Project,
    /// KV had acknowledged it before the creation was answered.
    pub(crate) is_replicated: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    rows: Rows,
    /// Each state, and when it began.
    states: Vec<(Time, Rc<Rows>)>,
    pub(crate) births: Vec<Birth>,
}

impl Token {
    /// When it ended, if it has at `now`.
    fn ended(&self, now: Time) -> Option<Time> {
        let expired = self.expires.filter(|&at| at <= now);
        self.revoked.into_iter().chain(expired).min()
    }
}

/// What the edge does with a token of a project at `now`.
pub(crate) fn judge(token: &Token, project: &Project, now: Time) -> Verdict {
    if token.revoked.is_some() {
        Verdict::Revoked
    } else if token.expires.is_some_and(|at| at <= now) {
        Verdict::Expired
    } else if !project.is_active {
        Verdict::Inactive
    } else if project.key.is_none() {
        Verdict::NoKey
    } else {
        Verdict::Accepted
    }
}

impl Rows {
    /// What these rows say of a token; more than one where records of what has
    /// ended may have been thrown away, which is after a day.
    fn verdicts(&self, token: TokenNumber, now: Time) -> BTreeSet<Verdict> {
        let Some(row) = self.tokens.get(&token) else { return [Verdict::Unknown].into() };
        let mut verdicts = BTreeSet::from([judge(row, &self.projects[&row.project], now)]);
        if row.ended(now).is_some_and(|at| at + DAY <= now) {
            verdicts.insert(Verdict::Unknown);
        }
        verdicts
    }
}

impl Model {
    pub(crate) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// What changed at `now`.
    pub(crate) fn change(&mut self, now: Time, change: impl FnOnce(&mut Rows)) {
        change(&mut self.rows);
        self.states.push((now, Rc::new(self.rows.clone())));
    }

    /// A new token; its number.
    pub(crate) fn create(&mut self, birth: Birth) -> TokenNumber {
        let number = self.births.len();
        let token = birth.token.clone();
        self.change(birth.at, |rows| {
            rows.tokens.insert(number, token);
        });
        self.births.push(birth);
        number
    }

    pub(crate) fn revoke_all(&mut self, now: Time, project: ProjectNumber) {
        self.change(now, |rows| {
            for token in rows.tokens.values_mut().filter(|token| token.project == project) {
                token.revoked = token.revoked.or(Some(now));
            }
            if let Some(project) = rows.projects.get_mut(&project) {
                project.revoked_all = Some(now);
            }
        });
    }

    /// Every state that the rows were in at some moment from `from` to `to`.
    pub(crate) fn states(&self, from: Time, to: Time) -> impl Iterator<Item = &Rows> {
        let first = self.states.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        self.states[first..].iter().take_while(move |(at, _)| *at <= to).map(|(_, rows)| &**rows)
    }

    /// From when on, within these times, they said `verdict` of a token.
    pub(crate) fn since(&self, token: TokenNumber, from: Time, to: Time, verdict: Verdict) -> Option<Time> {
        let first = self.states.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let within = self.states[first..].iter().take_while(|(at, _)| *at <= to);
        let mut found = within.filter(|(_, rows)| rows.verdicts(token, to).contains(&verdict));
        found.next().map(|(at, _)| *at)
    }

    /// What they said of a token in any of these states, judged at `to`.
    pub(crate) fn verdicts(&self, token: TokenNumber, from: Time, to: Time) -> BTreeSet<Verdict> {
        self.states(from, to).flat_map(|rows| rows.verdicts(token, to)).collect()
    }
}
