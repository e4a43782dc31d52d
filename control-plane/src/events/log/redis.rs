//! The log in Redis Streams (`EVENT_LOG=redis`).
//!
//! One stream, one consumer group for each consumer. Redis keeps for each group
//! how far it has read, and which entries are given out and not acknowledged.

pub mod address;
mod link;
mod read;
mod settings;
mod target;
mod wire;

pub use address::Address;

use super::durability::Durability;
use super::{Answer, Backlog, Entry, EventLog, LogError, Position};
use crate::chance;
use link::{Link, Trouble};
use redis::{Cmd, Value, cmd};
use settings::Settings;
use shared::id::{self, UnixMs};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use target::Target;
use wire::{Group, Id};

/// How long a batch stays with who took it: as in the database's log.
pub const LEASE: Duration = Duration::from_secs(30);

/// A sender of events waits for the first, with a request of its own.
const APPEND: Duration = Duration::from_secs(5);
const OTHERS: Duration = Duration::from_secs(10);

/// A process that took nothing for so long has ended; if it has not, it gets its
/// name again with the next batch.
const FORGET_AFTER: Duration = Duration::from_hours(24);

/// The id of the first entry from an id on, without what is in it.
const FIRST: &str = "
local found = redis.call('xrange', KEYS[1], ARGV[1], '+', 'COUNT', 1)
return found[1] and found[1][1]";

#[derive(Debug)]
pub struct RedisLog {
    stream: String,
    /// How this process is called in every group.
    instance: String,
    writes: Link,
    reads: Link,
    settings: RedisSettings,
    /// Whether another one takes over by itself when Redis fails.
    fails_over: bool,
    /// The consumers of which those that ended were forgotten.
    tidied: Mutex<HashSet<String>>,
}

#[derive(Clone, Copy, Debug)]
pub struct RedisSettings {
    pub lease: Duration,
    /// Consumers that were idle for so long, and hold nothing, are removed.
    pub forget_after: Duration,
    /// What may lose something is an error.
    pub is_strict: bool,
    pub clock: fn() -> UnixMs,
}

impl RedisSettings {
    pub fn new(is_strict: bool, clock: fn() -> UnixMs) -> Self {
        Self { lease: LEASE, forget_after: FORGET_AFTER, is_strict, clock }
    }
}

impl RedisLog {
    /// Connects when it is first used; fails where the address names what is not there.
    pub fn new(address: &Address, deployment_id: &str, settings: RedisSettings) -> Result<Self, LogError> {
        // In braces: of a Cluster one node has all that one deployment has.
        let stream = format!("latchkey:{{{deployment_id}}}:events");
        let target = Arc::new(Target::new(address, &stream)?);
        let random = chance::bytes().map_err(|error| LogError::Unreachable(error.to_string()))?;
        Ok(Self {
            stream,
            instance: id::new((settings.clock)(), &random).to_string(),
            writes: Link::new(Arc::clone(&target), APPEND),
            fails_over: target.fails_over,
            reads: Link::new(target, OTHERS),
            settings,
            tidied: Mutex::default(),
        })
    }

    async fn append(&self, lines: &[u8], now: UnixMs) -> Result<(), LogError> {
        let mut add = self.command("XADD");
        add.arg("*").arg("received_at").arg(now).arg("lines").arg(lines);
        self.writes.run(&add).await?;
        Ok(())
    }

    async fn acknowledge(&self, consumer: &str, done: &[Position]) -> Result<(), LogError> {
        if done.is_empty() {
            return Ok(());
        }
        let mut acknowledge = self.command("XACK");
        acknowledge.arg(consumer);
        for Position(id) in done {
            acknowledge.arg(id);
        }
        self.reads.run(&acknowledge).await?;
        // They are acknowledged: a failure now must not have them counted again.
        if let Err(error) = self.trim().await {
            tracing::warn!(?error, "Redis keeps batches that nobody needs any more");
        }
        Ok(())
    }

    /// Removes what every group has acknowledged, and nothing else. What is
    /// asked first and removed afterwards may be asked of the past: a group only
    /// ever moves on, so that a bound that was right stays right.
    async fn trim(&self) -> Result<(), Trouble> {
        let mut bound: Option<Id> = None;
        for group in self.groups().await? {
            let needed = match self.first_pending(&group).await? {
                Some(id) => id,
                // Of what comes after it, the group knows nothing.
                None => group.last_delivered.next(),
            };
            bound = Some(bound.map_or(needed, |bound| bound.min(needed)));
        }
        let Some(bound) = bound else { return Ok(()) };
        let mut trim = self.command("XTRIM");
        trim.arg("MINID").arg("=").arg(bound.to_string());
        self.reads.run(&trim).await.map(drop)
    }

    async fn groups(&self) -> Result<Vec<Group>, Trouble> {
        let mut groups = cmd("XINFO");
        groups.arg("GROUPS").arg(&self.stream);
        Ok(wire::groups(self.reads.run(&groups).await?)?)
    }

    async fn first_pending(&self, group: &Group) -> Result<Option<Id>, Trouble> {
        if group.pending == 0 {
            return Ok(None);
        }
        let mut pending = self.command("XPENDING");
        pending.arg(&group.name);
        Ok(wire::first_pending(self.reads.run(&pending).await?)?)
    }

    async fn backlog(&self, consumer: &str) -> Result<Backlog, LogError> {
        let mut groups = self.groups().await;
        let is_known = |groups: &[Group]| groups.iter().any(|group| group.name == consumer);
        if !groups.as_ref().is_ok_and(|groups| is_known(groups)) {
            self.create_group(consumer).await?;
            groups = self.groups().await;
        }
        let Some(group) = groups?.into_iter().find(|group| group.name == consumer) else {
            return Err(Trouble::NoGroup.into());
        };
        let first = match self.first_pending(&group).await? {
            Some(id) => Some(id),
            None => self.first_from(group.last_delivered.next()).await?,
        };
        let batches = match group.lag {
            Some(lag) => group.pending + lag,
            // Redis does not know, so this tells the most that it may be.
            None if first.is_some() => {
                wire::number(&self.reads.run(&self.command("XLEN")).await?).ok_or_else(wire::unknown)?
            }
            None => 0,
        };
        Ok(Backlog { batches, oldest: first.map(|id| id.ms) })
    }

    async fn first_from(&self, id: Id) -> Result<Option<Id>, Trouble> {
        let found = self.reads.run(&self.script(FIRST, &[&id.to_string()])).await?;
        Ok(wire::text(&found).and_then(|id| id.parse().ok()))
    }

    async fn check(&self) -> Result<Durability, LogError> {
        let info = self.allowed(&cmd("INFO")).await?;
        let mut config = cmd("CONFIG");
        config.arg("GET").arg(&settings::NAMES);
        let config = self.allowed(&config).await?;
        let settings = Settings::new(info.as_ref(), config, self.fails_over);
        settings.takes_writes()?;
        let durability = settings.durability();
        if self.settings.is_strict && !durability.is_lossless() {
            return Err(LogError::Lossy(durability));
        }
        Ok(durability)
    }

    /// The answer; `None` if the user may not ask.
    async fn allowed(&self, command: &Cmd) -> Result<Option<Value>, LogError> {
        match self.reads.run(command).await {
            Ok(answer) => Ok(Some(answer)),
            Err(Trouble::Forbidden(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// One whose first argument is the stream.
    fn command(&self, name: &str) -> Cmd {
        let mut command = cmd(name);
        command.arg(&self.stream);
        command
    }

    fn script(&self, text: &str, arguments: &[&str]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(text).arg(1).arg(&self.stream).arg(arguments);
        command
    }
}

impl EventLog for RedisLog {
    fn append<'a>(&'a self, lines: &'a [u8], now: UnixMs) -> Answer<'a, ()> {
        Box::pin(self.append(lines, now))
    }

    /// By Redis's clock, not by `now`.
    fn read<'a>(&'a self, consumer: &'a str, limit: u32, _now: UnixMs) -> Answer<'a, Vec<Entry>> {
        Box::pin(self.read(consumer, limit))
    }

    fn acknowledge<'a>(&'a self, consumer: &'a str, done: &'a [Position]) -> Answer<'a, ()> {
        Box::pin(self.acknowledge(consumer, done))
    }

    fn backlog<'a>(&'a self, consumer: &'a str) -> Answer<'a, Backlog> {
        Box::pin(self.backlog(consumer))
    }

    fn check(&self) -> Answer<'_, Durability> {
        Box::pin(self.check())
    }
}
