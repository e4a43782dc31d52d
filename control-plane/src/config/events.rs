//! Where events wait, and how long they are kept.

use super::reader::Reader;
use crate::events::log::redis::Address;

#[derive(Debug)]
pub struct Events {
    /// `EVENT_LOG`, `database` (default) or `redis`: where events wait until they are counted. The other one
    /// is drained: the database's always, Redis's where `REDIS_URL` is set.
    pub log: EventLogKind,
    /// `REDIS_URL`, required with `EVENT_LOG=redis`: `redis://user:password@host:6379/0`,
    /// `redis-sentinel://user:password@host:26379,host:26379/service` or
    /// `redis-cluster://user:password@host:6379,host:6379`; with TLS `rediss://`, `rediss-sentinel://`,
    /// `rediss-cluster://`.
    pub redis: Option<Address>,
    /// `EVENT_LOG_STRICT`, default `false`: do not start with a log that can lose what it acknowledged.
    pub is_strict: bool,
    /// `EVENT_RETENTION_DAYS`, default 90: events are kept so long; their sums for good.
    pub retention_days: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventLogKind {
    Database,
    Redis,
}

impl Events {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let log = read_log(reader);
        let redis = read_redis(reader, log == Some(EventLogKind::Redis));
        let is_strict = reader.parsed("EVENT_LOG_STRICT", "false", "`true` or `false`");
        let days = reader.parsed("EVENT_RETENTION_DAYS", "90", "a number of days").filter(|days| {
            let is_usable = (1..=3650).contains(days);
            if !is_usable {
                reader.problem("EVENT_RETENTION_DAYS", "must be from 1 to 3650 days");
            }
            is_usable
        });
        Some(Self { log: log?, redis, is_strict: is_strict?, retention_days: days? })
    }
}

fn read_log(reader: &mut Reader<'_>) -> Option<EventLogKind> {
    match reader.text("EVENT_LOG").as_deref() {
        None | Some("database") => Some(EventLogKind::Database),
        Some("redis") => Some(EventLogKind::Redis),
        Some(_) => {
            reader.problem("EVENT_LOG", "must be `database` or `redis`");
            None
        }
    }
}

fn read_redis(reader: &mut Reader<'_>, is_needed: bool) -> Option<Address> {
    let url = reader.text("REDIS_URL");
    if url.is_none() && is_needed {
        reader.problem("REDIS_URL", "is required with EVENT_LOG=redis");
    }
    match Address::parse(&url?) {
        Ok(address) => Some(address),
        Err(error) => {
            reader.problem("REDIS_URL", &error.to_string());
            None
        }
    }
}
