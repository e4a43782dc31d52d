//! Looks at every manifest that KV has, from the first to the last, and at what
//! it names: nothing is missing, the version does not go back, and what was
//! told stays told.

use super::view::{Reader, View};
use crate::kv::KvServer;
use shared::id::UnixMs;
use shared::snapshot::{Hash, MANIFEST_KEY};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

const LOOK: Duration = Duration::from_millis(5);

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    pub manifests: usize,
    /// Distinct ones that a manifest named.
    pub bases: usize,
    /// How long each time KV had a manifest older than one before.
    pub setbacks: Vec<Duration>,
    /// What must not be.
    pub violations: Vec<String>,
}

/// Looks until it is ended.
#[derive(Debug)]
pub struct Watch {
    revoked: Arc<Mutex<Vec<Uuid>>>,
    end: oneshot::Sender<()>,
    task: JoinHandle<Seen>,
}

impl Watch {
    pub fn start(kv: Arc<KvServer>) -> Self {
        let revoked = Arc::default();
        let mut watcher = Watcher { revoked: Arc::clone(&revoked), ..Watcher::default() };
        let (end, mut is_ended) = oneshot::channel();
        let task = tokio::spawn(async move {
            while is_ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                watcher.look(&kv);
                tokio::time::sleep(LOOK).await;
            }
            watcher.seen.bases = watcher.bases.len();
            watcher.seen
        });
        Self { revoked, end, task }
    }

    /// Where to note tokens whose revocation was acknowledged.
    pub fn revoked(&self) -> Arc<Mutex<Vec<Uuid>>> {
        Arc::clone(&self.revoked)
    }

    pub async fn end(self) -> Seen {
        self.end.send(()).unwrap();
        self.task.await.unwrap()
    }
}

#[derive(Debug, Default)]
struct Watcher {
    reader: Reader,
    seen: Seen,
    last: Vec<u8>,
    highest: u64,
    set_back: Option<Instant>,
    bases: HashSet<Hash>,
    revoked: Arc<Mutex<Vec<Uuid>>>,
    /// Those of which a manifest said it.
    told: HashSet<Uuid>,
    /// The line of each project's bulk revocations.
    lines: HashMap<Uuid, UnixMs>,
}

impl Watcher {
    fn look(&mut self, kv: &KvServer) {
        let Some(raw) = kv.raw(MANIFEST_KEY).filter(|raw| *raw != self.last) else { return };
        match self.reader.read(kv, &raw) {
            Err(problem) => self.seen.violations.push(problem),
            Ok(view) => self.judge(&view),
        }
        self.last = raw;
    }

    fn judge(&mut self, view: &View) {
        self.seen.manifests += 1;
        let version = view.manifest.version;
        if version < self.highest {
            self.set_back.get_or_insert_with(Instant::now);
            return;
        }
        if let Some(since) = self.set_back.take() {
            self.seen.setbacks.push(since.elapsed());
        } else if version == self.highest {
            self.seen.violations.push(format!("two manifests have version {version}"));
        }
        self.highest = version;
        self.bases.extend(view.manifest.base.map(|base| base.index));
        self.tokens(view);
        self.projects(view);
    }

    fn tokens(&mut self, view: &View) {
        for id in self.revoked.lock().unwrap().iter() {
            let is_revoked = view.is_revoked(*id);
            if is_revoked {
                self.told.insert(*id);
            } else if self.told.contains(id) {
                let problem = format!("token {id} is not revoked any more in {}", view.manifest.version);
                self.seen.violations.push(problem);
            }
        }
    }

    fn projects(&mut self, view: &View) {
        let projects = view.projects();
        for (id, project) in &projects {
            let line = self.lines.entry(*id).or_default();
            if project.tokens_valid_from < *line {
                let problem = format!("project {id} forgot a revocation in {}", view.manifest.version);
                self.seen.violations.push(problem);
            }
            *line = project.tokens_valid_from.max(*line);
        }
        for id in self.lines.keys().filter(|id| !projects.contains_key(id)) {
            self.seen.violations.push(format!("project {id} is gone in {}", view.manifest.version));
        }
    }
}
