//! A history's beginning, its steps one by one, and its end.

use crate::clock::{self, DAY, MINUTE, SECOND};
use crate::edges::Edge;
use crate::expect::Credential;
use crate::step::{Action, Life, Step};
use crate::tally::Tally;
use crate::world::World;
use latchkey_tests::kv::Fault as ControlFault;
use latchkey_tests::soak::dice::Dice;

impl World {
    /// A provider, two projects, and a few tokens.
    pub(crate) async fn begin(&mut self) -> Result<(), String> {
        self.start().await;
        self.move_provider().await;
        for _ in 0..2 {
            self.create_project().await;
        }
        for pick in 0..4 {
            self.create_token(pick, Life::Forever).await;
        }
        self.pass(5 * SECOND).await
    }

    pub(crate) async fn take(&mut self, step: Step, tally: &mut Tally) -> Result<(), String> {
        self.touched = None;
        if self.act(step.action).await? {
            tally.did(step.action);
        }
        self.tick();
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        let mut dice = Dice::new(step.requests);
        for _ in 0..3 + dice.below(6) {
            self.ask(&mut dice, tally)?;
        }
        Ok(())
    }

    /// KV is well and time goes by, so each isolate must know how things are.
    pub(crate) async fn end(&mut self, tally: &mut Tally) -> Result<(), String> {
        if !self.control.is_running() {
            self.kill(0).await;
        }
        self.pass(2 * DAY).await?;
        for edge in 0..self.edges.len() {
            for token in 0..self.tokens.len() {
                self.ask_for(edge, Credential::Token(token), 0, tally)?;
            }
        }
        Ok(())
    }

    /// Whether it was done, and not only tried.
    async fn act(&mut self, action: Action) -> Result<bool, String> {
        match action {
            Action::Pass(ms) => self.pass(ms).await?,
            Action::CreateProject => return Ok(self.create_project().await),
            Action::CreateToken(pick, life) => return Ok(self.create_token(pick, life).await),
            Action::ChangeExpiry(pick, life) => return Ok(self.change_expiry(pick, life).await),
            Action::Revoke(pick) => return Ok(self.revoke(pick).await),
            Action::RevokeAll(pick) => return Ok(self.revoke_all(pick).await),
            Action::Activate(pick, is_active) => return Ok(self.activate(pick, is_active).await),
            Action::ChangeKey(pick) => return Ok(self.change_key(pick).await),
            Action::RemoveKey(pick) => return Ok(self.remove_key(pick).await),
            Action::MoveProvider => return Ok(self.move_provider().await),
            Action::Rebuild => return Ok(self.order_rebuild().await),
            Action::CompactUnseen(pick) => return self.compact_unseen(pick).await,
            Action::RestoreUnseen(pick) => return self.restore_unseen(pick).await,
            Action::RestoreOver => return self.restore_over().await,
            Action::RebuildSlowly(ms) => return self.rebuild_slowly(ms).await,
            Action::Flood(life) => return Ok(self.flood(life).await),
            Action::Kill(ms) => return Ok(self.kill(ms).await),
            Action::Outage(ms, is_deployed) => {
                let is_done = self.kill(ms + MINUTE).await;
                self.pass(ms).await?;
                if is_deployed {
                    self.deploy();
                }
                return Ok(is_done);
            }
            Action::KillInWrite => return Ok(self.kill_in_write().await),
            Action::KillAndLandLate => return self.kill_and_land_late().await,
            Action::BackUp => return Ok(self.back_up().await),
            Action::Restore(ms) => return Ok(self.restore(ms).await),
            Action::Rotate(kind) => return Ok(self.rotate(kind).await),
            Action::RotateWholly(kind) => return self.rotate_wholly(kind).await,
            Action::WipeKv => self.wipe(),
            Action::BreakControl(ms) => {
                let fault = if ms % 2 == 0 { ControlFault::Fail } else { ControlFault::FailAfter };
                self.control.break_down(fault, clock::now() + ms);
            }
            Action::BreakEdge(location, fault, ms) => {
                self.runtime.view.borrow_mut().break_down(location, fault, clock::now() + ms);
            }
            Action::ForgetCopies(location) => self.runtime.view.borrow_mut().forget_copies(location),
            Action::Evict(pick) => {
                let edge = pick % self.edges.len();
                self.edges[edge] = Edge::new(self.edges[edge].location, &self.edge_keys);
            }
            Action::Deploy => self.deploy(),
        }
        Ok(true)
    }
}
