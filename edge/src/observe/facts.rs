//! What an answer said so far.

use super::fields::Field;
use super::json::Value;
use shared::event::{self, MAX_TOKENS, Usage};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    model: Option<String>,
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    by_tools: Option<u64>,
    cached: Option<u64>,
    output: Option<u64>,
    reasoning: Option<u64>,
    thoughts: Option<u64>,
    /// Bytes that the model wrote, as far as they are known to be its.
    text: u64,
    /// Where the object began that is among them.
    arguments_at: u64,
    choices: Choices,
    /// Of the frame that is being read, as all that follows.
    pub(crate) frame: Frame,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: Kind,
    pub(crate) has_error: bool,
}

/// The types of events that end a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Other,
    /// `message_stop`, `response.completed`, `response.incomplete`, Cohere's `message-end`.
    Last,
    /// `error`, `response.failed`.
    Failed,
}

/// Which choices there are, and which of them have a reason why they ended: one
/// bit each, those beyond the last bit sharing it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choices {
    seen: u128,
    finished: u128,
    index: u64,
    is_finished: bool,
    is_blocked: bool,
}

impl Facts {
    /// `at` is where the value ends or, for what it contains, begins.
    pub(crate) fn note(&mut self, field: Field, value: Value<'_>, at: u64) {
        let count = match value {
            Value::Number(Some(count)) if count <= MAX_TOKENS => Some(count),
            _ => None,
        };
        // A count may be null where it is not known yet: that takes nothing back.
        let set = |place: &mut Option<u64>| *place = count.or(*place);
        match field {
            Field::Model => self.note_model(value),
            Field::Input => set(&mut self.input),
            Field::InputCacheRead => set(&mut self.cache_read),
            Field::InputCacheWrite => set(&mut self.cache_write),
            Field::InputByTools => set(&mut self.by_tools),
            Field::Cached => set(&mut self.cached),
            Field::Output => set(&mut self.output),
            Field::Reasoning => set(&mut self.reasoning),
            Field::Thoughts => set(&mut self.thoughts),
            Field::Choice => self.choices.note(value),
            Field::ChoiceIndex => {
                if let Value::Number(Some(index)) = value {
                    self.choices.index = index;
                }
            }
            Field::ChoiceFinish => self.choices.is_finished = is_something(value),
            Field::Blocked => self.choices.is_blocked |= is_something(value),
            Field::Text => {
                if let Value::Length(length) = value {
                    self.wrote(length);
                }
            }
            Field::Arguments => match value {
                Value::Object => self.arguments_at = at,
                Value::End => self.wrote(at.saturating_sub(self.arguments_at).saturating_add(1)),
                _ => {}
            },
            Field::Type => {
                if let Value::Text(text) = value {
                    self.frame.kind = Kind::of(text);
                }
            }
            Field::Error => self.frame.has_error |= is_something(value) && value != Value::End,
        }
    }

    /// So many bytes.
    pub(crate) fn wrote(&mut self, bytes: u64) {
        self.text = self.text.saturating_add(bytes);
    }

    pub(crate) fn text(&self) -> u64 {
        self.text
    }

    pub(crate) fn is_same_but_for_text(&self, other: &Self) -> bool {
        let text = other.text;
        Self { text, ..self.clone() } == *other
    }

    fn note_model(&mut self, value: Value<'_>) {
        let Value::Text(name) = value else { return };
        let is_same = self.model.as_ref().is_some_and(|model| model.as_bytes() == name);
        if !is_same && !name.is_empty() {
            self.model = Some(event::text(name));
        }
    }

    /// Every choice there is has ended, and there is one, or the prompt was refused.
    pub(crate) fn has_finished(&self) -> bool {
        let Choices { seen, finished, is_blocked, .. } = self.choices;
        is_blocked || (seen != 0 && seen == finished)
    }

    pub(crate) fn model(&mut self) -> Option<String> {
        self.model.take()
    }

    pub(crate) fn usage(&self) -> Usage {
        let sum = |first: Option<u64>, more: [Option<u64>; 2]| {
            first.map(|first| more.into_iter().flatten().fold(first, u64::saturating_add).min(MAX_TOKENS))
        };
        let beside = self.cache_read.or(self.cache_write).or(self.by_tools).map(|_| 0);
        Usage {
            input_tokens: sum(
                self.input.or(beside),
                [sum(self.cache_read.or(Some(0)), [self.cache_write, None]), self.by_tools],
            ),
            output_tokens: sum(self.output.or(self.thoughts.map(|_| 0)), [self.thoughts, None]),
            cached_input_tokens: self.cached.or(self.cache_read),
            reasoning_tokens: self.reasoning.or(self.thoughts),
        }
    }
}

impl Choices {
    fn note(&mut self, value: Value<'_>) {
        match value {
            Value::Object => {
                self.index = 0;
                self.is_finished = false;
            }
            Value::End => {
                let bit = 1 << self.index.min(127);
                self.seen |= bit;
                if self.is_finished {
                    self.finished |= bit;
                }
            }
            _ => {}
        }
    }
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        match name {
            b"message_stop" | b"response.completed" | b"response.incomplete" | b"message-end" => Self::Last,
            b"error" | b"response.failed" => Self::Failed,
            _ => Self::Other,
        }
    }
}

fn is_something(value: Value<'_>) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}
