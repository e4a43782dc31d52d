//! A sink that keeps what it takes, and answers as a test says.

use crate::database::Database;
use crate::world::World;
use control_plane::clock;
use control_plane::domain::events::Listed;
use control_plane::sinks::{Delivered, Sink, SinkError};
use control_plane::store::events;
use control_plane::store::sinks::{self, SinkRow};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

type Answer = Box<dyn Fn(&[Uuid]) -> Result<(), SinkError> + Send>;

pub(crate) struct Recorder {
    answer: Mutex<Answer>,
    hangs: AtomicBool,
    batches: Mutex<Vec<Vec<Uuid>>>,
    bodies: Mutex<Vec<usize>>,
}

impl Recorder {
    /// Takes everything.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            answer: Mutex::new(Box::new(|_| Ok(()))),
            hangs: AtomicBool::new(false),
            batches: Mutex::default(),
            bodies: Mutex::default(),
        })
    }

    pub(crate) fn answer(&self, answer: impl Fn(&[Uuid]) -> Result<(), SinkError> + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// Whether it never answers.
    pub(crate) fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    pub(crate) fn delivered(&self) -> Vec<Uuid> {
        self.batches.lock().unwrap().concat()
    }

    /// How many events each had that it took.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }

    /// Lengths of the requests' bodies that came.
    pub(crate) fn bodies(&self) -> Vec<usize> {
        self.bodies.lock().unwrap().clone()
    }
}

impl Sink for Recorder {
    fn deliver<'a>(&'a self, events: &'a [Listed]) -> Delivered<'a> {
        Box::pin(async move {
            if self.hangs.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            let ids: Vec<Uuid> = events.iter().map(|listed| listed.event.id).collect();
            (self.answer.lock().unwrap())(&ids)?;
            self.batches.lock().unwrap().push(ids);
            let bodies = events.iter().filter_map(|listed| listed.bodies.as_ref()?.request.as_ref());
            self.bodies.lock().unwrap().extend(bodies.map(String::len));
            Ok(())
        })
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// An active sink that begins with what is counted from now on.
pub(crate) async fn sink<D: Database>(world: &World<D>, name: &str, batch_size: i64) -> SinkRow {
    let mut tx = world.store.write().await.unwrap();
    let now = clock::now();
    let row = SinkRow {
        name: name.into(),
        kind: "file".into(),
        batch_size,
        position: events::last_position(&mut tx).await.unwrap(),
        ..SinkRow::new(crate::edge::new_id(now), now.cast_signed())
    };
    sinks::insert(&mut tx, &row).await.unwrap();
    tx.commit().await.unwrap();
    row
}
