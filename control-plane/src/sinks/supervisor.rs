//! Sees to it that each sink has one who delivers, and that a change of it counts at once.

use super::claim::{Beats, Claim};
use super::kind::Surroundings;
use super::open::open;
use super::runner::Runner;
use crate::store::sinks::{self, SinkRow};
use crate::store::{self, Store};
use crate::vault::Vault;
use shared::id::UnixMs;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How often the sinks are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long a sink that cannot be opened here is left to other control planes.
const LEAVE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Supervisor {
    pub store: Store,
    pub vault: Arc<Vault>,
    pub surroundings: Arc<Surroundings>,
    /// Tells that events were counted.
    pub counted: watch::Receiver<()>,
    pub clock: fn() -> UnixMs,
    /// New for each process.
    pub holder: Uuid,
}

#[derive(Debug)]
struct Running {
    version: i64,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    running: HashMap<Uuid, Running>,
    beats: Beats,
    /// Versions that could not be opened here, and when.
    closed: HashMap<Uuid, (i64, Instant)>,
}

impl Supervisor {
    /// Until told to stop; then it waits for what is being delivered to be given up.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        let (mut state, mut is_failing) = (State::default(), false);
        loop {
            match self.look(&mut state).await {
                Ok(()) => is_failing = false,
                Err(error) if !is_failing => {
                    is_failing = true;
                    tracing::warn!(%error, "the sinks cannot be looked at; trying again");
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|is_down| *is_down) => break,
                () = sleep(LOOK) => {}
            }
        }
        for running in state.running.values() {
            running.stop.send_replace(true);
        }
        for running in state.running.into_values() {
            running.end().await;
        }
    }

    async fn look(&self, state: &mut State) -> Result<(), store::Error> {
        let mut tx = self.store.read().await?;
        let rows = sinks::all(&mut tx).await?;
        drop(tx);
        self.stop_changed(state, &rows).await;
        state.beats.retain(&rows);
        state.closed.retain(|id, _| rows.iter().any(|row| row.id == *id));
        for row in rows.iter().filter(|row| row.is_active) {
            let now = Instant::now();
            let is_free = state.beats.is_free(row, now);
            if is_free && !state.running.contains_key(&row.id) && !state.is_left(row, now) {
                self.begin(state, row).await?;
            }
        }
        Ok(())
    }

    /// Ends what delivers to a sink that is gone, was paused, or is another one now.
    async fn stop_changed(&self, state: &mut State, rows: &[SinkRow]) {
        let wanted: HashMap<Uuid, i64> =
            rows.iter().filter(|row| row.is_active).map(|row| (row.id, row.version)).collect();
        let is_over = |(id, running): &(&Uuid, &Running)| {
            running.task.is_finished() || wanted.get(*id) != Some(&running.version)
        };
        let over: Vec<Uuid> = state.running.iter().filter(is_over).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(running) = state.running.remove(&id) {
                running.end().await;
            }
        }
    }

    async fn begin(&self, state: &mut State, row: &SinkRow) -> Result<(), store::Error> {
        let Some(claim) = Claim::take(&self.store, row, self.holder).await? else { return Ok(()) };
        // As it is now that nobody else moves it.
        let row = match sinks::get(&mut *self.store.read().await?, row.id).await? {
            Some(row) if row.is_active => row,
            Some(_) | None => {
                claim.release(&self.store).await;
                return Ok(());
            }
        };
        match open(&row, &self.vault, &self.surroundings) {
            Ok(sink) => {
                let (stop, stopped) = watch::channel(false);
                let runner = Runner::new(self.store.clone(), &row, sink, claim, self.clock);
                let task = tokio::spawn(runner.run(self.counted.clone(), stopped));
                state.running.insert(row.id, Running { version: row.version, stop, task });
            }
            Err(reason) => {
                tracing::warn!(sink = row.name, reason, "a sink cannot be opened here");
                state.closed.insert(row.id, (row.version, Instant::now()));
                claim.fail(&self.store, &format!("it cannot be opened: {reason}"), (self.clock)()).await?;
                claim.release(&self.store).await;
            }
        }
        Ok(())
    }
}

impl State {
    fn is_left(&self, row: &SinkRow, now: Instant) -> bool {
        self.closed
            .get(&row.id)
            .is_some_and(|(version, since)| *version == row.version && now.duration_since(*since) < LEAVE)
    }
}

impl Running {
    async fn end(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a sink's delivery failed");
        }
    }
}
