//! The publisher without its pace and its waiting, for tests that go through
//! days in seconds: each step is taken when it is called, at the time it is given.

use super::error::PublishError;
use super::handle::{Shared, SnapshotHandle};
use super::lease::{Keeper, Right};
use super::publish::Publisher;
use super::{PublisherSettings, fresh, kv_client};
use crate::store::Store;
use shared::id::UnixMs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Dropped, it is gone as if killed.
#[derive(Debug)]
pub struct ByHand {
    publisher: Publisher,
    handle: SnapshotHandle,
    _keeper: Keeper,
    _writer: JoinSet<()>,
}

impl ByHand {
    /// Takes the lease from whoever has it.
    pub async fn start(settings: PublisherSettings, store: Store) -> Result<Self, PublishError> {
        let kv = kv_client(&settings);
        let shared = Arc::new(Shared::default());
        let (announcements, queue) = mpsc::channel(fresh::QUEUE_LEN);
        let mut writer = JoinSet::new();
        let between_calls = Duration::ZERO;
        writer.spawn(fresh::FreshWriter::new(&settings, store.clone(), kv.clone(), between_calls).run(queue));
        let (mut keeper, terms) = Keeper::new(store.clone(), Duration::from_hours(24));
        keeper.seize().await?;
        let right = Right::current(&terms).ok_or(PublishError::Deposed)?;
        let handle = SnapshotHandle {
            store: store.clone(),
            kv: kv.clone(),
            shared: Arc::clone(&shared),
            announcements,
            terms,
        };
        let publisher = Publisher::new(settings, store, kv, shared, right);
        Ok(Self { publisher, handle, _keeper: keeper, _writer: writer })
    }

    /// For a [`Domain`](crate::domain::Domain); its announcements are written at once.
    pub fn handle(&self) -> SnapshotHandle {
        self.handle.clone()
    }

    /// What the loop does when its time has come.
    pub async fn publish(&mut self, now: UnixMs) -> Result<(), PublishError> {
        self.publisher.finish_work(now).await?;
        self.publisher.start_due_work(now).await?;
        self.publisher.publish(true, now).await
    }

    /// Waits for a compaction or a sweep that runs, and records it.
    pub async fn finish_work(&mut self, now: UnixMs) -> Result<(), PublishError> {
        self.publisher.wait_for_work().await;
        self.publisher.finish_work(now).await
    }
}
