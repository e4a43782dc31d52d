//! What a log may lose of what it acknowledged, by how it is set up.

use std::fmt;

/// Nothing, where there are no risks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durability {
    pub risks: Vec<Risk>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Risk {
    /// `appendonly no`.
    NotOnDisk,
    /// `appendfsync everysec`.
    SyncedEachSecond,
    /// `appendfsync no`.
    SyncedByTheSystem,
    /// `no-appendfsync-on-rewrite yes`.
    NotSyncedDuringRewrite,
    /// An `allkeys-` policy, which this is.
    Evicted(String),
    /// So many replicas, or a Sentinel or a Cluster, which promote one.
    Failover,
    /// A setting that cannot be read.
    Unknown(&'static str),
}

impl Durability {
    pub fn is_lossless(&self) -> bool {
        self.risks.is_empty()
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_lossless() {
            return f.write_str("what is acknowledged is on disk");
        }
        for (number, risk) in self.risks.iter().enumerate() {
            f.write_str(if number == 0 { "" } else { "; " })?;
            risk.fmt(f)?;
        }
        Ok(())
    }
}

/// What can be lost, and what to set.
impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOnDisk => f.write_str(
                "all that waits may be lost when Redis ends, because it keeps no append-only file: \
                 set `appendonly yes`",
            ),
            Self::SyncedEachSecond => f.write_str(
                "a power cut may lose the last two seconds, which are not on disk yet: \
                 set `appendfsync always`",
            ),
            Self::SyncedByTheSystem => f.write_str(
                "a power cut may lose half a minute or more, because nothing makes Redis write it to disk: \
                 set `appendfsync always`",
            ),
            Self::NotSyncedDuringRewrite => f.write_str(
                "a power cut while the append-only file is rewritten may lose half a minute or more: \
                 set `no-appendfsync-on-rewrite no`",
            ),
            Self::Evicted(policy) => write!(
                f,
                "all that waits may be lost when memory is short, because `maxmemory-policy {policy}` may \
                 remove any key: set `maxmemory-policy noeviction`"
            ),
            Self::Failover => f.write_str(
                "a failover may lose what was acknowledged in the last moment, because replicas get it \
                 afterwards: use one Redis without replicas, or the database's log",
            ),
            Self::Unknown(setting) => write!(
                f,
                "it is not known what may be lost, because `{setting}` cannot be read: \
                 allow the commands INFO and CONFIG GET"
            ),
        }
    }
}
