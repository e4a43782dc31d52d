//! Counts batches. Whatever is counted twice counts once: a pass may be cut off
//! anywhere and begun anew.

use super::batch;
use super::cost::{Price, Prices};
use super::count;
use super::log::Entry;
use super::tally::{self, Arrived, Erased, Tally};
use crate::store::event_set_aside::{self as set_aside_table, SetAsideRow};
use crate::store::prices::PriceRow;
use crate::store::{
    self, Connection, Store, event_bodies, event_isolates, event_ledger, events, prices, token_usage, usage,
};
use sha2::{Digest, Sha256};
use shared::id::{self, UnixMs};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// Of one transaction. In a large one more events share a row of sums.
const CHUNK: usize = 5_000;

/// The same where others wait for it: who sends events waits until they are kept.
const CHUNK_BESIDE_OTHERS: usize = 250;

/// The longest that the others are left alone.
const PAUSE: Duration = Duration::from_millis(50);

/// Of one transaction, in bytes of bodies: they are sent to the database as one text.
const CHUNK_BODIES: usize = 8 * 1024 * 1024;

/// Of one pass; more are counted and not kept.
const MAX_SET_ASIDE: usize = 500;

/// Of a line that is set aside, in characters.
const MAX_LINE_SHOWN: usize = 2_000;

pub(super) const DAY_MS: UnixMs = 24 * 60 * 60 * 1000;

/// What became of the lines of some batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub events: u64,
    /// Were counted before.
    pub duplicates: u64,
    pub set_aside: u64,
}

/// A line that is no event.
struct Unfit {
    line: Vec<u8>,
    reason: String,
    received_at: UnixMs,
}

/// Counts all of `entries`, or fails and may be tried again.
pub(super) async fn count(store: &Store, entries: &[Entry], now: UnixMs) -> Result<Counted, store::Error> {
    let (mut arrived, mut unfit) = sort(entries);
    count::fill(&mut arrived).await;
    let mut counted = Counted::default();
    let mut left = vec![&arrived[..]];
    let mut limit = if store.has_one_writer() { CHUNK_BESIDE_OTHERS } else { CHUNK };
    while let Some(all) = left.pop() {
        let (chunk, rest) = split(all, limit);
        if !rest.is_empty() {
            left.push(rest);
        }
        let began = Instant::now();
        match count_chunk(store, chunk, now).await {
            Ok(new) => {
                counted.events += new;
                counted.duplicates += chunk.len() as u64 - new;
            }
            // It would fail for ever: the one event that it fails for is looked for.
            Err(error) if store::is_unfit(&error) => match chunk {
                [] => {}
                [one] => unfit.push(Unfit::stored(one, &error)),
                _ => {
                    let (first, second) = chunk.split_at(chunk.len() / 2);
                    left.extend([second, first]);
                }
            },
            Err(error) => return Err(error),
        }
        if store.is_others_turn() {
            // They have as much time as this took.
            limit = CHUNK_BESIDE_OTHERS;
            sleep(began.elapsed().min(PAUSE)).await;
        } else {
            limit = CHUNK.min(2 * limit);
        }
    }
    counted.set_aside = unfit.len() as u64;
    set_aside(store, &unfit).await?;
    Ok(counted)
}

fn sort(entries: &[Entry]) -> (Vec<Arrived>, Vec<Unfit>) {
    let (mut arrived, mut unfit) = (Vec::new(), Vec::new());
    for entry in entries {
        let received_at = entry.received_at;
        for line in batch::lines(&entry.lines) {
            match batch::judge(line, received_at) {
                Ok(event) => arrived.push(Arrived { event, received_at }),
                Err(error) => {
                    unfit.push(Unfit { line: line.to_vec(), reason: error.to_string(), received_at });
                }
            }
        }
    }
    (arrived, unfit)
}

/// What one transaction takes, and the rest.
fn split(arrived: &[Arrived], limit: usize) -> (&[Arrived], &[Arrived]) {
    let mut bodies = 0;
    let is_within = |arrived: &&Arrived| {
        bodies += arrived.event.bodies.len();
        bodies <= CHUNK_BODIES
    };
    let length = arrived.iter().take(limit).take_while(is_within).count().max(1);
    arrived.split_at(length.min(arrived.len()))
}

/// One transaction; returns how many events were new.
async fn count_chunk(store: &Store, chunk: &[Arrived], now: UnixMs) -> Result<u64, store::Error> {
    let mut tx = store.write().await?;
    let ids: Vec<Uuid> = chunk.iter().map(|arrived| arrived.event.id).collect();
    let new = event_ledger::insert(&mut tx, &ids, (now / DAY_MS).cast_signed()).await?;
    // Of one event that is in the chunk twice, the first counts.
    let mut rest: HashSet<Uuid> = new.iter().copied().collect();
    let fresh: Vec<&Arrived> = chunk.iter().filter(|arrived| rest.remove(&arrived.event.id)).collect();
    if !fresh.is_empty() {
        // First of all: an erasure waits for this, or is seen by what follows.
        token_usage::add(&mut tx, &tally::uses(fresh.iter().map(|arrived| &arrived.event))).await?;
        let tally = tally(&mut tx, &fresh).await?;
        usage::add_hourly(&mut tx, &tally.hourly).await?;
        usage::add_daily(&mut tx, &tally.daily).await?;
        event_isolates::add(&mut tx, &tally.isolates.into_values().collect::<Vec<_>>()).await?;
        // Late, because others wait for it from here on.
        events::insert(&mut tx, &tally.events).await?;
        if !tally.bodies.is_empty() {
            event_bodies::insert(&mut tx, &tally.bodies).await?;
        }
    }
    let duplicates = chunk.len() - new.len();
    if duplicates > 0 {
        set_aside_table::count(&mut tx, "duplicates", i64::try_from(duplicates).unwrap_or(i64::MAX)).await?;
    }
    tx.commit().await?;
    Ok(new.len() as u64)
}

async fn tally(conn: &mut Connection, fresh: &[&Arrived]) -> Result<Tally, store::Error> {
    let prices = Prices::new(prices::all(conn).await?.into_iter().map(Price::from).collect());
    let erased: Erased =
        token_usage::erased(conn).await?.into_iter().map(|(id, at)| (id, at.cast_unsigned())).collect();
    let mut tally = Tally::default();
    for arrived in fresh {
        tally.add(arrived, &prices, &erased).map_err(|error| store::Error::Encode(error.into()))?;
    }
    Ok(tally)
}

async fn set_aside(store: &Store, unfit: &[Unfit]) -> Result<(), store::Error> {
    if unfit.is_empty() {
        return Ok(());
    }
    let kept = unfit.iter().take(MAX_SET_ASIDE);
    // Sorted, so that no two transactions wait for each other's.
    let rows: BTreeMap<_, _> = kept
        .map(|each| {
            let digest: [u8; 32] = Sha256::digest(&each.line).into();
            (digest, each.row(&digest))
        })
        .collect();
    let mut tx = store.write().await?;
    let mut new = unfit.len().saturating_sub(MAX_SET_ASIDE);
    for (digest, row) in &rows {
        new += usize::from(set_aside_table::insert(&mut tx, row, digest).await?);
    }
    set_aside_table::count(&mut tx, "set_aside", i64::try_from(new).unwrap_or(i64::MAX)).await?;
    tx.commit().await?;
    let (lines, reason) = (unfit.len(), &unfit[0].reason);
    tracing::warn!(lines, new, reason, "lines that are no events were set aside");
    Ok(())
}

impl Unfit {
    fn stored(arrived: &Arrived, error: &store::Error) -> Self {
        let line = arrived.event.to_line().unwrap_or_default().into_bytes();
        Self { line, reason: format!("cannot be stored: {error}"), received_at: arrived.received_at }
    }

    fn row(&self, digest: &[u8; 32]) -> SetAsideRow {
        let mut random = [0; 10];
        random.copy_from_slice(&digest[..10]);
        // PostgreSQL takes no NUL.
        let text = String::from_utf8_lossy(&self.line).replace('\0', "\u{fffd}");
        let text = without_bodies(&text);
        SetAsideRow {
            id: id::new(self.received_at, &random),
            received_at: self.received_at.cast_signed(),
            reason: self.reason.replace('\0', "\u{fffd}"),
            line: text.chars().take(MAX_LINE_SHOWN).collect(),
        }
    }
}

/// What comes before the bodies, which are the last fields of a line.
fn without_bodies(line: &str) -> &str {
    let begin = ["\"request_body", "\"response_body"].into_iter().filter_map(|name| line.find(name)).min();
    &line[..begin.unwrap_or(line.len())]
}

impl From<PriceRow> for Price {
    fn from(row: PriceRow) -> Self {
        let PriceRow { provider, model, valid_from, input, cached_input, output, .. } = row;
        Self { provider, model, valid_from: valid_from.cast_unsigned(), input, cached_input, output }
    }
}
