//! Keys are rotated as `docs/operations.md` says: first where they are read,
//! then where they are made with, and what nothing needs any more goes.

use crate::clock::{self, MINUTE, Time};
use crate::keys::{Generation, Listed};
use crate::step::Rotated;
use crate::world::World;
use std::collections::BTreeMap;

/// How long what an old key made may still be about, once nothing makes more of it.
const WAIT: Time = 10 * MINUTE;
/// At the steps of a rotation, of which there are three.
const ATTEMPTS: usize = 8;

/// How far each kind is; none where nothing is under way.
#[derive(Debug, Default)]
pub(crate) struct Rotations(BTreeMap<Rotated, Phase>);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The edge knows the new key.
    Read,
    /// And the control plane has been using it, since then.
    Used(Time),
}

impl Listed {
    fn of(&mut self, kind: Rotated) -> &mut Vec<Generation> {
        match kind {
            Rotated::Signing => &mut self.signing,
            Rotated::Tag => &mut self.tag,
            Rotated::Credential => &mut self.credential,
        }
    }
}

impl World {
    /// All steps of a rotation, the one that is under way or a new one; whether
    /// it came to its end.
    pub(crate) async fn rotate_wholly(&mut self, kind: Rotated) -> Result<bool, String> {
        for _ in 0..ATTEMPTS {
            self.rotate(kind).await;
            if !self.rotations.0.contains_key(&kind) {
                return Ok(true);
            }
            self.pass(WAIT).await?;
        }
        Ok(false)
    }

    /// The next step of a rotation; whether it was taken: not while that would
    /// be too early.
    pub(crate) async fn rotate(&mut self, kind: Rotated) -> bool {
        match self.rotations.0.get(&kind) {
            None => {
                let new = self.edge_keys.of(kind)[0] + 1;
                self.edge_keys.of(kind).insert(0, new);
                self.deploy();
                self.rotations.0.insert(kind, Phase::Read);
            }
            Some(Phase::Read) if self.control.is_running() => {
                self.control.listed.of(kind).clone_from(self.edge_keys.of(kind));
                self.restart().await;
                if kind == Rotated::Credential {
                    self.control.reseal().await;
                    self.changed();
                }
                self.rotations.0.insert(kind, Phase::Used(clock::now()));
            }
            Some(Phase::Used(since)) if self.control.is_running() && self.is_told_everywhere(*since) => {
                for listed in [&mut self.control.listed, &mut self.edge_keys] {
                    listed.of(kind).truncate(1);
                }
                self.restart().await;
                self.deploy();
                // Its keys are kept with a backup, and would have to be listed again.
                self.backup = None;
                self.rotations.0.remove(&kind);
            }
            Some(Phase::Read | Phase::Used(_)) => return false,
        }
        true
    }

    /// The database is from before: what was sealed anew since is not.
    pub(crate) fn put_back(&mut self) {
        if let Some(phase) = self.rotations.0.get_mut(&Rotated::Credential) {
            *phase = Phase::Read;
        }
    }

    async fn restart(&mut self) {
        self.control.kill().await;
        self.start().await;
        self.tick();
    }

    /// Whether everything that KV has shown for a while is from after `since`.
    fn is_told_everywhere(&self, since: Time) -> bool {
        let now = clock::now();
        self.published.floor(now - WAIT, now) > Some(since)
    }
}
