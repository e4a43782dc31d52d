//! The kinds of request that end in an event, and how it must tell of each.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Chat,
    Completions,
    Responses,
    Embeddings,
    Anthropic,
    Gemini,
}

pub const DIALECTS: [Dialect; 6] = [
    Dialect::Chat,
    Dialect::Completions,
    Dialect::Responses,
    Dialect::Embeddings,
    Dialect::Anthropic,
    Dialect::Gemini,
];

/// What a request shows as its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// One of those in use.
    Valid,
    Revoked,
    Expired,
    /// The id of one that is valid, and another secret.
    Forged,
    Malformed,
    Nothing,
}

#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub dialect: Dialect,
    pub is_streamed: bool,
    /// Of the example upstream's model.
    pub options: &'static str,
    pub shown: Shown,
    /// The provider has short limits of time.
    pub is_hasty: bool,
    /// The client leaves when it has read something.
    pub leaves: bool,
    /// A GET of this path instead.
    pub path: Option<&'static str>,
    pub status: u16,
    pub completion: &'static str,
    pub error_code: Option<&'static str>,
    /// How often it comes up, beside the others.
    pub weight: usize,
}

/// All, each of them once.
pub fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    for dialect in DIALECTS {
        let plain = Kind::answered(dialect, false, "");
        kinds.extend([
            Kind { weight: 8, ..plain },
            Kind::answered(dialect, false, "usage=none"),
            Kind { status: 500, ..Kind::answered(dialect, false, "fault=status:500") },
            Kind::broken(dialect, false, "fault=cut", "upstream_error"),
        ]);
        if dialect == Dialect::Embeddings {
            continue;
        }
        kinds.extend([
            Kind { weight: 8, ..Kind::answered(dialect, true, "") },
            Kind::answered(dialect, true, "usage=none"),
            Kind::answered(dialect, true, "trickle=40"),
            Kind::broken(dialect, true, "fault=cut:3", "upstream_error"),
            Kind { is_hasty: true, ..Kind::broken(dialect, true, "fault=stall:3", "upstream_timeout") },
            Kind {
                leaves: true,
                completion: "aborted",
                ..Kind::answered(dialect, true, "chunks=3000,pace=20")
            },
        ]);
    }
    let chat = |is_streamed, options| Kind::answered(Dialect::Chat, is_streamed, options);
    let hasty = |kind| Kind { is_hasty: true, ..kind };
    kinds.extend([
        chat(true, "pace=30"),
        chat(true, "usage=every"),
        chat(true, "end=none"),
        chat(true, "fault=type"),
        chat(true, "fault=gzip"),
        chat(false, "fault=gzip"),
        Kind { status: 429, ..chat(true, "fault=status:429") },
        Kind::broken(Dialect::Chat, true, "fault=end:3", "upstream_error"),
        Kind::broken(Dialect::Chat, true, "fault=error", "upstream_error"),
        Kind::broken(Dialect::Chat, false, "fault=malformed", "upstream_error"),
        Kind::refused(502, "upstream_error", chat(false, "fault=redirect")),
        hasty(Kind::refused(504, "upstream_timeout", chat(true, "fault=silent:5000"))),
    ]);
    kinds.extend(refusals());
    kinds
}

fn refusals() -> Vec<Kind> {
    let shown = |shown| Kind { shown, ..Kind::answered(Dialect::Chat, false, "") };
    let get = |path| Kind { path: Some(path), ..Kind::answered(Dialect::Chat, false, "") };
    vec![
        Kind { weight: 3, ..Kind::refused(401, "token_revoked", shown(Shown::Revoked)) },
        Kind::refused(401, "token_expired", shown(Shown::Expired)),
        Kind { weight: 2, ..Kind::refused(401, "invalid_token", shown(Shown::Forged)) },
        Kind { weight: 3, ..Kind::refused(401, "malformed_token", shown(Shown::Malformed)) },
        Kind::refused(401, "missing_token", shown(Shown::Nothing)),
        Kind { weight: 2, ..Kind::refused(403, "endpoint_not_allowed", get("/open/v1/files")) },
        Kind::refused(404, "unknown_provider", get("/nobody/v1/models")),
        Kind::refused(405, "method_not_allowed", get("/open/v1/chat/completions")),
    ]
}

impl Kind {
    const fn answered(dialect: Dialect, is_streamed: bool, options: &'static str) -> Self {
        Self {
            dialect,
            is_streamed,
            options,
            shown: Shown::Valid,
            is_hasty: false,
            leaves: false,
            path: None,
            status: 200,
            completion: "complete",
            error_code: None,
            weight: 1,
        }
    }

    const fn broken(dialect: Dialect, is_streamed: bool, options: &'static str, code: &'static str) -> Self {
        let answered = Self::answered(dialect, is_streamed, options);
        Self { completion: "truncated", error_code: Some(code), ..answered }
    }

    const fn refused(status: u16, code: &'static str, kind: Self) -> Self {
        Self { status, completion: "refused", error_code: Some(code), ..kind }
    }

    /// Refused before it was known whose the request is: those are counted together.
    pub fn is_anonymous(&self) -> bool {
        self.shown != Shown::Valid
    }

    /// Path and body. `words` makes answers differ; `number` does it with questions.
    pub fn question(&self, words: usize, number: usize) -> (String, Option<Value>) {
        if let Some(path) = self.path {
            return (path.to_owned(), None);
        }
        let options = match self.options {
            "" => format!("chunks={words}"),
            options => options.to_owned(),
        };
        let (stream, text) = (self.is_streamed, format!("Which key opens door {number}?"));
        let messages = json!([{"role": "user", "content": text}]);
        let model = |name| format!("{name}+{options}");
        let gpt = model("gpt-example");
        let (path, body) = match self.dialect {
            Dialect::Chat => {
                ("chat/completions", json!({"model": gpt, "stream": stream, "messages": messages}))
            }
            Dialect::Completions => ("completions", json!({"model": gpt, "stream": stream, "prompt": text})),
            Dialect::Responses => ("responses", json!({"model": gpt, "stream": stream, "input": text})),
            Dialect::Embeddings => {
                ("embeddings", json!({"model": model("embedding-example"), "input": text}))
            }
            Dialect::Anthropic => (
                "messages",
                json!({"model": model("claude-example"), "stream": stream, "max_tokens": 1_000, "messages": messages}),
            ),
            Dialect::Gemini => {
                let action = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let path = format!("/{}/v1beta/models/{}:{action}", self.provider(), model("gemini-example"));
                return (path, Some(json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})));
            }
        };
        (format!("/{}/v1/{path}", self.provider()), Some(body))
    }

    /// As the rig names them.
    fn provider(&self) -> String {
        let hasty = if self.is_hasty { "-hasty" } else { "" };
        format!("{}{hasty}", self.dialect.provider())
    }
}

impl Dialect {
    pub fn provider(self) -> &'static str {
        match self {
            Self::Chat | Self::Completions | Self::Responses | Self::Embeddings => "open",
            Self::Anthropic => "claude",
            Self::Gemini => "gemini",
        }
    }

    /// Where its SDKs put the key, and what goes before it.
    pub fn auth(self) -> (&'static str, &'static str) {
        match self.provider() {
            "claude" => ("x-api-key", ""),
            "gemini" => ("x-goog-api-key", ""),
            _ => ("authorization", "Bearer "),
        }
    }
}
