//! When the next manifest may be written, and when it must.

use crate::back_off::back_off;
use std::time::Duration;
use tokio::time::Instant;

/// One write a second is what KV takes for one key.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// How often the outbox is looked at for what no wake announced: changes that
/// another control plane made.
pub(super) const POLL: Duration = Duration::from_millis(500);

/// The first change after a quiet second is written at once; those that come
/// within a second of a write are written together when it is over.
#[derive(Debug)]
pub(super) struct Pace {
    heartbeat: Duration,
    /// Something is to be published.
    is_wanted: bool,
    /// When the last attempt began.
    last: Instant,
    not_before: Instant,
    next_write: Instant,
    next_poll: Instant,
    next_heartbeat: Instant,
    failures: u32,
}

impl Pace {
    /// The first publication is due at once.
    pub(super) fn new(heartbeat: Duration, now: Instant) -> Self {
        Self {
            heartbeat,
            is_wanted: true,
            last: now,
            not_before: now,
            next_write: now,
            next_poll: now,
            next_heartbeat: now,
            failures: 0,
        }
    }

    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Someone waits: the back-off is cut short, the pause between writes is not.
    pub(super) fn want_now(&mut self) {
        self.is_wanted = true;
        self.not_before = self.not_before.min(self.next_write);
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        (self.is_wanted || self.is_heartbeat_due(now)) && self.not_before <= now
    }

    pub(super) fn is_heartbeat_due(&self, now: Instant) -> bool {
        self.next_heartbeat <= now
    }

    /// When to look again.
    pub(super) fn wake_at(&self) -> Instant {
        if self.is_wanted {
            self.not_before
        } else {
            self.next_poll.min(self.next_heartbeat.max(self.not_before))
        }
    }

    pub(super) fn polled(&mut self, now: Instant) {
        self.next_poll = now + POLL;
    }

    pub(super) fn started(&mut self, now: Instant) {
        self.is_wanted = false;
        self.last = now;
        self.next_write = now + BETWEEN_WRITES;
    }

    /// `was_heartbeat`: a publication that did not look at what is in KV leaves
    /// the heartbeat due, or else one change a second would put it off for ever.
    pub(super) fn succeeded(&mut self, was_heartbeat: bool) {
        self.failures = 0;
        self.not_before = self.next_write;
        if was_heartbeat {
            self.next_heartbeat = self.last + self.heartbeat;
        }
    }

    pub(super) fn failed(&mut self, now: Instant, retry_after: Option<Duration>, chance: u8) {
        self.failures = self.failures.saturating_add(1);
        self.is_wanted = true;
        self.not_before = now + back_off(self.failures, retry_after, chance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn written(start: Instant) -> Pace {
        let mut pace = Pace::new(60_000 * MS, start);
        assert!(pace.is_due(start));
        pace.started(start);
        pace.polled(start);
        pace.succeeded(true);
        pace
    }

    #[tokio::test]
    async fn changes_within_a_second_are_written_together_at_its_end() {
        let start = Instant::now();
        let mut pace = written(start);
        assert!(!pace.is_due(start + 100 * MS));
        for at in [100, 200, 900] {
            pace.want();
            assert!(!pace.is_due(start + at * MS));
        }
        assert_eq!(pace.wake_at(), start + 1_000 * MS);
        assert!(pace.is_due(start + 1_000 * MS));
    }

    #[tokio::test]
    async fn a_change_after_a_quiet_second_is_written_at_once() {
        let start = Instant::now();
        let mut pace = written(start);
        assert!(!pace.is_due(start + 5_000 * MS));
        pace.want();
        assert!(pace.is_due(start + 5_000 * MS));
    }

    #[tokio::test]
    async fn quiet_it_polls_and_writes_at_the_heartbeat() {
        let start = Instant::now();
        let pace = written(start);
        assert_eq!(pace.wake_at(), start + POLL);
        assert!(!pace.is_due(start + 59_999 * MS));
        assert!(pace.is_due(start + 60_000 * MS));
    }

    #[tokio::test]
    async fn one_change_a_second_does_not_put_the_heartbeat_off() {
        let start = Instant::now();
        let mut pace = written(start);
        for second in 1..60 {
            let now = start + second * 1_000 * MS;
            assert!(!pace.is_heartbeat_due(now));
            pace.want();
            pace.started(now);
            pace.polled(now);
            pace.succeeded(false);
        }
        assert_eq!(pace.wake_at(), start + 59_500 * MS);
        assert!(pace.is_due(start + 60_000 * MS) && pace.is_heartbeat_due(start + 60_000 * MS));
    }

    #[tokio::test]
    async fn it_wakes_for_the_heartbeat_between_two_polls() {
        let start = Instant::now();
        let mut pace = written(start);
        pace.polled(start + 59_800 * MS);
        assert_eq!(pace.wake_at(), start + 60_000 * MS);

        // Not before it may be written.
        pace.want();
        pace.started(start + 59_900 * MS);
        pace.polled(start + 59_900 * MS);
        pace.succeeded(false);
        assert_eq!(pace.wake_at(), start + 60_400 * MS);
        pace.polled(start + 60_400 * MS);
        assert_eq!(pace.wake_at(), start + 60_900 * MS);
    }

    #[tokio::test]
    async fn a_waiting_caller_cuts_the_back_off_short_but_not_the_pause() {
        let start = Instant::now();
        let mut pace = written(start);
        let again = start + 10_000 * MS;
        pace.started(again);
        pace.failed(again, Some(5_000 * MS), 0);
        assert!(!pace.is_due(again + 4_999 * MS));
        pace.want_now();
        assert!(!pace.is_due(again + 999 * MS));
        assert!(pace.is_due(again + 1_000 * MS));
    }
}
