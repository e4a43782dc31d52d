//! Whose format an answer is in. A provider may speak others' beside its own, so
//! the endpoint decides, and the provider's API where the endpoint does not say.

use shared::provider::Api;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `OpenAI`'s chat completions, and completions.
    Chat,
    /// `OpenAI`'s responses.
    Responses,
    /// Anthropic's messages.
    Messages,
    /// Gemini's answers, alone or as events.
    Gemini,
    /// The same as elements of an array that grows.
    GeminiArray,
    /// Cohere's second chat API.
    Cohere,
    /// How its streams end is not known; its errors have this API's shape.
    Other(Api),
}

impl Dialect {
    pub(crate) fn of(api: Api, endpoint: &str) -> Self {
        let endpoint = endpoint.trim_end_matches('/');
        if endpoint.ends_with("/chat/completions") || endpoint.ends_with("/completions") {
            return Self::Chat;
        }
        match api {
            Api::OpenAi if endpoint.ends_with("/responses") => Self::Responses,
            Api::OpenAi | Api::Anthropic if endpoint.ends_with("/v1/messages") => Self::Messages,
            Api::OpenAi if endpoint.ends_with("/v2/chat") => Self::Cohere,
            Api::Gemini if endpoint.ends_with(":streamGenerateContent") => Self::GeminiArray,
            Api::Gemini => Self::Gemini,
            Api::OpenAi | Api::Anthropic => Self::Other(api),
        }
    }

    /// Whose shape its errors have.
    pub(crate) fn api(self) -> Api {
        match self {
            Self::Chat | Self::Responses | Self::Cohere => Api::OpenAi,
            Self::Messages => Api::Anthropic,
            Self::Gemini | Self::GeminiArray => Api::Gemini,
            Self::Other(api) => api,
        }
    }

    /// Whether it is known how its streams end.
    pub(crate) fn has_end(self) -> bool {
        !matches!(self, Self::Other(_))
    }
}
