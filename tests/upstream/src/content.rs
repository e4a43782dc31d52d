//! Message content as requests carry it, read for its text only: images, audio and tool calls are
//! accepted and passed over.

use serde::Deserialize;

/// A string, or a list of typed parts.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
pub(crate) struct Part {
    #[serde(default)]
    text: Option<String>,
}

/// A message as `OpenAI` and Anthropic write it. Items of other kinds (tool calls, tool outputs)
/// have no role or no content.
#[derive(Deserialize)]
pub(crate) struct Message {
    #[serde(default)]
    role: String,
    #[serde(default)]
    content: Option<Content>,
}

/// One turn of the conversation, whichever provider's format it came in.
pub(crate) struct Turn {
    pub(crate) speaker: Speaker,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    User,
    Model,
    /// The system, or a tool.
    Other,
}

impl Turn {
    pub(crate) fn user(text: String) -> Self {
        Self { speaker: Speaker::User, text }
    }

    pub(crate) fn other(text: String) -> Self {
        Self { speaker: Speaker::Other, text }
    }
}

impl From<Message> for Turn {
    fn from(message: Message) -> Self {
        Self {
            speaker: match message.role.as_str() {
                "user" => Speaker::User,
                "assistant" => Speaker::Model,
                _ => Speaker::Other,
            },
            text: message.content.map(Content::into_text).unwrap_or_default(),
        }
    }
}

impl Content {
    pub(crate) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => join(parts),
        }
    }
}

/// The text of all parts, with a space between so that words of two parts stay two words.
pub(crate) fn join(parts: Vec<Part>) -> String {
    let texts: Vec<String> = parts.into_iter().filter_map(|part| part.text).collect();
    texts.join(" ")
}
