//! What happens to the control plane and to KV as a whole. Each says whether it did.

use crate::changes::expires;
use crate::clock::{self, MINUTE, SECOND, Time};
use crate::step::Life;
use crate::world::{Backup, World};

/// More than a delta holds.
const FLOOD: u32 = 2_001;

impl World {
    pub(crate) async fn rebuild_slowly(&mut self, ms: Time) -> Result<bool, String> {
        if !self.control.is_running() || self.control.fault().is_some() {
            return Ok(false);
        }
        let now = clock::now();
        let outcome = self.control.rebuild_slowly(now + ms).await;
        let is_done = outcome.map_err(|error| format!("to rebuild: {error}"))?;
        self.wrote(now);
        Ok(is_done)
    }

    pub(crate) async fn flood(&mut self, life: Life) -> bool {
        let expires_at = expires(life).unwrap_or(clock::now() + MINUTE);
        let is_done = self.control.flood(self.projects[0], FLOOD, expires_at).await;
        self.changed();
        is_done
    }

    pub(crate) async fn kill_in_write(&mut self) -> bool {
        if !self.control.is_running() {
            return false;
        }
        let write = self.control.kill_in_write().await;
        let is_done = write.is_some();
        if let Some(write) = write {
            self.published.tried_at = Some(clock::now());
            write.land().await;
        }
        self.tick();
        self.start().await;
        is_done
    }

    pub(crate) async fn kill_and_land_late(&mut self) -> Result<bool, String> {
        if !self.control.is_running() {
            return Ok(false);
        }
        let said = clock::now();
        let write = self.control.kill_in_write().await;
        self.tick();
        self.start().await;
        self.pass(5 * SECOND).await?;
        let Some(write) = write else { return Ok(false) };
        write.land().await;
        self.published.told(clock::now(), Some(said));
        self.published.tried_at = Some(clock::now());
        Ok(true)
    }

    pub(crate) async fn back_up(&mut self) -> bool {
        if !self.control.is_running() {
            return false;
        }
        self.control.back_up().await;
        self.backup = Some(Backup { rows: self.model.rows().clone() });
        self.start().await;
        true
    }

    /// The rows are those of the backup, and everything since did not happen.
    pub(crate) async fn restore(&mut self, ms: Time) -> bool {
        let Some(rows) = self.backup.as_ref().map(|backup| backup.rows.clone()) else { return false };
        self.kill(ms).await;
        self.control.restore().await;
        self.model.change(clock::now(), |present| *present = rows);
        self.put_back();
        self.is_hurried = true;
        true
    }

    pub(crate) fn wipe(&mut self) {
        self.control.kv.clear();
        self.runtime.view.borrow_mut().wipe(clock::now());
        self.published.told(clock::now(), None);
        self.is_hurried = true;
    }
}
