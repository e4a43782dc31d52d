//! Who asks, and when: what decides whether a model's fault plays this time.

use tokio::time::Instant;

use crate::content::{Speaker, Turn};
use crate::fault::Refusal;
use crate::record::Asking;
use crate::script::{Asked, Fault, Model, Script};
use crate::server::Options;
use crate::tally::Tallies;

pub(crate) struct Stage {
    pub(crate) options: Options,
    pub(crate) credential: String,
    /// Where it is told which model that is.
    pub(crate) asking: Option<Asking>,
    pub(crate) now: Instant,
    pub(crate) tallies: Tallies,
}

impl Stage {
    /// The model as this request meets it: without its fault where that does not play.
    pub(crate) fn admit(&self, asked: Asked, turns: &[Turn]) -> Model {
        let Asked { full, mut model } = asked;
        if let Some(asking) = &self.asking {
            asking.for_model(&full);
        }
        if !self.plays(&full, &model.script, turns) {
            model.script.fault = None;
        }
        model
    }

    fn plays(&self, full: &str, script: &Script, turns: &[Turn]) -> bool {
        let Some(fault) = &script.fault else { return false };
        if script.only.as_ref().is_some_and(|end| !self.credential.ends_with(end)) {
            return false;
        }
        let is_prefilled = turns.last().is_some_and(|turn| turn.speaker == Speaker::Model);
        if *fault == Fault::Refused(Refusal::Prefill) && !is_prefilled {
            return false;
        }
        let lasts = if let Fault::Down(lasts) = fault { Some(*lasts) } else { None };
        if script.times.is_none() && lasts.is_none() {
            return true;
        }
        let tally = self.tallies.count(full, &self.credential, self.now);
        script.times.is_none_or(|times| tally.count <= times)
            && lasts.is_none_or(|lasts| self.now.duration_since(tally.first) < lasts)
    }
}
