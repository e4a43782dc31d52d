//! KV as locations see it: late, each key by itself, sometimes older than
//! before, sometimes missing what is there, sometimes not at all.

use crate::clock::{MINUTE, SECOND, Time};
use latchkey_tests::kv::Change;
use latchkey_tests::soak::dice::Dice;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

pub(crate) type Location = usize;

/// That of an answer while KV is well. Milliseconds.
const LATENCY: std::ops::Range<u64> = 1..40;
/// How long a location may remember that a key is missing, whatever it was asked for.
const MISSING_TTL: Time = MINUTE;
/// What the publisher lets pass before a manifest names an object.
const SETTLE: Time = 90 * SECOND;

/// What a location's reads meet, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Fail,
    Hang,
    /// Answers after so many milliseconds.
    Slow(Time),
    /// The other way round than the next one.
    NoManifest,
    /// The manifest and fresh tokens are there; immutable objects are not.
    NoObjects,
}

#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) outcome: Outcome,
    pub(crate) latency: Time,
    /// It is KV's fault, not the publisher's, if the edge cannot go on with this.
    pub(crate) is_excuse: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Value(Option<Rc<[u8]>>),
    Fails,
    Hangs,
}

/// From a time on, a key has a value.
#[derive(Debug)]
struct Version {
    at: Time,
    value: Option<Rc<[u8]>>,
    is_wiped: bool,
}

#[derive(Debug, Default)]
struct Place {
    cached: HashMap<String, Cached>,
    seen: HashSet<String>,
    copies: HashMap<String, (Rc<[u8]>, Time)>,
    fault: Option<(Fault, Time)>,
    /// Until when its reads of the manifest were in trouble.
    troubled_until: Time,
}

#[derive(Debug)]
struct Cached {
    value: Option<Rc<[u8]>>,
    until: Time,
}

#[derive(Debug)]
pub(crate) struct View {
    keys: BTreeMap<String, Vec<Version>>,
    places: Vec<Place>,
    dice: Dice,
    /// The most by which a location lags behind. Milliseconds.
    pub(crate) lag: Time,
    /// Until when a manifest may name objects that have not reached every
    /// location: KV was wiped, or objects were lost with a backup's time.
    hurried_until: Time,
    /// Whether also a key that a location never asked for may be seen late.
    is_late_at_first: bool,
}

impl View {
    pub(crate) fn new(locations: usize, mut dice: Dice) -> Self {
        let lags = [0, 2, 30, 60, 60, 120];
        let lag = lags[dice.below(lags.len())] * SECOND;
        let is_late_at_first = dice.percent(25);
        let places = (0..locations).map(|_| Place::default()).collect();
        Self { keys: BTreeMap::new(), places, dice, lag, hurried_until: 0, is_late_at_first }
    }

    /// What the control plane did to KV.
    pub(crate) fn take(&mut self, changes: Vec<Change>, now: Time) {
        for Change { key, value, ttl } in changes {
            let versions = self.keys.entry(key).or_default();
            versions.push(Version { at: now, value: value.map(Rc::from), is_wiped: false });
            if let Some(seconds) = ttl {
                versions.push(Version { at: now + seconds * SECOND, value: None, is_wiped: false });
            }
        }
    }

    /// Everything is gone.
    pub(crate) fn wipe(&mut self, now: Time) {
        for versions in self.keys.values_mut() {
            versions.retain(|version| version.at <= now);
            if versions.last().is_some_and(|version| version.value.is_some()) {
                versions.push(Version { at: now, value: None, is_wiped: true });
            }
        }
    }

    pub(crate) fn break_down(&mut self, location: Location, fault: Fault, until: Time) {
        let place = &mut self.places[location];
        place.fault = Some((fault, until));
        if fault != Fault::NoObjects {
            place.troubled_until = until;
        }
    }

    /// Since when the manifest could be read there without fail.
    pub(crate) fn well_since(&self, location: Location) -> Time {
        self.places[location].troubled_until
    }

    pub(crate) fn forget_copies(&mut self, location: Location) {
        self.places[location].copies.clear();
    }

    pub(crate) fn read(&mut self, location: Location, key: &str, ttl: Time, now: Time) -> Answer {
        let mut latency = u64::try_from(self.dice.millis(LATENCY).as_millis()).unwrap();
        let fault = self.places[location].fault.filter(|(_, until)| now < *until).map(|(fault, _)| fault);
        let without = |outcome| Answer { outcome, latency, is_excuse: true };
        match fault {
            Some(Fault::Fail) => return without(Outcome::Fails),
            Some(Fault::Hang) => return without(Outcome::Hangs),
            Some(Fault::NoObjects) if !is_mutable(key) => return without(Outcome::Value(None)),
            Some(Fault::Slow(ms)) => latency += ms,
            Some(Fault::NoManifest) if key.starts_with("manifest/") => return without(Outcome::Fails),
            Some(Fault::NoObjects | Fault::NoManifest) | None => {}
        }
        let value = self.seen(location, key, ttl, now);
        let is_excuse = matches!(fault, Some(Fault::Slow(_))) || value.is_none() && self.has_hidden(key, now);
        Answer { outcome: Outcome::Value(value), latency, is_excuse }
    }

    fn seen(&mut self, location: Location, key: &str, ttl: Time, now: Time) -> Option<Rc<[u8]>> {
        let place = &self.places[location];
        if let Some(cached) = place.cached.get(key).filter(|cached| now < cached.until) {
            return cached.value.clone();
        }
        let is_late = self.is_late_at_first || place.seen.contains(key);
        let behind = match self.dice.below(4) {
            0 | 1 => 0,
            2 => self.lag,
            _ => self.dice.roll() % (self.lag + 1),
        };
        let value = self.value(key, if is_late { now - behind } else { now });
        let ttl = if value.is_none() { ttl.min(MISSING_TTL) } else { ttl };
        let until = now + self.dice.roll() % (ttl + 1);
        let place = &mut self.places[location];
        place.seen.insert(key.to_owned());
        place.cached.insert(key.to_owned(), Cached { value: value.clone(), until });
        value
    }

    fn value(&self, key: &str, at: Time) -> Option<Rc<[u8]>> {
        self.version(key, at)?.value.clone()
    }

    fn version(&self, key: &str, at: Time) -> Option<&Version> {
        let versions = self.keys.get(key)?;
        versions[..versions.partition_point(|version| version.at <= at)].last()
    }

    /// Whether who finds nothing under `key` could have found something, had
    /// KV not been late or wiped. A manifest there always should be; an object
    /// has had the time to arrive before a manifest names it.
    fn has_hidden(&self, key: &str, now: Time) -> bool {
        let Some(version) = self.version(key, now) else { return key.starts_with("manifest/") };
        let may_be_late = is_mutable(key) || self.lag > SETTLE || now < self.hurried_until;
        key.starts_with("manifest/") || version.is_wiped || may_be_late && version.value.is_some()
    }

    /// From now on, and for a while after what is published then.
    pub(crate) fn hurry(&mut self, until: Time) {
        self.hurried_until = self.hurried_until.max(until);
    }

    pub(crate) fn copy(&self, location: Location, name: &str, now: Time) -> Option<Rc<[u8]>> {
        let (content, until) = self.places[location].copies.get(name)?;
        (now < *until).then(|| content.clone())
    }

    pub(crate) fn keep_copy(&mut self, location: Location, name: &str, content: &[u8], until: Time) {
        self.places[location].copies.insert(name.to_owned(), (content.into(), until));
    }
}

/// The others are named by their content.
fn is_mutable(key: &str) -> bool {
    key.starts_with("manifest/") || key.starts_with("fresh/")
}
