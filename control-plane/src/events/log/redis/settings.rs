//! How Redis is set up, and what that may lose.

use super::super::LogError;
use super::super::durability::{Durability, Risk};
use super::wire::text;
use redis::Value;
use std::collections::HashMap;

/// Of `CONFIG GET`. Not all there are: passwords are among them.
pub(super) const NAMES: [&str; 4] =
    ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"];

/// What of `INFO` and `CONFIG GET` may be read.
pub(super) struct Settings {
    info: Option<HashMap<String, String>>,
    config: HashMap<String, String>,
    /// By the address: another one takes over when it fails.
    fails_over: bool,
}

impl Settings {
    /// `None` for what the user may not do.
    pub(super) fn new(info: Option<&Value>, config: Option<Value>, fails_over: bool) -> Self {
        let info =
            info.and_then(text).map(|text| pairs(text.lines().filter_map(|line| line.split_once(':'))));
        let config = match config {
            Some(Value::Array(items)) => {
                let texts: Vec<String> = items.iter().map(|item| text(item).unwrap_or_default()).collect();
                pairs(texts.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str())))
            }
            _ => HashMap::new(),
        };
        Self { info, config, fails_over }
    }

    /// An error where a batch would not be taken.
    pub(super) fn takes_writes(&self) -> Result<(), LogError> {
        if self.info("role") == Some("slave") {
            return Err(LogError::ReadOnly("it is a replica; REDIS_URL must name the master".to_owned()));
        }
        let memory = |name| self.info(name).and_then(|text| text.parse::<u64>().ok());
        let most = memory("maxmemory").filter(|&most| most > 0);
        match (most, memory("used_memory"), self.policy()) {
            (Some(most), Some(used), Some("noeviction")) if used > most => {
                Err(LogError::Full(format!("it uses {used} bytes of memory; `maxmemory` is {most}")))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn durability(&self) -> Durability {
        Durability {
            risks: [self.disk(), self.rewrite(), self.eviction(), self.failover()]
                .into_iter()
                .flatten()
                .collect(),
        }
    }

    fn disk(&self) -> Option<Risk> {
        let is_kept = match (self.config("appendonly"), self.info("aof_enabled")) {
            (Some(set), _) => set == "yes",
            (None, Some(set)) => set == "1",
            (None, None) => return Some(Risk::Unknown("appendonly")),
        };
        match self.config("appendfsync") {
            _ if !is_kept => Some(Risk::NotOnDisk),
            Some("always") => None,
            Some("everysec") => Some(Risk::SyncedEachSecond),
            Some(_) => Some(Risk::SyncedByTheSystem),
            None => Some(Risk::Unknown("appendfsync")),
        }
    }

    /// Says nothing where `disk` does.
    fn rewrite(&self) -> Option<Risk> {
        (self.disk().is_none() && self.config("no-appendfsync-on-rewrite") == Some("yes"))
            .then_some(Risk::NotSyncedDuringRewrite)
    }

    /// The stream never expires, so that `volatile-` policies let it be.
    fn eviction(&self) -> Option<Risk> {
        match self.policy() {
            Some(policy) if policy.starts_with("allkeys-") => Some(Risk::Evicted(policy.to_owned())),
            Some(_) => None,
            None => Some(Risk::Unknown("maxmemory-policy")),
        }
    }

    fn failover(&self) -> Option<Risk> {
        match self.info("connected_slaves") {
            _ if self.fails_over => Some(Risk::Failover),
            Some("0") => None,
            Some(_) => Some(Risk::Failover),
            None => Some(Risk::Unknown("connected_slaves")),
        }
    }

    fn policy(&self) -> Option<&str> {
        self.config("maxmemory-policy").or_else(|| self.info("maxmemory_policy"))
    }

    fn config(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }

    fn info(&self, name: &str) -> Option<&str> {
        self.info.as_ref()?.get(name).map(String::as_str)
    }
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> HashMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(info: &str, config: &[&str]) -> Settings {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let config = Value::Array(config.iter().map(|text| bulk(text)).collect());
        Settings::new(Some(&bulk(info)), Some(config), false)
    }

    const ALONE: &str = "# Replication\r\nrole:master\r\nconnected_slaves:0\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n";

    #[test]
    fn each_setting_that_may_lose_something_is_said() {
        let risks = |info: &str, config: &[&str]| settings(info, config).durability().risks;
        let always = ["appendonly", "yes", "appendfsync", "always"];
        assert_eq!(risks(ALONE, &always), []);
        assert_eq!(risks(ALONE, &["appendfsync", "everysec"]), [Risk::SyncedEachSecond]);
        assert_eq!(risks(ALONE, &["appendfsync", "no"]), [Risk::SyncedByTheSystem]);
        assert_eq!(risks(ALONE, &["appendonly", "no", "appendfsync", "always"]), [Risk::NotOnDisk]);
        let rewrite = [&always[..], &["no-appendfsync-on-rewrite", "yes"]].concat();
        assert_eq!(risks(ALONE, &rewrite), [Risk::NotSyncedDuringRewrite]);
        let evicting = [&always[..], &["maxmemory-policy", "allkeys-lru"]].concat();
        assert_eq!(risks(ALONE, &evicting), [Risk::Evicted("allkeys-lru".to_owned())]);
        assert_eq!(risks(ALONE, &[&always[..], &["maxmemory-policy", "volatile-ttl"]].concat()), []);
        assert_eq!(risks(&ALONE.replace("slaves:0", "slaves:2"), &always), [Risk::Failover]);
        // Where CONFIG may not be read.
        assert_eq!(risks(ALONE, &[]), [Risk::Unknown("appendfsync")]);
        assert_eq!(risks(&ALONE.replace("enabled:1", "enabled:0"), &[]), [Risk::NotOnDisk]);
        assert_eq!(Settings::new(None, None, true).durability().risks.len(), 3);
    }

    #[test]
    fn whether_it_takes_writes() {
        let full = format!("{ALONE}used_memory:11\r\nmaxmemory:10\r\n");
        assert!(settings(ALONE, &[]).takes_writes().is_ok());
        assert!(matches!(settings(&full, &[]).takes_writes(), Err(LogError::Full(_))));
        assert!(settings(&full.replace("noeviction", "allkeys-lru"), &[]).takes_writes().is_ok());
        let replica = ALONE.replace("role:master", "role:slave");
        assert!(matches!(settings(&replica, &[]).takes_writes(), Err(LogError::ReadOnly(_))));
    }
}
