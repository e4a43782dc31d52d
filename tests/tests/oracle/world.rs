//! Everything that a history happens to: the real control plane, KV, isolates,
//! and beside them the model.

use crate::clock::{self, MINUTE, SECOND, Time};
use crate::control::ControlPlane;
use crate::database::Kind;
use crate::edges::Edge;
use crate::keys::{Generation, Listed};
use crate::model::{Model, ProjectNumber, Rows};
use crate::named::Named;
use crate::published::Published;
use crate::rotation::Rotations;
use crate::runtime::Runtime;
use crate::step::LOCATIONS;
use crate::view::View;
use latchkey_tests::soak::dice::Dice;
use std::rc::Rc;
use uuid::Uuid;

const ISOLATES_A_LOCATION: usize = 2;
const HEARTBEAT: Time = MINUTE;
/// The least time between two manifests.
const BETWEEN_WRITES: Time = SECOND;
/// How long after objects were named at once a location may not have them.
const HURRY_LASTS: Time = 5 * MINUTE;
/// Between two attempts that fail.
const BACK_OFF: Time = 5 * SECOND;

pub(crate) struct World {
    pub(crate) control: ControlPlane,
    pub(crate) runtime: Rc<Runtime>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) model: Model,
    pub(crate) published: Published,
    named: Named,
    /// What the publisher did wrong, whether or not an answer shows it.
    pub(crate) problem: Option<String>,
    pub(crate) tokens: Vec<KnownToken>,
    pub(crate) projects: Vec<Uuid>,
    /// What the worker is deployed with.
    pub(crate) edge_keys: Listed,
    pub(crate) rotations: Rotations,
    pub(crate) backup: Option<Backup>,
    /// So that no two names and no two provider keys are the same.
    pub(crate) count: usize,
    /// When the publisher's turn is next; while the control plane is down, when it starts.
    due: Time,
    last_write: Time,
    /// What is published next may name objects at once.
    pub(crate) is_hurried: bool,
    /// The token that the last step concerned.
    pub(crate) touched: Option<usize>,
}

/// A token as its client has it.
pub(crate) struct KnownToken {
    pub(crate) id: Uuid,
    pub(crate) text: String,
    /// The key that tagged it.
    pub(crate) tag: Generation,
}

pub(crate) struct Backup {
    pub(crate) rows: Rows,
}

impl World {
    pub(crate) async fn new(kind: Kind, dice: &mut Dice) -> Self {
        clock::begin();
        let listed = Listed::first();
        let view = View::new(LOCATIONS, dice.child());
        let edges = (0..LOCATIONS * ISOLATES_A_LOCATION)
            .map(|number| Edge::new(number % LOCATIONS, &listed))
            .collect();
        Self {
            control: ControlPlane::new(kind).await,
            runtime: Runtime::new(view),
            edges,
            model: Model::default(),
            published: Published::default(),
            named: Named::default(),
            problem: None,
            tokens: Vec::new(),
            projects: Vec::new(),
            edge_keys: listed,
            rotations: Rotations::default(),
            backup: None,
            count: 0,
            due: clock::now(),
            last_write: 0,
            is_hurried: false,
            touched: None,
        }
    }

    /// The control plane starts, and publishes at once.
    pub(crate) async fn start(&mut self) {
        self.control.start().await;
        self.due = clock::now();
    }

    /// It is killed, and starts again so much later.
    pub(crate) async fn kill(&mut self, ms: Time) -> bool {
        let was_running = self.control.kill().await;
        self.due = clock::now() + ms;
        was_running
    }

    /// After each thing that was done: no two at the same time.
    pub(crate) fn tick(&mut self) {
        let changes = self.control.kv.take_changes();
        let heard = self.named.hear(&changes, &self.control.listed, clock::now());
        self.problem = self.problem.take().or(heard.err());
        self.runtime.view.borrow_mut().take(changes, clock::now());
        self.runtime.pass_until(clock::now() + 1);
    }

    /// A change wakes the publisher.
    pub(crate) fn changed(&mut self) {
        self.tick();
        if self.control.is_running() {
            self.due = self.due.min(clock::now().max(self.last_write + BETWEEN_WRITES));
        }
    }

    /// What comes next of that kind.
    pub(crate) fn next_name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}", self.count)
    }

    pub(crate) fn project_of(&self, pick: usize) -> Option<ProjectNumber> {
        let known = &self.model.rows().projects;
        known.keys().nth(pick % known.len().max(1)).copied()
    }

    /// Lets time pass, and the publisher do what it does meanwhile.
    pub(crate) async fn pass(&mut self, ms: Time) -> Result<(), String> {
        let end = clock::now() + ms;
        while self.due <= end {
            self.runtime.pass_until(self.due);
            if !self.control.is_running() {
                self.start().await;
            }
            self.publish(end).await?;
        }
        self.runtime.pass_until(end);
        Ok(())
    }

    /// The publisher's turn. In a long time it has fewer.
    async fn publish(&mut self, end: Time) -> Result<(), String> {
        let now = clock::now();
        let fault = self.control.fault();
        let outcome = self.control.publish().await;
        let rest = (end.saturating_sub(now) / 3).saturating_sub(MINUTE);
        self.due = match (&outcome, fault) {
            (Ok(()), _) => {
                self.wrote(now);
                now + HEARTBEAT + rest
            }
            (Err(_), Some((_, until))) => (now + BACK_OFF + rest).min(until + BACK_OFF),
            (Err(error), None) => return Err(format!("KV is well, and the publisher says: {error}")),
        };
        self.tick();
        Ok(())
    }

    /// A manifest of now is in KV.
    pub(crate) fn wrote(&mut self, now: Time) {
        if std::mem::take(&mut self.is_hurried) {
            self.runtime.view.borrow_mut().hurry(now + HURRY_LASTS);
        }
        self.published.told(now, Some(now));
        self.published.tried_at = Some(now);
        self.last_write = now;
    }

    /// All isolates end; those that start have the worker's present keys.
    pub(crate) fn deploy(&mut self) {
        for edge in &mut self.edges {
            *edge = Edge::new(edge.location, &self.edge_keys);
        }
    }
}
