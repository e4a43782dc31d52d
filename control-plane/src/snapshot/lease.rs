//! Who publishes, of several control planes over one database.
//!
//! The lease is a row with a holder and a beat that grows with every renewal.
//! No clock is compared with another one's: a holder counts its lease from
//! before it renewed, a challenger waits for the lease's whole length after it
//! saw the last beat. So the holder has stopped writing when the challenger
//! begins, whatever their clocks say, and however long one was paused.
//!
//! What a paused holder had under way may still arrive at KV late. The database
//! refuses it what it would record ([`guard`](crate::store::lease::guard)), and
//! the next heartbeat of the new holder overwrites what it wrote to KV.

use super::error::PublishError;
use crate::chance;
use crate::store::{self, Store, lease as table};
use std::fs::File;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

/// Within a lease it is renewed so many times.
const RENEWALS: u32 = 4;
/// How often one who has not the lease looks whether it is free.
const LOOK: Duration = Duration::from_millis(500);
/// A lease counts as lapsed so long before it is, for clocks that run at different speeds.
const MARGIN: Duration = Duration::from_millis(500);

/// A stretch of time for which somebody has the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// New with each term: what the database knows the holder by.
    holder: Uuid,
    /// Nothing may be written after it; each renewal moves it.
    until: Instant,
}

/// The right to publish while a term lasts.
#[derive(Clone, Debug)]
pub(super) struct Right {
    holder: Uuid,
    terms: watch::Receiver<Option<Term>>,
}

impl Right {
    /// Of the term that lasts at the moment.
    pub(super) fn current(terms: &watch::Receiver<Option<Term>>) -> Option<Self> {
        let term = (*terms.borrow()).filter(|term| term.until > Instant::now())?;
        Some(Self { holder: term.holder, terms: terms.clone() })
    }

    pub(super) fn holder(&self) -> Uuid {
        self.holder
    }

    /// How long a write may take that begins now.
    pub(super) fn remaining(&self) -> Result<Duration, PublishError> {
        let term = (*self.terms.borrow()).filter(|term| term.holder == self.holder);
        let remaining = term.map(|term| term.until.saturating_duration_since(Instant::now()));
        remaining.filter(|remaining| !remaining.is_zero()).ok_or(PublishError::Deposed)
    }

    /// Lets another one publish at once. That it may fail costs only time.
    pub(super) async fn release(self, store: &Store) {
        let release = async {
            let mut tx = store.write().await?;
            table::release(&mut tx, self.holder).await?;
            tx.commit().await
        };
        if let Err(error) = release.await {
            tracing::warn!(%error, "the publisher's lease was not given back; it lapses by itself");
        }
    }
}

/// Takes the lease when it is free, and keeps it.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Store,
    length: Duration,
    terms: watch::Sender<Option<Term>>,
    /// The beat of another's lease, and when it was first seen.
    seen: Option<(i64, Instant)>,
    /// Held beside the lease where the database is a file: whoever has it knows
    /// that no other holder lives.
    lock: Option<File>,
    is_failing: bool,
}

impl Keeper {
    pub(super) fn new(store: Store, length: Duration) -> (Self, watch::Receiver<Option<Term>>) {
        let (terms, receiver) = watch::channel(None);
        (Self { store, length, terms, seen: None, lock: None, is_failing: false }, receiver)
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let began = Instant::now();
            let outcome = self.turn(began).await;
            if let Err(error) = &outcome
                && !self.is_failing
            {
                tracing::warn!(%error, "the publisher's lease cannot be looked at; trying again");
            }
            self.is_failing = outcome.is_err();
            let pause = if self.current().is_some() { self.length / RENEWALS } else { LOOK };
            tokio::time::sleep_until(began + pause).await;
        }
    }

    /// Takes the lease at once from whoever has it, for who knows that nobody does.
    pub(super) async fn seize(&mut self) -> Result<(), store::Error> {
        let mut tx = self.store.read().await?;
        let beat = table::get(&mut tx).await?.beat;
        drop(tx);
        self.lock();
        self.take(beat).await
    }

    fn current(&self) -> Option<Term> {
        *self.terms.borrow()
    }

    async fn turn(&mut self, began: Instant) -> Result<(), store::Error> {
        match self.current() {
            Some(term) => self.renew(term, began).await,
            None => self.challenge().await,
        }
    }

    async fn renew(&mut self, term: Term, began: Instant) -> Result<(), store::Error> {
        let mut tx = self.store.write().await?;
        let is_held = table::renew(&mut tx, term.holder).await?;
        tx.commit().await?;
        if is_held {
            self.hold(term.holder, began);
        } else {
            tracing::warn!("another control plane publishes now");
            self.terms.send_replace(None);
            self.seen = None;
        }
        Ok(())
    }

    async fn challenge(&mut self) -> Result<(), store::Error> {
        let mut tx = self.store.read().await?;
        let lease = table::get(&mut tx).await?;
        drop(tx);
        let is_free = match self.lock() {
            Some(is_alone) => is_alone,
            None => lease.holder.is_none() || self.has_lapsed(lease.beat),
        };
        if !is_free {
            return Ok(());
        }
        self.take(lease.beat).await
    }

    /// Takes the lease, unless its beat has changed.
    async fn take(&mut self, beat: i64) -> Result<(), store::Error> {
        let holder = Uuid::from_bytes(
            chance::bytes().map_err(|error| store::Error::Io(std::io::Error::other(error)))?,
        );
        let began = Instant::now();
        let mut tx = self.store.write().await?;
        let is_mine = table::take(&mut tx, holder, beat).await?;
        tx.commit().await?;
        if is_mine {
            tracing::info!("this control plane publishes the snapshot");
            self.hold(holder, began);
        }
        Ok(())
    }

    fn hold(&self, holder: Uuid, since: Instant) {
        self.terms.send_replace(Some(Term { holder, until: since + self.length.saturating_sub(MARGIN) }));
    }

    /// Whether a beat has not changed for the length of a lease.
    fn has_lapsed(&mut self, beat: i64) -> bool {
        match self.seen {
            Some((seen, since)) if seen == beat => since.elapsed() >= self.length,
            Some(_) | None => {
                self.seen = Some((beat, Instant::now()));
                false
            }
        }
    }

    /// Where the database is a file: whether this process has the lock beside
    /// it. One that was killed has lost it, so nobody need wait.
    fn lock(&mut self) -> Option<bool> {
        if self.lock.is_none() {
            self.lock = self.store.lock_publisher()?.ok();
        }
        Some(self.lock.is_some())
    }
}
