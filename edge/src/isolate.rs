//! What an isolate keeps between requests.

use crate::health::Nonces;
use crate::load::copies::Copies;
use crate::load::under_way::UnderWay;
use crate::outbox::{self, Outbox};
use crate::pipeline::Settings;
use crate::snapshot::fresh::FreshTokens;
use crate::snapshot::holder::Holder;
use crate::snapshot::objects;
use crate::snapshot::shelf::ShelfStats;
use crate::ways::{Balance, Means};
use serde::Serialize;
use shared::id::UnixMs;
use shared::snapshot::signed::SnapshotVerifier;
use std::cell::{Cell, RefCell};
use uuid::Uuid;

#[derive(Debug)]
pub struct Isolate {
    pub settings: Settings,
    pub verifier: SnapshotVerifier,
    /// How often the manifest is looked at.
    pub refresh_ms: UnixMs,
    pub holder: RefCell<Holder>,
    pub fresh: FreshTokens,
    pub copies: Copies,
    pub under_way: UnderWay,
    pub traffic: Cell<Traffic>,
    pub nonces: Nonces,
    pub outbox: RefCell<Outbox>,
    pub balance: RefCell<Balance>,
}

/// How often it had to look elsewhere than in its memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub kv_reads: u64,
    /// Of those, the ones that failed or were not answered in time.
    pub kv_failures: u64,
    /// Copies that were taken because KV did not have it, or not in time.
    pub copies_used: u64,
    pub copies_kept: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    pub objects: objects::Stats,
    pub fresh: ShelfStats,
    pub traffic: Traffic,
    pub events: outbox::Stats,
}

impl Isolate {
    /// One that holds nothing yet. Its events tell its `id`.
    pub fn new(settings: Settings, verifier: SnapshotVerifier, refresh_ms: UnixMs, id: Uuid) -> Self {
        Self {
            settings,
            verifier,
            refresh_ms,
            holder: RefCell::default(),
            fresh: FreshTokens::default(),
            copies: Copies::default(),
            under_way: UnderWay::default(),
            traffic: Cell::default(),
            nonces: Nonces::default(),
            outbox: RefCell::new(Outbox::new(id)),
            balance: RefCell::default(),
        }
    }

    /// What it takes to send something upstream.
    pub fn means(&self, now: UnixMs) -> Means<'_> {
        let Settings { deployment_id, credential_keys, .. } = &self.settings;
        Means { deployment_id, keys: credential_keys, balance: &self.balance, now }
    }

    pub fn stats(&self) -> Stats {
        Stats {
            objects: self.holder.borrow().objects().stats(),
            fresh: self.fresh.stats(),
            traffic: self.traffic.get(),
            events: self.outbox.borrow().stats(),
        }
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Traffic)) {
        let mut traffic = self.traffic.get();
        add(&mut traffic);
        self.traffic.set(traffic);
    }
}
