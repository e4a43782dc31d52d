//! What an isolate knows of how providers fare, by credential and target. Only of
//! those that gave cause: while all is well there is nothing here.

use super::breaker::{Breaker, FAILURES_TO_OPEN};
use super::happened::{Fault, Happened};
use super::key::{Key, Named};
use super::signs::Signs;
use lru::LruCache;
use serde::Serialize;
use shared::id::UnixMs;
use std::hash::{BuildHasherDefault, DefaultHasher};
use uuid::Uuid;

const MAX_STANDINGS: usize = 1_024;

/// A client may choose a model's name.
const MAX_NAME_LEN: usize = 200;

const BAD_KEY_MS: u64 = 60_000;

/// After a 429 that does not say when to come back.
const FIRST_COOL_MS: u64 = 1_000;
const LONGEST_DEFAULT_COOL_MS: u64 = 60_000;

/// Least recently noted out.
#[derive(Debug)]
pub struct Standings(LruCache<Key, Standing, BuildHasherDefault<DefaultHasher>>);

/// Times are of the past where nothing is wrong any more.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    credential_id: Uuid,
    provider: Box<str>,
    model: Option<Box<str>>,
    cools_until: UnixMs,
    /// 429s in a row that did not say for how long.
    #[serde(skip)]
    unsaid: u32,
    low_until: UnixMs,
    /// 0 = never.
    failed_at: UnixMs,
    /// Answers in a row that began and broke off: an answer that only begins makes up for none.
    #[serde(skip)]
    broken: u32,
    breaker: Breaker,
}

/// In the order in which they are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// So far as is known. Also who may be probed.
    #[default]
    Well,
    /// Near a limit.
    Low,
    /// Cools down, or its breaker is open.
    UnwellUntil(UnixMs),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub health: Health,
    pub failed_at: UnixMs,
    pub cools_until: UnixMs,
}

impl Default for Standings {
    fn default() -> Self {
        Self(LruCache::unbounded_with_hasher(BuildHasherDefault::default()))
    }
}

impl Standings {
    pub fn look(&self, key: Key, now: UnixMs) -> Look {
        if self.0.is_empty() {
            return Look::default();
        }
        let of = |key| self.0.peek(&key).map_or_else(Look::default, |standing: &Standing| standing.look(now));
        let (this, all) = (of(key), of(key.of_all()));
        Look {
            health: this.health.max(all.health),
            failed_at: this.failed_at.max(all.failed_at),
            cools_until: this.cools_until.max(all.cools_until),
        }
    }

    /// A request goes there. It is the probe, if one is due.
    pub fn began(&mut self, key: Key, now: UnixMs) {
        if !self.0.is_empty()
            && let Some(standing) = self.0.get_mut(&key)
        {
            standing.breaker.began(now);
        }
    }

    /// What became of it, and what the answer's headers said.
    pub fn ended(&mut self, key: Key, named: Named<'_>, happened: Happened, signs: Signs, now: UnixMs) {
        let fault = happened.fault();
        let is_low = signs.low_for_ms.is_some_and(|ms| ms > 0);
        if self.0.is_empty() && fault.is_none() && !is_low {
            return;
        }
        match fault {
            Some(_) if matches!(happened, Happened::BrokeOff { .. }) => self.entry(key, named).broke_off(now),
            Some(Fault::Provider | Fault::Silence) => self.entry(key, named).failed(signs, now),
            Some(Fault::Limit) => self.entry(key, named).limited(signs, now),
            Some(Fault::Key) => {
                let named = Named { model: None, ..named };
                self.entry(key.of_all(), named).cools(BAD_KEY_MS, now);
            }
            Some(Fault::Moment | Fault::Length) | None => {}
        }
        let is_answer = !matches!(fault, Some(Fault::Provider | Fault::Silence));
        let standing = if is_low { Some(self.entry(key, named)) } else { self.0.get_mut(&key) };
        let Some(standing) = standing else { return };
        if happened == Happened::Unusable {
            standing.breaker.given_up();
        } else if is_answer && !standing.always_breaks_off() {
            standing.breaker.answered();
        }
        if fault.is_none() && standing.cools_until <= now {
            standing.unsaid = 0;
        }
        if let Some(ms) = signs.low_for_ms {
            standing.low_until = now + ms;
        }
    }

    /// An answer came to its end.
    pub fn completed(&mut self, key: Key) {
        if let Some(standing) = self.0.peek_mut(&key) {
            if standing.always_breaks_off() {
                standing.breaker.answered();
            }
            standing.broken = 0;
        }
    }

    /// It ended, and nobody knows how: the client left.
    pub fn given_up(&mut self, key: Key) {
        if let Some(standing) = self.0.peek_mut(&key) {
            standing.breaker.given_up();
        }
    }

    /// For who watches the isolate; last noted first.
    pub fn all(&self) -> impl Iterator<Item = &Standing> {
        self.0.iter().map(|(_, standing)| standing)
    }

    fn entry(&mut self, key: Key, named: Named<'_>) -> &mut Standing {
        if self.0.len() >= MAX_STANDINGS && !self.0.contains(&key) {
            self.0.pop_lru();
        }
        self.0.get_or_insert_mut(key, || Standing::new(key, named))
    }
}

impl Standing {
    fn new(key: Key, named: Named<'_>) -> Self {
        let cut = |name: &str| name[..name.floor_char_boundary(MAX_NAME_LEN)].into();
        Self {
            credential_id: key.credential(),
            provider: cut(named.provider),
            model: named.model.map(cut),
            cools_until: 0,
            unsaid: 0,
            low_until: 0,
            failed_at: 0,
            broken: 0,
            breaker: Breaker::default(),
        }
    }

    fn look(&self, now: UnixMs) -> Look {
        let cools_until = Some(self.cools_until).filter(|until| *until > now);
        let health = match cools_until.max(self.breaker.unwell_until(now)) {
            Some(until) => Health::UnwellUntil(until),
            None if self.low_until > now => Health::Low,
            None => Health::Well,
        };
        Look { health, failed_at: self.failed_at, cools_until: self.cools_until }
    }

    fn failed(&mut self, signs: Signs, now: UnixMs) {
        self.breaker.failed(now);
        self.cools(signs.retry_after_ms.unwrap_or(0), now);
    }

    fn broke_off(&mut self, now: UnixMs) {
        self.cools(0, now);
        // Of those that began before it was open, one counts.
        if self.breaker.is_open() {
            return;
        }
        self.broken = self.broken.saturating_add(1);
        if self.always_breaks_off() {
            self.breaker.broke_off(now);
        }
    }

    /// Then that one begins to answer says nothing.
    fn always_breaks_off(&self) -> bool {
        self.broken >= FAILURES_TO_OPEN
    }

    fn limited(&mut self, signs: Signs, now: UnixMs) {
        let said = signs.retry_after_ms.or(signs.spent_for_ms);
        let is_cooling = self.cools_until > now;
        let ms = said.unwrap_or_else(|| {
            // Those that were under way together are one.
            self.unsaid += u32::from(!is_cooling);
            (FIRST_COOL_MS << self.unsaid.saturating_sub(1).min(10)).min(LONGEST_DEFAULT_COOL_MS)
        });
        self.cools(ms, now);
    }

    fn cools(&mut self, ms: u64, now: UnixMs) {
        self.failed_at = now;
        self.cools_until = self.cools_until.max(now + ms);
    }
}

#[cfg(test)]
mod tests;
