//! What is given out: first what ended processes had, then what is new.

use super::super::{Entry, LogError, READ_BYTES};
use super::RedisLog;
use super::link::Trouble;
use super::wire::{self, Id, Raw};
use redis::cmd;
use std::sync::PoisonError;

/// Reads on until there are enough batches, or bytes: no command bounds an answer
/// by its bytes, and each command that is sent is written and synced.
const READ: &str = "
local taken, bytes = {}, 0
while #taken < tonumber(ARGV[3]) and bytes < tonumber(ARGV[4]) do
  local found = redis.call('xreadgroup', 'GROUP', ARGV[1], ARGV[2], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
  if not found then break end
  local entry = found[1][2][1]
  for _, field in ipairs(entry[2]) do bytes = bytes + #field end
  taken[#taken + 1] = entry
end
return taken";

/// Removes the consumers of a group that were idle for long and hold nothing,
/// in one step: one that woke up in between would lose what it took.
const FORGET: &str = "
for _, fields in ipairs(redis.call('xinfo', 'consumers', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
  if consumer['pending'] == 0 and consumer['idle'] > tonumber(ARGV[2]) then
    redis.call('xgroup', 'delconsumer', KEYS[1], ARGV[1], consumer['name'])
  end
end";

impl RedisLog {
    pub(super) async fn read(&self, consumer: &str, limit: u32) -> Result<Vec<Entry>, LogError> {
        let mut entries = Vec::new();
        let mut outcome = self.take(consumer, limit, &mut entries).await;
        // At first; or Redis has lost its data, or what took over knew nothing of the group yet.
        if let Err(Trouble::NoGroup) = outcome {
            self.create_group(consumer).await?;
            outcome = self.take(consumer, limit, &mut entries).await;
        }
        match outcome {
            // What was taken before it failed would else wait for its time to be over.
            Err(error) if entries.is_empty() => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        self.forget_ended(consumer).await;
        Ok(entries)
    }

    /// First what others took and left behind, one by one, as that is rare; then
    /// what nobody had yet.
    async fn take(&self, consumer: &str, limit: u32, taken: &mut Vec<Entry>) -> Result<(), Trouble> {
        let limit = limit as usize;
        let bytes = |taken: &[Entry]| taken.iter().map(|entry| entry.lines.len()).sum::<usize>();
        let has_room = |taken: &[Entry]| taken.len() < limit && bytes(taken) < READ_BYTES as usize;
        let mut from = Id::ZERO;
        while has_room(taken) {
            let (found, next) = self.claim(consumer, from).await?;
            for raw in found {
                let attempts = self.deliveries(consumer, raw.id).await?;
                taken.push(raw.entry(attempts));
            }
            if next == Id::ZERO {
                break;
            }
            from = next;
        }
        if has_room(taken) {
            let (limit, bytes) = (limit - taken.len(), READ_BYTES as usize - bytes(taken));
            let limits = [limit.to_string(), bytes.to_string()];
            let read = self.script(READ, &[consumer, &self.instance, &limits[0], &limits[1]]);
            let found = wire::entries(self.reads.run(&read).await?)?;
            taken.extend(found.into_iter().map(|raw| raw.entry(1)));
        }
        Ok(())
    }

    /// What was given out a lease ago; and where to look on.
    async fn claim(&self, consumer: &str, from: Id) -> Result<(Vec<Raw>, Id), Trouble> {
        let lease_ms = u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX);
        let mut claim = self.command("XAUTOCLAIM");
        claim.arg(consumer).arg(&self.instance).arg(lease_ms).arg(from.to_string()).arg("COUNT").arg(1);
        let claimed = wire::claimed(self.reads.run(&claim).await?)?;
        if claimed.deleted > 0 {
            let batches = claimed.deleted;
            tracing::error!(
                consumer,
                batches,
                "batches were deleted from Redis before they were acknowledged"
            );
        }
        Ok((claimed.entries, claimed.next))
    }

    async fn deliveries(&self, consumer: &str, id: Id) -> Result<u64, Trouble> {
        let mut pending = self.command("XPENDING");
        pending.arg(consumer).arg(id.to_string()).arg(id.to_string()).arg(1);
        Ok(wire::deliveries(self.reads.run(&pending).await?).unwrap_or(1))
    }

    /// From the beginning: what was not trimmed, some consumer may still need.
    pub(super) async fn create_group(&self, consumer: &str) -> Result<(), LogError> {
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(&self.stream).arg(consumer).arg("0").arg("MKSTREAM");
        match self.reads.run(&create).await {
            Ok(_) | Err(Trouble::GroupExists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Once in a process: each leaves a name behind. It is only to tidy up, so
    /// that a failure does no harm.
    async fn forget_ended(&self, consumer: &str) {
        if !self.tidied.lock().unwrap_or_else(PoisonError::into_inner).insert(consumer.to_owned()) {
            return;
        }
        let idle = self.settings.forget_after.as_millis().to_string();
        if let Err(error) = self.reads.run(&self.script(FORGET, &[consumer, &idle])).await {
            tracing::debug!(?error, consumer, "the names of ended processes stay in Redis");
        }
    }
}
