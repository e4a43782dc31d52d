//! Coincidences that chance alone would bring about too seldom. Each says whether
//! all of it came about.

use crate::clock::{self, MINUTE, SECOND, Time};
use crate::step::{LOCATIONS, Life, Pick};
use crate::view::Fault;
use crate::world::World;

/// For a compaction, until every isolate that is asked goes by it.
const COMPACTED: Time = 4 * MINUTE;
/// Until no isolate may go by what was before, whatever KV shows it.
const FORGOTTEN: Time = 6 * MINUTE;

impl World {
    /// A token is revoked and that is compacted while nobody asks; then objects
    /// are missing everywhere. What isolates hold is from before.
    pub(crate) async fn compact_unseen(&mut self, pick: Pick) -> Result<bool, String> {
        let mut is_done = self.create_token(pick, Life::Forever).await;
        self.pass(SECOND).await?;
        is_done &= self.order_rebuild().await;
        self.pass(COMPACTED).await?;
        self.ask_everywhere();
        self.pass(SECOND).await?;
        let token = self.touched;
        is_done &= self.revoke(self.newest()).await;
        is_done &= self.order_rebuild().await;
        self.pass(COMPACTED).await?;
        self.hide_objects();
        self.touched = token.or(self.touched);
        Ok(is_done)
    }

    /// What has been since a backup is compacted, and then did not happen; and
    /// objects are missing everywhere.
    pub(crate) async fn restore_unseen(&mut self, pick: Pick) -> Result<bool, String> {
        let mut is_done = self.order_rebuild().await;
        self.pass(COMPACTED).await?;
        is_done &= self.back_up().await;
        is_done &= self.create_token(pick, Life::Forever).await;
        let token = self.touched;
        is_done &= self.order_rebuild().await;
        self.pass(COMPACTED).await?;
        self.ask_everywhere();
        is_done &= self.restore(0).await;
        self.pass(SECOND).await?;
        self.hide_objects();
        self.pass(FORGOTTEN).await?;
        self.hide_objects();
        self.touched = token;
        Ok(is_done)
    }

    /// A project and its token are lost in a restore, and another project gets
    /// what was the lost one's.
    pub(crate) async fn restore_over(&mut self) -> Result<bool, String> {
        let mut is_done = self.back_up().await;
        is_done &= self.create_project().await;
        is_done &= self.create_token(self.projects.len() - 1, Life::Forever).await;
        let token = self.touched;
        self.ask_everywhere();
        is_done &= self.restore(0).await;
        self.pass(SECOND).await?;
        is_done &= self.create_project().await;
        self.pass(MINUTE).await?;
        self.touched = token;
        Ok(is_done)
    }

    pub(crate) async fn order_rebuild(&mut self) -> bool {
        let is_done = self.control.order_rebuild().await;
        self.changed();
        is_done
    }

    /// Every isolate loads what it needs for the token that was touched; what
    /// it answers is judged when it is asked again.
    fn ask_everywhere(&mut self) {
        let Some(token) = self.touched else { return };
        let text = self.tokens[token].text.clone();
        for edge in &mut self.edges {
            edge.ask(&self.runtime, &self.published, &text, 0);
        }
    }

    fn hide_objects(&mut self) {
        let (mut view, until) = (self.runtime.view.borrow_mut(), clock::now() + 2 * MINUTE);
        for location in 0..LOCATIONS {
            view.forget_copies(location);
            view.break_down(location, Fault::NoObjects, until);
        }
    }

    /// The pick that chooses the token made last, of those that there are.
    fn newest(&self) -> Pick {
        self.model.rows().tokens.len().saturating_sub(1)
    }
}
