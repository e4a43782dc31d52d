//! The isolate's events on their way to the queue: numbered, grouped into
//! messages, and kept for a while when nothing takes them.

use crate::in_flight::{Begun, InFlight};
use serde::Serialize;
use shared::event::{Bodies, Event};
use shared::id::UnixMs;
use std::collections::VecDeque;
use uuid::Uuid;

/// Longest message, in bytes; a queue takes 128,000, its own fields included.
pub const MAX_MESSAGE: usize = 100_000;
/// What is kept while neither the queue nor the control plane takes anything;
/// then the oldest go, which shows as a gap in their numbers.
pub const MAX_KEPT: usize = 2_000_000;
/// How long a group is open, in milliseconds, as all below.
const GROUP: u64 = 50;
/// After that, whoever was to send the group is gone, and its request with it.
const OVERDUE: u64 = 1_000;
/// How long refusals are counted, unless their minute ends before. Less than
/// what the runtime leaves to a request that has been answered.
const MAX_COUNTING: u64 = 20_000;
const MINUTE: u64 = 60_000;
/// The shared format's limit.
const MAX_COUNT: u32 = 10_000_000;

#[derive(Debug)]
pub struct Outbox {
    isolate_id: Uuid,
    last_seq: u64,
    /// Requests that will have an event.
    in_flight: InFlight,
    /// Messages that are full, or that came back; the oldest first.
    full: VecDeque<String>,
    open: String,
    /// Of refusals of callers that are not known: one event for each code.
    counts: Vec<Count>,
    /// When the request that took it on is to send what there is.
    flush_at: Option<UnixMs>,
    /// A message has become full since somebody was last told to send.
    is_urgent: bool,
    stats: Stats,
}

/// What became of events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub recorded: u64,
    /// Messages that the queue took.
    pub queued: u64,
    /// Messages that the control plane took when the queue did not.
    pub posted: u64,
    /// Messages that neither took, whenever it was tried.
    pub refused: u64,
    /// Messages that were let go.
    pub dropped: u64,
}

#[derive(Debug)]
struct Count {
    /// The first one's, and how many there were.
    event: Event,
    until: UnixMs,
}

impl Outbox {
    pub fn new(isolate_id: Uuid) -> Self {
        Self {
            isolate_id,
            last_seq: 0,
            in_flight: InFlight::default(),
            full: VecDeque::new(),
            open: String::new(),
            counts: Vec::new(),
            flush_at: None,
            is_urgent: false,
            stats: Stats::default(),
        }
    }

    /// For who begins a request, whose event will come.
    pub fn begin(&self) -> Begun {
        self.in_flight.begin()
    }

    /// Takes an event on, and gives it its number.
    pub fn record(&mut self, event: Event) {
        let in_flight = self.in_flight.count();
        let event = Event { isolate_id: self.isolate_id, seq: self.last_seq + 1, in_flight, ..event };
        // An event has nothing that JSON could not express.
        let Ok(line) = event.to_line() else { return };
        self.last_seq += 1;
        self.stats.recorded += 1;
        if self.open.len() + line.len() + 1 > MAX_MESSAGE {
            self.close();
            self.is_urgent = true;
        }
        self.open.push_str(&line);
        self.open.push('\n');
    }

    /// Counts the refusal of a caller that is not known. The first of a kind
    /// answers after how long to call [`Self::record_counts`].
    pub fn count(&mut self, event: Event, now: UnixMs) -> Option<u64> {
        self.record_counts(now);
        if let Some(count) = self.counts.iter_mut().find(|count| count.event.error_code == event.error_code) {
            count.event.count += 1;
            count.event.ended_at = count.event.ended_at.max(event.ended_at);
            return None;
        }
        let wait = (MINUTE - now % MINUTE).min(MAX_COUNTING);
        self.counts.push(Count { event, until: now + wait });
        Some(wait)
    }

    /// Records the counts that are over.
    pub fn record_counts(&mut self, now: UnixMs) {
        let is_over = |count: &mut Count| count.until <= now || count.event.count >= MAX_COUNT;
        let over: Vec<Count> = self.counts.extract_if(.., is_over).collect();
        for count in over {
            self.record(count.event);
        }
    }

    /// After how many milliseconds the caller is to send what there is; `None`
    /// if there is nothing, or if another request has taken it on.
    pub fn claim(&mut self, now: UnixMs) -> Option<u64> {
        self.record_counts(now);
        if std::mem::take(&mut self.is_urgent) {
            return Some(0);
        }
        if self.is_empty() || self.flush_at.is_some_and(|at| now < at + OVERDUE) {
            return None;
        }
        self.flush_at = Some(now + GROUP);
        Some(GROUP)
    }

    /// Makes messages of all there is. What a request keeps in its hands goes
    /// with it when the runtime ends it, so it takes one at a time.
    pub fn flush(&mut self, now: UnixMs) {
        self.record_counts(now);
        self.close();
        self.flush_at = None;
        self.is_urgent = false;
    }

    /// The oldest message.
    pub fn take(&mut self) -> Option<String> {
        self.full.pop_front()
    }

    /// One that nobody took, for the next who sends.
    pub fn give_back(&mut self, message: String) {
        self.stats.refused += 1;
        self.full.push_front(message);
        let mut kept: usize = self.full.iter().map(String::len).sum();
        // What is used counts for more than what was said.
        for message in &mut self.full {
            if kept > MAX_KEPT {
                kept -= message.len();
                drop_bodies(message);
                kept += message.len();
            }
        }
        while kept > MAX_KEPT
            && let Some(oldest) = self.full.pop_front()
        {
            kept -= oldest.len();
            self.stats.dropped += 1;
        }
    }

    pub fn was_queued(&mut self) {
        self.stats.queued += 1;
    }

    pub fn was_posted(&mut self) {
        self.stats.posted += 1;
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty() && self.full.is_empty()
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.full.push_back(std::mem::take(&mut self.open));
        }
    }
}

/// Of each event in a message, if any has some.
fn drop_bodies(message: &mut String) {
    if !message.contains("_body\":") {
        return;
    }
    let mut rest = String::new();
    for line in message.lines() {
        let event = Event::parse(line.as_bytes()).map(|event| Event { bodies: Bodies::default(), ..event });
        let bare = event.ok().and_then(|event| event.to_line().ok());
        rest.push_str(bare.as_deref().unwrap_or(line));
        rest.push('\n');
    }
    *message = rest;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Draft;
    use crate::head::Head;
    use crate::refusal::{Code, Refusal};
    use shared::id;

    const NOW: UnixMs = 1_795_444_000_000 / MINUTE * MINUTE;

    fn outbox() -> Outbox {
        Outbox::new(id::new(NOW, &[9; 10]))
    }

    fn refused(code: Code, now: UnixMs) -> Event {
        let head = Head::parse("GET\nhttps://edge/v1/models\n").unwrap();
        let begun = InFlight::default().begin();
        Draft::new(id::new(now, &[1; 10]), &head, None, now, begun).refused(&Refusal::new(code, ""), now)
    }

    fn take_all(outbox: &mut Outbox, now: UnixMs) -> Vec<String> {
        outbox.flush(now);
        std::iter::from_fn(|| outbox.take()).collect()
    }

    fn events(messages: &[String]) -> Vec<Event> {
        messages
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| Event::parse(line.as_bytes()).unwrap())
            .collect()
    }

    #[test]
    fn one_request_sends_for_all_of_a_group() {
        let mut outbox = outbox();
        assert_eq!(outbox.claim(NOW), None);
        outbox.record(refused(Code::MissingToken, NOW));
        assert_eq!(outbox.claim(NOW), Some(GROUP));
        outbox.record(refused(Code::MissingToken, NOW));
        assert_eq!(outbox.claim(NOW + 10), None);
        let messages = take_all(&mut outbox, NOW + GROUP);
        assert_eq!(messages.len(), 1);
        let seqs: Vec<u64> = events(&messages).iter().map(|event| event.seq).collect();
        assert_eq!(seqs, [1, 2]);
        assert_eq!(outbox.claim(NOW + GROUP), None);
    }

    #[test]
    fn an_event_tells_how_many_requests_have_none_yet() {
        let mut outbox = outbox();
        let head = Head::parse("GET\nhttps://edge/v1/models\n").unwrap();
        let mut drafts: Vec<Draft> =
            (0..3).map(|_| Draft::new(id::new(NOW, &[1; 10]), &head, None, NOW, outbox.begin())).collect();
        while let Some(draft) = drafts.pop() {
            outbox.record(draft.left(NOW));
        }
        let told: Vec<u32> =
            events(&take_all(&mut outbox, NOW)).iter().map(|event| event.in_flight).collect();
        assert_eq!(told, [2, 1, 0]);
    }

    #[test]
    fn who_does_not_come_back_is_replaced() {
        let mut outbox = outbox();
        outbox.record(refused(Code::MissingToken, NOW));
        assert_eq!(outbox.claim(NOW), Some(GROUP));
        assert_eq!(outbox.claim(NOW + GROUP + OVERDUE - 1), None);
        assert_eq!(outbox.claim(NOW + GROUP + OVERDUE), Some(GROUP));
    }

    #[test]
    fn a_full_message_is_sent_at_once_and_none_is_too_long() {
        let mut outbox = outbox();
        let mut at_once = 0;
        for _ in 0..1_000 {
            outbox.record(refused(Code::MissingToken, NOW));
            at_once += usize::from(outbox.claim(NOW) == Some(0));
        }
        let messages = take_all(&mut outbox, NOW);
        assert_eq!(messages.len(), at_once + 1);
        assert!(messages.iter().all(|text| text.len() <= MAX_MESSAGE));
        assert!(events(&messages).iter().map(|event| event.seq).eq(1..=1_000));
    }

    #[test]
    fn what_nobody_takes_is_kept_in_order_up_to_a_bound() {
        let mut outbox = outbox();
        let mut last = 0;
        for round in 0..100 {
            for _ in 0..300 {
                outbox.record(refused(Code::MissingToken, NOW + round));
                last += 1;
            }
            for message in take_all(&mut outbox, NOW).into_iter().rev() {
                outbox.give_back(message);
            }
        }
        assert_eq!(outbox.claim(NOW), Some(GROUP));
        let messages = take_all(&mut outbox, NOW);
        assert!(messages.iter().map(String::len).sum::<usize>() <= MAX_KEPT);
        assert!(outbox.stats().dropped > 0);
        let seqs: Vec<u64> = events(&messages).iter().map(|event| event.seq).collect();
        assert!(seqs.iter().copied().eq(seqs[0]..=last), "the newest stay, without a hole");
    }

    #[test]
    fn bodies_are_let_go_before_events_are() {
        let mut outbox = outbox();
        for _ in 0..200 {
            let mut event = refused(Code::MissingToken, NOW);
            event.bodies.request_body = Some("é\n".repeat(8_000));
            outbox.record(event);
        }
        let messages = take_all(&mut outbox, NOW);
        assert!(messages.iter().all(|text| text.len() <= MAX_MESSAGE) && messages.len() >= 60);
        for message in messages.into_iter().rev() {
            outbox.give_back(message);
        }
        assert_eq!(outbox.stats().dropped, 0);
        let kept = events(&take_all(&mut outbox, NOW));
        assert!(kept.iter().map(|event| event.seq).eq(1..=200));
        let with = kept.iter().filter(|event| !event.bodies.is_empty()).count();
        assert!(
            (40..=62).contains(&with) && kept.last().is_some_and(|event| !event.bodies.is_empty()),
            "{with}"
        );
    }

    #[test]
    fn a_flood_of_refusals_is_one_event_for_each_code() {
        let mut outbox = outbox();
        assert_eq!(outbox.count(refused(Code::MissingToken, NOW), NOW), Some(MAX_COUNTING));
        for at in NOW..NOW + 500 {
            assert_eq!(outbox.count(refused(Code::MissingToken, at), at), None);
        }
        assert_eq!(outbox.count(refused(Code::InvalidToken, NOW), NOW), Some(MAX_COUNTING));
        assert_eq!(outbox.claim(NOW + 500), None);
        assert_eq!(outbox.claim(NOW + MAX_COUNTING), Some(GROUP));
        let counted: Vec<(u32, u64)> = events(&take_all(&mut outbox, NOW + MAX_COUNTING))
            .iter()
            .map(|event| (event.count, event.ended_at - event.started_at))
            .collect();
        assert_eq!(counted, [(501, 499), (1, 0)]);
    }

    #[test]
    fn a_count_ends_with_its_minute() {
        let mut outbox = outbox();
        let late = NOW + MINUTE - 7;
        assert_eq!(outbox.count(refused(Code::MissingToken, late), late), Some(7));
        let next = NOW + MINUTE;
        assert_eq!(outbox.count(refused(Code::MissingToken, next), next), Some(MAX_COUNTING));
        assert_eq!(events(&take_all(&mut outbox, next)).len(), 1);
    }
}
