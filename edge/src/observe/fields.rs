//! Where each dialect says what the event needs.

use super::Dialect;
use super::json::{EACH, Want};

/// What a value is to us, whichever name a provider has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Model,
    /// Of the input, whatever is counted in one.
    Input,
    /// Of the input, counted apart from [`Field::Input`].
    InputCacheRead,
    InputCacheWrite,
    InputByTools,
    /// Of the input, counted in it.
    Cached,
    Output,
    /// Of the output, counted in it.
    Reasoning,
    /// Of the output, counted apart from [`Field::Output`].
    Thoughts,
    /// An element of the choices or candidates.
    Choice,
    ChoiceIndex,
    ChoiceFinish,
    /// Gemini refused the prompt.
    Blocked,
    /// Something that the model wrote, as a string.
    Text,
    /// The same as an object: a tool's arguments.
    Arguments,
    /// Which event it is.
    Type,
    Error,
}

type Wanted = Want<Field>;

pub(crate) fn of(dialect: Dialect) -> &'static Wanted {
    match dialect {
        Dialect::Messages => &MESSAGES,
        Dialect::Gemini => &GEMINI,
        Dialect::GeminiArray => &GEMINI_ARRAY,
        Dialect::Chat | Dialect::Responses | Dialect::Cohere | Dialect::Other(_) => &OPENAI,
    }
}

/// Chat, completions, embeddings and responses, and those of other providers that
/// took them over: <https://platform.openai.com/docs/api-reference>. Cohere's own
/// names are no others: <https://docs.cohere.com/v2/reference/chat-stream>.
static OPENAI: Wanted = Want::inside(
    "",
    &[
        Want::value("model", Field::Model),
        Want::value("type", Field::Type),
        Want::value("error", Field::Error),
        Want::inside("choices", &[CHOICE]),
        Want::inside("usage", OPENAI_USAGE),
        Want::inside("response", &[Want::value("model", Field::Model), Want::inside("usage", OPENAI_USAGE)]),
        // Groq.
        Want::inside("x_groq", &[Want::inside("usage", OPENAI_USAGE)]),
        // A string of text where responses are streamed; else Cohere's.
        Want::length(
            "delta",
            Field::Text,
            &[Want::inside("usage", OPENAI_USAGE), Want::inside("message", COHERE_MESSAGE)],
        ),
        Want::inside("message", COHERE_MESSAGE),
        // Of responses that are not streamed.
        Want::inside("output", &[Want::inside(EACH, &[ARGUMENTS, Want::inside("content", &[PART])])]),
    ],
);

const CHOICE: Wanted = Want::both(
    EACH,
    Field::Choice,
    &[
        Want::value("index", Field::ChoiceIndex),
        Want::value("finish_reason", Field::ChoiceFinish),
        Want::inside("delta", CHAT_MESSAGE),
        Want::inside("message", CHAT_MESSAGE),
        TEXT,
    ],
);

const CHAT_MESSAGE: &[Wanted] = &[
    // Mistral writes an array of parts now and then.
    Want::length("content", Field::Text, &[PART]),
    Want::length("refusal", Field::Text, &[]),
    // DeepSeek, and OpenRouter.
    Want::length("reasoning_content", Field::Text, &[]),
    Want::length("reasoning", Field::Text, &[]),
    Want::inside("tool_calls", &[Want::inside(EACH, &[FUNCTION])]),
    Want::inside("function_call", FUNCTION_CALL),
];

/// While it is streamed, these are no arrays.
const COHERE_MESSAGE: &[Wanted] = &[
    Want::inside("content", &[TEXT, PART]),
    Want::length("tool_plan", Field::Text, &[]),
    Want::inside("tool_calls", &[FUNCTION, Want::inside(EACH, &[FUNCTION])]),
];

const TEXT: Wanted = Want::length("text", Field::Text, &[]);
const PART: Wanted = Want::inside(EACH, &[TEXT]);
const ARGUMENTS: Wanted = Want::length("arguments", Field::Text, &[]);
const FUNCTION: Wanted = Want::inside("function", FUNCTION_CALL);
const FUNCTION_CALL: &[Wanted] = &[Want::length("name", Field::Text, &[]), ARGUMENTS];

const OPENAI_USAGE: &[Wanted] = &[
    Want::value("prompt_tokens", Field::Input),
    Want::value("completion_tokens", Field::Output),
    Want::inside("prompt_tokens_details", CACHED),
    Want::inside("completion_tokens_details", REASONING),
    Want::value("input_tokens", Field::Input),
    Want::value("output_tokens", Field::Output),
    Want::inside("input_tokens_details", CACHED),
    Want::inside("output_tokens_details", REASONING),
    // DeepSeek.
    Want::value("prompt_cache_hit_tokens", Field::Cached),
    // Cohere: what it bills, which is without its own preamble.
    Want::inside(
        "billed_units",
        &[Want::value("input_tokens", Field::Input), Want::value("output_tokens", Field::Output)],
    ),
];

const CACHED: &[Wanted] = &[Want::value("cached_tokens", Field::Cached)];
const REASONING: &[Wanted] = &[Want::value("reasoning_tokens", Field::Reasoning)];

/// <https://docs.anthropic.com/en/api/messages-streaming>. The output that
/// `message_start` reports is a beginning, not a count: it is passed over.
static MESSAGES: Wanted = Want::inside(
    "",
    &[
        Want::value("type", Field::Type),
        Want::value("model", Field::Model),
        Want::value("error", Field::Error),
        Want::inside(
            "usage",
            &[INPUT, INPUT_CACHE_READ, INPUT_CACHE_WRITE, Want::value("output_tokens", Field::Output)],
        ),
        Want::inside(
            "message",
            &[
                Want::value("model", Field::Model),
                Want::inside("usage", &[INPUT, INPUT_CACHE_READ, INPUT_CACHE_WRITE]),
            ],
        ),
        Want::inside("delta", BLOCK),
        Want::inside("content_block", BLOCK),
        Want::inside("content", &[Want::inside(EACH, BLOCK)]),
    ],
);

/// Of content, or a piece of it.
const BLOCK: &[Wanted] = &[
    TEXT,
    Want::length("thinking", Field::Text, &[]),
    Want::length("partial_json", Field::Text, &[]),
    Want::length("name", Field::Text, &[]),
    Want::both("input", Field::Arguments, &[]),
];

const INPUT: Wanted = Want::value("input_tokens", Field::Input);
const INPUT_CACHE_READ: Wanted = Want::value("cache_read_input_tokens", Field::InputCacheRead);
const INPUT_CACHE_WRITE: Wanted = Want::value("cache_creation_input_tokens", Field::InputCacheWrite);

/// <https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse>
static GEMINI: Wanted = Want::inside("", GEMINI_FIELDS);
static GEMINI_ARRAY: Wanted = Want::inside("", &[Want::inside(EACH, GEMINI_FIELDS)]);

const GEMINI_PART: &[Wanted] = &[
    TEXT,
    Want::inside(
        "functionCall",
        &[Want::length("name", Field::Text, &[]), Want::both("args", Field::Arguments, &[])],
    ),
];

const GEMINI_FIELDS: &[Wanted] = &[
    Want::inside(
        "candidates",
        &[Want::both(
            EACH,
            Field::Choice,
            &[
                Want::value("index", Field::ChoiceIndex),
                Want::value("finishReason", Field::ChoiceFinish),
                Want::inside("content", &[Want::inside("parts", &[Want::inside(EACH, GEMINI_PART)])]),
            ],
        )],
    ),
    Want::inside(
        "usageMetadata",
        &[
            Want::value("promptTokenCount", Field::Input),
            Want::value("toolUsePromptTokenCount", Field::InputByTools),
            Want::value("cachedContentTokenCount", Field::Cached),
            Want::value("candidatesTokenCount", Field::Output),
            Want::value("thoughtsTokenCount", Field::Thoughts),
        ],
    ),
    Want::value("modelVersion", Field::Model),
    Want::inside("promptFeedback", &[Want::value("blockReason", Field::Blocked)]),
    Want::value("error", Field::Error),
];
